"""What wakes the operator, and who answers. With __main__ the only code that knows kopf.

All work on an event is done by its daemon, one visit at a time; everything else only wakes the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import kopf

from tiketi_operator.children import until_served
from tiketi_operator.health import serve_health
from tiketi_operator.manifests.metadata import EVENT_NAME, EVENT_NAMESPACE
from tiketi_operator.plan import CHILD_KINDS, SharedNeed
from tiketi_operator.ports import Ports, open_ports
from tiketi_operator.reconcile import Visit, dismiss, reconcile
from tiketi_operator.rounds import Rounds
from tiketi_operator.settings import OperatorSettings
from tiketi_operator.status import INVENTORY_CONSISTENT
from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.contracts.sale_sheet import Phase
from tiketi_runtime.contracts.ticket_event import Lane
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.redis import RedisError

_TRY_AGAIN_SECONDS = 2
_LOOK_AGAIN_SECONDS = 15
"""Between attempts at what only a person can mend, such as a missing right."""
_REFUSED_SECONDS = 5
"""How often an event that may not be deleted is asked whether it may now."""


@dataclass
class Desk:
    """What all handlers share."""

    settings: OperatorSettings
    rounds: Rounds = field(default_factory=Rounds)
    ports: Ports = field(init=False)
    opened: AsyncExitStack = field(default_factory=AsyncExitStack)


# --- The operator itself


@kopf.on.startup()
async def on_startup(memo: Desk, **_: Any) -> None:
    """Answer /healthz, open connections, wait for the kinds that are watched."""
    await memo.opened.enter_async_context(serve_health(memo.rounds, memo.settings))
    memo.ports = await memo.opened.enter_async_context(open_ports(memo.settings))
    await until_served(memo.ports.cluster, memo.settings.namespace)


@kopf.on.cleanup()
async def on_cleanup(memo: Desk, **_: Any) -> None:
    """Close what was opened."""
    await memo.opened.aclose()


@kopf.on.login()
def on_login(memo: Desk, **kwargs: Any) -> kopf.ConnectionInfo | None:
    """The API server, and the identity, that visits use too."""
    log_in = kopf.login_with_kubeconfig if memo.settings.kubeconfig else kopf.login_with_service_account
    return log_in(**kwargs)


# --- An event's life


@kopf.daemon("ticketevents", cancellation_backoff=5, cancellation_timeout=5, cancellation_polling=1)
async def on_its_time(body: kopf.Body, memo: Desk, stopped: kopf.DaemonStopped, **indices: Any) -> None:
    """Visit the event at every instant of its timeline, when it is woken, and every 30 s."""
    event = _id(body)
    place = memo.rounds.of(event)
    while not stopped:
        async with place.lock:
            place.begun = time.monotonic()
            with kopf_errors():
                visit = await reconcile(event, memo.ports, _all(indices["shared_needs"]), place.last_visit)
            if visit is None:
                memo.rounds.forget(event)
                return
            place.last_visit = visit.at
        post(visit, body)
        await memo.rounds.sleep(event, visit.sleep, stopped.wait())


@kopf.on.resume("ticketevents")
@kopf.on.create("ticketevents")
@kopf.on.update("ticketevents", field="spec")
async def on_ticket_event(body: kopf.Body, memo: Desk, **_: Any) -> None:
    """The organiser has written something."""
    memo.rounds.wake(_id(body))


@kopf.on.delete("ticketevents")
async def on_deletion(body: kopf.Body, memo: Desk, **indices: Any) -> None:
    """Sweep the event away; or, while buyers are in it, keep it going and say why it stays."""
    event = _id(body)
    place = memo.rounds.of(event)
    async with place.lock:
        place.begun = time.monotonic()
        with kopf_errors():
            visit = await dismiss(event, memo.ports, _all(indices["shared_needs"]))
    post(visit, body)
    if visit.refusal:
        raise kopf.TemporaryError(visit.refusal, delay=min(_REFUSED_SECONDS, visit.sleep.total_seconds()))
    memo.rounds.forget(event)


# --- What else concerns an event


@kopf.on.event("queuepolicies")
async def on_queue_policy(body: kopf.Body, memo: Desk, **_: Any) -> None:
    """A policy came, changed or went: the events of its namespace look whether it is theirs."""
    memo.rounds.wake_namespace(body["metadata"]["namespace"])


async def on_child(labels: kopf.Labels, memo: Desk, **_: Any) -> None:
    """A child of an event changed, or somebody changed it."""
    memo.rounds.wake(event_id(labels[EVENT_NAMESPACE], labels[EVENT_NAME]))


for _api_version, _kind in CHILD_KINDS:
    kopf.on.event(_api_version, _kind, labels={EVENT_NAME: kopf.PRESENT})(on_child)


def _is_newly_sold_out(status: kopf.Status, **_: Any) -> bool:
    sales = status.get("sales") or {}
    sold_out = sales.get("remaining") == 0 and not sales.get("held")
    return sold_out and status.get("phase") not in (Phase.SOLD_OUT, Phase.CLOSED, Phase.CANCELLED)


@kopf.on.event("ticketevents", when=_is_newly_sold_out)
async def on_sold_out(body: kopf.Body, memo: Desk, **_: Any) -> None:
    """Stats counted the last ticket."""
    memo.rounds.wake(_id(body))


def _has_new_verdict(status: kopf.Status, **_: Any) -> bool:
    audit = (status.get("sales") or {}).get("audit")
    if audit is None:
        return False
    is_wrong = bool(audit.get("mismatches") or audit.get("stopped"))
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    said = conditions.get(INVENTORY_CONSISTENT)
    return said is not None and (said == "False") is not is_wrong


@kopf.on.event("ticketevents", when=_has_new_verdict)
async def on_audit(body: kopf.Body, memo: Desk, **_: Any) -> None:
    """The auditor has found a mismatch, or that there is none any more."""
    memo.rounds.wake(_id(body))


@kopf.index("ticketevents")
async def shared_needs(body: kopf.Body, **_: Any) -> Mapping[EventId, SharedNeed]:
    """What each event asks of the shared ticket service; nothing while its timeline is not known."""
    timeline, capacity = body.status.get("timeline") or {}, body.spec["capacity"]
    if capacity["lane"] != Lane.SHARED or "armAt" not in timeline:
        return {}
    event = _id(body)
    arm_at, closes_at = (datetime.fromisoformat(timeline[key]) for key in ("armAt", "closesAt"))
    return {event: SharedNeed(event, arm_at, closes_at, capacity["peakReplicas"])}


# --- How kopf is spoken to


def post(visit: Visit, body: kopf.Body) -> None:
    """Notices as Kubernetes Events on the TicketEvent."""
    for notice in visit.notices:
        kind = "Warning" if notice.is_warning else "Normal"
        kopf.event(body, type=kind, reason=notice.reason, message=notice.message)


@contextmanager
def kopf_errors() -> Iterator[None]:
    """Errors in kopf's words. Nothing is given up for good: what is missing may come."""
    try:
        yield
    except RedisError as error:
        raise kopf.TemporaryError(f"Redis is away: {error}", delay=_TRY_AGAIN_SECONDS) from error
    except TiketiError as error:
        delay = _TRY_AGAIN_SECONDS if error.retryable else _LOOK_AGAIN_SECONDS
        raise kopf.TemporaryError(error.detail, delay=delay) from error


def _id(body: kopf.Body) -> EventId:
    return event_id(body["metadata"]["namespace"], body["metadata"]["name"])


def _all(needs: kopf.Index[EventId, SharedNeed]) -> list[SharedNeed]:
    return [need for found in needs.values() for need in found]
