"""The operator as a process: ``tiketi-operator``, or ``python -m tiketi_operator``."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import kopf
import uvloop

from tiketi_operator import handlers
from tiketi_operator.manifests.metadata import MANAGED_BY, MANAGER
from tiketi_operator.plan import CHILD_KINDS
from tiketi_operator.settings import OperatorSettings
from tiketi_runtime.observability import configure_logging


def main() -> None:
    """Run until SIGTERM. Settings come from the environment, ``TIKETI_OPERATOR_<NAME>``."""
    settings = OperatorSettings()
    configure_logging(settings.log_level, "operator")
    _keep_kopf_short()
    if settings.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(settings.kubeconfig)  # kopf takes it from nowhere else
    operator = kopf.operator(
        memo=handlers.Desk(settings), settings=kopf_settings(), standalone=True, **_scope(settings)
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(operator)


def kopf_settings() -> kopf.OperatorSettings:
    """Settings of kopf, each with the default it replaces."""
    settings = kopf.OperatorSettings()
    own = "status.operator"
    settings.persistence.finalizer = "tiketi.dev/finalizer"
    # Annotations: 256 KiB in all, and Argo CD shows them.
    settings.persistence.progress_storage = kopf.StatusProgressStorage(
        field=f"{own}.progress", touch_field=f"{own}.touched"
    )
    # All metadata counts: Argo CD's tracking annotation alone would be a change to handle.
    settings.persistence.diffbase_storage = kopf.StatusDiffBaseStorage(
        field=f"{own}.lastHandled", ignored_fields=["metadata"]
    )
    settings.posting.reporting_component = MANAGER  # kopf
    settings.posting.event_name_prefix = f"{MANAGER}-"  # kopf-event-
    settings.posting.level = logging.WARNING  # INFO
    settings.scanning.disabled = True  # False: watches CRDs and namespaces, two more rights in the whole cluster
    settings.watching.server_timeout = 300  # None: as the server likes
    settings.watching.client_timeout = 310  # None: for ever
    settings.watching.connect_timeout = 10  # None: for ever
    settings.watching.reconnect_backoff = 1  # 0.1: ten attempts a second while the API server is away
    settings.networking.request_timeout = 10  # 300
    settings.networking.error_backoffs = _Endless()  # gives up after a minute, and nobody notices a dead watcher
    settings.queueing.error_delays = (1, 1, 2, 3, 5, 8, 13, 21, 30)  # up to 610: too long before an on-sale second
    settings.execution.default_backoff = 2  # 60
    settings.background.instant_exit_timeout = 0.5  # a sleeping daemon is gone by then, and needs no polling
    for api_version, kind in CHILD_KINDS:
        settings.watching.label_selectors[api_version, kind] = f"{MANAGED_BY}={MANAGER}"
    return settings


class _Endless:
    """Pauses (s) between attempts at one request, anew for each request."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.2, 0.5, 1.0), repeat(2.0))


def _scope(settings: OperatorSettings) -> dict[str, Any]:
    """Children live in the platform's namespace, so it is always watched."""
    if not settings.watched_namespaces:
        return {"clusterwide": True}
    return {"namespaces": {*settings.watched_namespaces, settings.namespace}}


def _keep_kopf_short() -> None:
    """kopf hangs its whole settings on every record; a line of JSON for people has no room for them."""

    def strip(record: logging.LogRecord) -> bool:
        for name in ("settings", "k8s_skip"):
            record.__dict__.pop(name, None)
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(strip)


if __name__ == "__main__":
    main()
