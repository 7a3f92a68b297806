"""``kubectl tiketi``: questions to the plan that the objects themselves do not answer.

``kubectl tiketi plan NAME -n NAMESPACE --at 2027-03-01T19:55:00+09:00`` prints what the operator would have in place
at that instant, from the same pure function the operator uses. Changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml

from tiketi_operator.manifests.metadata import Manifest
from tiketi_operator.plan import Observed, plan
from tiketi_operator.sale import Chains, Unsellable, check_draws, check_sale, compile_sale
from tiketi_operator.settings import PlatformSettings
from tiketi_runtime.contracts.kubernetes_object import API_VERSION
from tiketi_runtime.contracts.phase import phase_at
from tiketi_runtime.contracts.queue_policy import QueuePolicy
from tiketi_runtime.contracts.ticket_event import TicketEvent
from tiketi_runtime.errors import NotFound, TiketiError
from tiketi_runtime.kubernetes import Cluster


def main() -> None:
    """Entry point of the kubectl plugin; exit code 1 when the question has no answer."""
    arguments = _parser().parse_args()
    try:
        print(asyncio.run(_plan(arguments)), end="")  # noqa: T201 - the answer
    except (TiketiError, Unsellable, _NoChains) as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kubectl tiketi", description="Questions about ticket events.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("plan", help="print the objects of an event at an instant, as YAML")
    command.add_argument("name", help="name of the TicketEvent")
    command.add_argument("-n", "--namespace", default="default", help="its namespace")
    command.add_argument("--at", type=_instant, default=None, help="the instant (RFC 3339); now if left out")
    kubeconfig = Path(os.environ.get("KUBECONFIG", "~/.kube/config")).expanduser()
    command.add_argument("--kubeconfig", type=Path, default=kubeconfig, help="$KUBECONFIG if left out")
    command.add_argument(
        "--chains",
        type=Path,
        metavar="FILE",
        help="further beacon chains, as a relay describes them; $TIKETI_OPERATOR_BEACON_CHAINS_FILE if left out",
    )
    command.add_argument("--platform-namespace", default="tiketi-system", help="where the platform is installed")
    return parser


def _instant(text: str) -> datetime:
    mend = argparse.ArgumentTypeError(f"{text!r} is no instant: write it like 2027-03-01T19:55:00+09:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise mend from None
    if moment.tzinfo is None:
        raise mend
    return moment


async def _plan(arguments: argparse.Namespace) -> str:
    settings = PlatformSettings(namespace=arguments.platform_namespace)
    if arguments.chains is not None:
        settings = settings.model_copy(update={"beacon_chains_file": arguments.chains})
    chains = _chains(settings)
    now = arguments.at or datetime.now(UTC)
    async with await Cluster.connect(arguments.kubeconfig) as cluster:
        event = TicketEvent.from_body(await _get(cluster, "TicketEvent", arguments.name, arguments.namespace))
        policy = await cluster.get(API_VERSION, "QueuePolicy", event.spec.queue_policy_ref.name, event.namespace)
        ticket = await cluster.get("apps/v1", "Deployment", settings.ticket_service, settings.namespace)
    checked = check_sale(event, None if policy is None else QueuePolicy.from_body(policy))
    sale = compile_sale(event, checked)  # without presale codes: no object depends on them
    try:
        check_draws(sale, checked, chains)
    except Unsellable as error:
        if error.reason != "BeaconChainUnknown":
            raise
        raise Unsellable(error.reason, f"{error} Or describe it, as the operator does: --chains FILE.") from error
    template = None if ticket is None else ticket["spec"]["template"]
    # As if every pod that is asked for were ready, so that the route is where it is meant to be.
    observed = Observed(ticket_template=template, lane_ready=event.spec.capacity.peak_replicas)
    planned = plan(event, sale, now, observed, settings)
    heading = f"# {event.id} at {now.isoformat()}: phase {phase_at(sale, now)}, lane {planned.stage}\n"
    return heading + _yaml([*planned.children, *planned.shared])


class _NoChains(Exception):
    """The file of further beacon chains cannot be used."""


def _chains(settings: PlatformSettings) -> Chains:
    """Those the operator would know. Raises _NoChains."""
    try:
        return settings.beacon_chains()
    except OSError as error:
        raise _NoChains(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        mend = "(--chains is what a relay answers to /<chain>/info)"
        raise _NoChains(f"{' '.join(str(error).split())} {mend}") from error


async def _get(cluster: Cluster, kind: str, name: str, namespace: str) -> Manifest:
    body = await cluster.get(API_VERSION, kind, name, namespace)
    if body is None:
        raise NotFound(f"there is no {kind} {name} in namespace {namespace}")
    return body


def _yaml(manifests: Sequence[Manifest]) -> str:
    return yaml.dump_all(manifests, Dumper=_WithoutAliases, sort_keys=False)


class _WithoutAliases(yaml.SafeDumper):
    """Repeats what is the same instead of pointing at it: the answer is for people."""

    def ignore_aliases(self, data: object) -> bool:
        """Never an alias."""
        return True


if __name__ == "__main__":
    main()
