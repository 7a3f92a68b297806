"""What is true in the data plane: asked of the stores and the gateway, not read back from what was applied."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from tiketi_operator.manifests.metadata import child_name
from tiketi_operator.manifests.virtual_service import event_path
from tiketi_operator.phase import Stage
from tiketi_operator.plan import Plan
from tiketi_operator.queue_setup import Provisioned
from tiketi_operator.settings import OperatorSettings
from tiketi_operator.status import FALSE, TRUE, WAITING_FOR_QUEUE, Fact, Facts, unknown, utc_text
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import RateLimits, SaleContent
from tiketi_runtime.contracts.ticket_event import Lane, TicketEvent
from tiketi_runtime.contracts.ticket_event_status import Draw
from tiketi_runtime.kubernetes import Cluster

_ANSWER_SECONDS = 5
_LIMIT_HEADER = "x-ratelimit-limit"


@dataclass(frozen=True)
class Answer:
    """What the gateway answered to a buyer's request for the event; ``status`` 0 if nothing came."""

    status: int
    event: str | None = None
    """The event that the page is about."""
    limit: int | None = None
    """Requests allowed, as the gateway says in its headers; None if it limits nothing."""
    fault: str = ""


class Gateway:
    """The gateway, as a buyer sees it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def ask(self, event: TicketEvent) -> Answer:
        """Read the event's page under the event's own host name."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        headers = {"Host": event.spec.routing.host, "Accept": "application/json"}
        try:
            async with self._session.get(
                f"{self._url}{event_path(event.id)}", headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return Answer(answer.status, _event(await answer.read()), _limit(answer.headers))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(0, fault=str(error) or type(error).__name__)


def _event(page: bytes) -> str | None:
    try:
        document = json.loads(page)
    except ValueError:
        return None
    return str(document.get("event")) if isinstance(document, dict) else None


def _limit(headers: Mapping[str, str]) -> int | None:
    """The first number of ``x-ratelimit-limit``, which may go on with windows: "60, 60;w=10"."""
    first = headers.get(_LIMIT_HEADER, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else None


class Prover:
    """Finds out what is true of an event. Methods raise ApiUnavailable."""

    def __init__(self, cluster: Cluster, gateway: Gateway | None, settings: OperatorSettings) -> None:
        self._cluster = cluster
        self._gateway = gateway
        self._settings = settings

    async def prove(self, event: TicketEvent, sale: SaleContent, plan: Plan, queue: Fact) -> Facts:
        """The facts behind the conditions; ``queue`` is known already."""
        (routing, limits), capacity, ready = await asyncio.gather(
            self._reach(event, sale, queue), self._capacity(event, plan), self._ready(plan.destination)
        )
        return Facts(queue=queue, capacity=capacity, routing=routing, limits=limits, replicas=ready)

    async def _capacity(self, event: TicketEvent, plan: Plan) -> Fact:
        nodes = await has_nodes(self._cluster)
        if event.spec.capacity.lane is Lane.SHARED:
            return shared_capacity_fact(await self._ready(self._settings.ticket_service), plan.floor, nodes=nodes)
        return lane_capacity_fact(event, plan, await self._ready(child_name(event.id)), nodes=nodes)

    async def _reach(self, event: TicketEvent, sale: SaleContent, queue: Fact) -> tuple[Fact, Fact]:
        if self._gateway is None:
            unproved = unknown("NoGatewayUrl", "Set TIKETI_OPERATOR_GATEWAY_URL to have routes and limits proved.")
            return unproved, unproved
        answer = await self._gateway.ask(event)
        return routing_fact(answer, event.id, queue), limits_fact(answer, sale.rate_limits)

    async def _ready(self, service: str) -> int:
        return await ready_pods(self._cluster, service, self._settings.namespace)


async def ready_pods(cluster: Cluster, service: str, namespace: str) -> int:
    """Addresses of a Service that are ready to answer."""
    slices = await cluster.list_all(
        "discovery.k8s.io/v1", "EndpointSlice", namespace, {"kubernetes.io/service-name": service}
    )
    return len(_ready_addresses(slices))


def _ready_addresses(slices: Sequence[Mapping[str, Any]]) -> set[str]:
    return {
        address
        for part in slices
        for endpoint in part.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or []
    }


async def has_nodes(cluster: Cluster) -> bool:
    """Whether the cluster could run a pod at all."""
    return bool(await cluster.list_all("v1", "Node"))


def queue_fact(provisioned: Provisioned, sale: SaleContent, draws: Sequence[Draw] = ()) -> Fact:
    """Whether the services sell by the newest sheet, on the Redis server that holds the line.

    ``draws`` are what the status is about to show.
    """
    if provisioned.is_recovering:
        return Fact(
            FALSE,
            "Recovering",
            "Redis was restarted or lost its memory: buyers get 503 (queue-recovering) with Retry-After while the "
            "ticket service rebuilds the line from PostgreSQL and the receipts that waiting buyers present. That takes "
            "seconds and keeps every place. If it lasts, see the logs of the ticket pods.",
            settles=False,
        )
    if not provisioned.is_adopted:
        return Fact(
            FALSE,
            "NotAdopted",
            f"The ticket service has not taken over the sale sheet of {utc_text(provisioned.since)}. "
            "See that it runs and reaches Redis and its database.",
        )
    return _draw_fault(sale, draws, provisioned.now) or Fact(
        TRUE, "Adopted", "The services sell by the newest sale sheet."
    )


def _draw_fault(sale: SaleContent, draws: Sequence[Draw], now: datetime) -> Fact | None:
    """What is wrong with the draws of the sale; None if nothing is."""
    known = {draw.line: draw for draw in draws}
    lines = [line for line in sale.lines if line.draw_at is not None]
    uncommitted = [line.name for line in lines if line.name not in known]
    if uncommitted:
        return Fact(
            FALSE,
            "DrawNotCommitted",
            f"No commitment is published yet against which buyers could check the draw of: {', '.join(uncommitted)}. "
            "The ticket service publishes it when it has taken over the sale sheet.",
        )
    overdue = [line.name for line in lines if line.is_open(now) and known[line.name].drawn_at is None]
    if overdue:
        return Fact(
            FALSE,
            "NotDrawn",
            f"Open, and nobody is served because the order is not drawn yet: {', '.join(overdue)}. The logs of the "
            "ticket pods say what is missing, such as a beacon that no relay answers for.",
        )
    return None


def shared_capacity_fact(ready: int, floor: int, *, nodes: bool) -> Fact:
    """Whether the shared ticket service is as large as it was asked to be.

    In a cluster without nodes its processes were started by hand: one is enough.
    """
    wanted = floor if nodes else 1
    found = f"Ready pods of the shared ticket service: {ready} of {wanted}."
    if ready >= wanted:
        return Fact(TRUE, "PodsReady", found)
    return Fact(FALSE, "TooFewPods", f"{found} See its Deployment and autoscaler.")


def lane_capacity_fact(event: TicketEvent, plan: Plan, ready: int, *, nodes: bool) -> Fact:
    """Whether the event's lane is at its peak once the event is armed."""
    peak = event.spec.capacity.peak_replicas
    if not nodes:
        return Fact(
            FALSE,
            "NoNodes",
            "spec.capacity.lane is Dedicated, but the cluster has no node that could run the lane. "
            "Set it to Shared, or use a cluster with nodes.",
            settles=False,
        )
    if not plan.has_lane:
        return Fact(
            FALSE,
            "NoTicketService",
            "spec.capacity.lane is Dedicated, but there is no Deployment of the ticket service whose pods the lane "
            "could copy. Install the platform first.",
        )
    if plan.stage is Stage.ASLEEP:
        return unknown("Asleep", f"The lane has {peak} pods while the event is armed, and none otherwise.")
    found = f"Ready pods of the lane: {ready} of {peak}."
    if ready >= peak or (plan.stage is Stage.WINDING_DOWN and ready > 0):
        return Fact(TRUE, "PodsReady", found)
    return Fact(FALSE, "TooFewPods", f"{found} See Deployment {child_name(event.id)}.")


def routing_fact(answer: Answer, event: EventId, queue: Fact) -> Fact:
    """Whether a buyer's request reaches the event."""
    if answer.status == 200 and answer.event == event:
        return Fact(TRUE, "Answers", "The gateway leads to the event.")
    if answer.status == 429:
        return Fact(TRUE, "Limited", "The gateway leads to the event, and limits the operator's own requests.")
    if queue.status is not TRUE and answer.status == 404:
        return Fact(FALSE, WAITING_FOR_QUEUE, "The services do not know the event yet.")
    if answer.status == 0:
        return Fact(FALSE, "GatewayUnreachable", f"The gateway does not answer: {answer.fault}.")
    return Fact(
        FALSE,
        "WrongAnswer",
        f"The gateway answers {answer.status}, and not for this event. See its VirtualService and spec.routing.",
    )


def limits_fact(answer: Answer, limits: RateLimits) -> Fact:
    """Whether the gateway says, in its answer, that it holds one of the event's limits."""
    asked = {limit.requests for limit in (limits.per_event, limits.per_address, limits.per_buyer) if limit is not None}
    if not asked:
        return unknown("NoLimits", "The policy asks for no limits.")
    if answer.limit in asked:
        return Fact(TRUE, "Enforced", "The gateway holds the policy's limits.")
    if answer.status == 0:
        return Fact(FALSE, "GatewayUnreachable", f"The gateway does not answer: {answer.fault}.")
    found = "none" if answer.limit is None else f"{answer.limit} requests"
    return Fact(
        FALSE,
        "NotEnforced",
        f"The gateway's limit is {found}, the policy asks for one of {sorted(asked)}. See the event's EnvoyFilter: it "
        "takes effect in the namespace of the gateway's pods only.",
    )
