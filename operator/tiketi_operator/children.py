"""Children in the API server: applied, observed, swept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence

from tiketi_operator.manifests.metadata import MANAGER, Manifest, child_labels, child_name
from tiketi_operator.plan import CHILD_KINDS, LANE_DEPLOYMENT, ChildKey, Observed, Plan, SharedNeed, key_of
from tiketi_operator.probes import ready_pods
from tiketi_operator.settings import OperatorSettings
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.kubernetes_object import API_VERSION
from tiketi_runtime.contracts.ticket_event import Lane, TicketEvent
from tiketi_runtime.errors import NotFound, TiketiError
from tiketi_runtime.kubernetes import ApiUnavailable, Cluster

log = logging.getLogger(__name__)


class ChildRefused(TiketiError):
    """The API server does not take an object, and will not until somebody changes something."""

    code, status, title = "child-refused", 422, "Child refused"


class Children:
    """The objects of all events in the platform's namespace. Methods raise ApiUnavailable when the API server is."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._swept: dict[EventId, frozenset[ChildKey]] = {}
        """What each event had when it was last swept: a sweep looks through every kind."""
        self._shared: Sequence[Manifest] = ()
        self._shared_until = 0.0

    async def observe(self, event: TicketEvent, needs: Sequence[SharedNeed]) -> Observed:
        """What the plan of an event depends on. ``needs`` are those of all events of the shared service."""
        if event.spec.capacity.lane is not Lane.DEDICATED:
            return Observed(shared_needs=tuple(needs))
        name, namespace = child_name(event.id), self._settings.namespace
        shared, lane, route, ready = await asyncio.gather(
            self._cluster.get(*LANE_DEPLOYMENT, self._settings.ticket_service, namespace),
            self._cluster.get(*LANE_DEPLOYMENT, name, namespace),
            self._cluster.get("networking.istio.io/v1", "VirtualService", name, namespace),
            ready_pods(self._cluster, name, namespace),
        )
        return Observed(
            ticket_template=None if shared is None else shared["spec"]["template"],
            lane_replicas=None if lane is None else int(lane["spec"]["replicas"]),
            lane_ready=ready,
            on_lane=route is not None and _leads_to(route, name),
            shared_needs=tuple(needs),
        )

    async def put(self, event: EventId, plan: Plan) -> None:
        """Apply what is planned and delete what of the event is not. Raises ChildRefused after doing what could be."""
        keys = plan.identities
        faults = [*await self._apply_shared(plan.shared), *await self._apply(plan.children)]
        if self._swept.get(event) != keys:
            await self.sweep(event, keep=keys)
            self._swept[event] = keys
        _raise(faults)

    async def put_shared(self, manifests: Sequence[Manifest]) -> None:
        """Apply objects all events have in common. Raises ChildRefused after doing what could be done."""
        _raise(await self._apply_shared(manifests))

    async def sweep(self, event: EventId, keep: Collection[ChildKey] = ()) -> None:
        """Delete every object labelled with the event, save those named."""
        labels = child_labels(event)
        for api_version, kind in CHILD_KINDS:
            for found in await self._cluster.list_all(api_version, kind, self._settings.namespace, labels):
                if key_of(found) not in keep:
                    await self._delete(found)
        self._swept.pop(event, None)

    async def _apply_shared(self, manifests: Sequence[Manifest]) -> list[str]:
        """Every event's visit plans the same shared objects: they are applied when they change, else once a round."""
        now = time.monotonic()
        if self._shared == manifests and now < self._shared_until:
            return []
        faults = await self._apply(manifests)
        if not faults:
            self._shared, self._shared_until = manifests, now + self._settings.longest_sleep.total_seconds()
        return faults

    async def _apply(self, manifests: Sequence[Manifest]) -> list[str]:
        """Apply objects side by side; what is wrong with them."""
        return [fault for fault in await asyncio.gather(*map(self._apply_one, manifests)) if fault]

    async def _apply_one(self, manifest: Manifest) -> str:
        try:
            await self._cluster.apply(manifest, MANAGER)
        except TiketiError as error:
            if error.retryable:
                raise
            return f"{manifest['kind']} {manifest['metadata']['name']}: {error.detail}"
        return ""

    async def _delete(self, found: Mapping[str, object]) -> None:
        key = key_of(found)
        await self._cluster.delete(*key, self._settings.namespace)
        log.info("child deleted", extra={"kind": key.kind, "child": key.name})


async def until_served(cluster: Cluster, namespace: str) -> None:
    """Wait until the API server is there and knows our kinds; kopf looks for them only once, when it starts."""
    for kind in ("TicketEvent", "QueuePolicy"):
        while not await _is_served(cluster, kind, namespace):
            log.warning("waiting for the API server to serve a kind", extra={"kind": kind})
            await asyncio.sleep(1)


async def _is_served(cluster: Cluster, kind: str, namespace: str) -> bool:
    try:
        await cluster.list_all(API_VERSION, kind, namespace)
    except (NotFound, ApiUnavailable):
        return False
    return True


def _raise(faults: Sequence[str]) -> None:
    if faults:
        raise ChildRefused(" ".join(faults))


def _leads_to(route: Manifest, service: str) -> bool:
    hosts = [part["destination"]["host"] for rule in route["spec"]["http"] for part in rule.get("route", [])]
    return any(host.partition(".")[0] == service for host in hosts)
