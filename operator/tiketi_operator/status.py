"""Status of an event from facts: conditions, their transitions, and what is worth a Kubernetes Event. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from tiketi_operator.phase import Stage, presale_times, stage_at, timeline_of
from tiketi_runtime.contracts.sale_sheet import Admission, Phase, SaleContent
from tiketi_runtime.contracts.ticket_event import TicketEvent
from tiketi_runtime.contracts.ticket_event_status import (
    AuditReport,
    Condition,
    ConditionStatus,
    Draw,
    TicketEventStatus,
    Timeline,
)

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

READY, RECONCILING, STALLED, ARMED = "Ready", "Reconciling", "Stalled", "Armed"
QUEUE_READY, CAPACITY_READY, ROUTING_READY = "QueueReady", "CapacityReady", "RoutingReady"
LIMITS_ENFORCED, INVENTORY_CONSISTENT = "LimitsEnforced", "InventoryConsistent"

WAITING_FOR_QUEUE = "WaitingForQueue"
"""Reason of a route that lacks nothing but a queue that is ready."""

_OWNED = ("phase", "observedGeneration", "conditions", "timeline", "draws", "replicas")


@dataclass(frozen=True)
class Fact:
    """What was found to be so. A fact that is not due says nothing about whether the event is ready."""

    status: ConditionStatus
    reason: str
    message: str
    due: bool = True
    settles: bool = True
    """Whether time alone may make it true."""


@dataclass(frozen=True)
class Facts:
    """What is true in the data plane."""

    queue: Fact
    capacity: Fact
    routing: Fact
    limits: Fact
    obstacle: Fact | None = None
    """Why the event as written cannot be carried out; None when nothing is in the way."""
    refusal: Fact | None = None
    """Why the event is not deleted although somebody asked for it. Nothing is wrong with the sale."""
    draws: tuple[Draw, ...] = ()
    """What is public about the draws of the sale."""
    replicas: int = 0
    """Ready pods that serve the event."""

    @classmethod
    def without_sale(cls, queue: Fact, obstacle: Fact | None) -> Self:
        """Nothing can be found out about an event that nobody can sell."""
        nothing = unknown("NoSale", "There is no sale to serve.")
        return cls(queue, nothing, nothing, nothing, obstacle)


@dataclass(frozen=True)
class Notice:
    """Something to post as a Kubernetes Event on the TicketEvent."""

    reason: str
    message: str
    is_warning: bool = False


_NOT_STALLED = Fact(FALSE, "NothingInTheWay", "Nothing waits for somebody's hand.")
NOT_AUDITED = Fact(UNKNOWN, "NotAudited", "Nobody has compared orders, payments and tickets yet.", due=False)


AUDIT_STALE = timedelta(minutes=30)
"""An audit older than this says nothing about now."""


def unknown(reason: str, message: str) -> Fact:
    """A fact that cannot be known yet and does not count."""
    return Fact(UNKNOWN, reason, message, due=False)


def inventory_fact(audit: AuditReport | None, now: datetime) -> Fact:
    """Whether orders, payments and tickets agree, as stats has found. A mismatch does not age: it stops the sale."""
    if audit is None:
        return NOT_AUDITED
    mend = "See docs/runbook-audit.md; resume with: tiketi-stats resume <namespace>/<name> --reason <words>."
    if audit.mismatches:
        message = f"{audit.mismatches} mismatches: {audit.message}. Nobody is admitted, nothing new is held. {mend}"
        return Fact(FALSE, "Mismatch", message, settles=False)
    if is_cancelled(audit):
        return Fact(FALSE, "EventCancelled", f"{audit.message}. See docs/refunds.md.", settles=False)
    if audit.stopped:
        return Fact(
            FALSE, "Stopped", f"All agree now, and the sale is stopped until it is resumed. {mend}", settles=False
        )
    if now - audit.completed_at > AUDIT_STALE:
        at = utc_text(audit.completed_at)
        return unknown("AuditStale", f"Orders, payments and tickets were last compared at {at}. See that stats runs.")
    waived = f" {audit.accepted} mismatches were accepted as they are." if audit.accepted else ""
    return Fact(TRUE, "Consistent", f"Every order agrees with its payment, seats and tickets.{waived}")


def is_cancelled(audit: AuditReport) -> bool:
    """Whether the sale is stopped because its event does not take place: only that stop has words and no mismatch."""
    return audit.stopped and not audit.mismatches and bool(audit.message)


def is_served(facts: Facts) -> bool:
    """Whether buyers can come in: the services have the sale, and a pod that is ready can be reached."""
    return facts.queue.status is TRUE and facts.routing.status is not FALSE and facts.replicas > 0


def utc_text(moment: datetime) -> str:
    """RFC 3339 in UTC and whole seconds, as Kubernetes writes times."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def compose(
    event: TicketEvent,
    sale: SaleContent | None,
    facts: Facts,
    *,
    phase: Phase,
    now: datetime,
    changed_at: datetime,
    settling: timedelta,
) -> TicketEventStatus:
    """The status the operator is to write.

    ``changed_at`` is when something was last asked for; for ``settling`` after it, what is not true yet is Unknown.
    """
    judged = _settled(facts, is_settling=now < changed_at + settling)
    found = {
        QUEUE_READY: judged.queue,
        CAPACITY_READY: judged.capacity,
        ROUTING_READY: judged.routing,
        LIMITS_ENFORCED: judged.limits,
    }
    found[ARMED] = _armed(sale, judged, now)
    sales = event.status.sales
    found[INVENTORY_CONSISTENT] = inventory_fact(None if sales is None else sales.audit, now)
    summary = {
        READY: _late(_ready(found, judged, phase, sale), phase, sale, event),
        RECONCILING: _reconciling(found),
        STALLED: judged.obstacle or judged.refusal or _NOT_STALLED,
    }
    return TicketEventStatus(
        phase=phase,
        observed_generation=event.generation,
        conditions=_conditions({**summary, **found}, event, now),
        timeline=timeline_of(sale) if sale is not None else _timeline_without_sale(event),
        draws=judged.draws,
        replicas=judged.replicas,
    )


def published(sale: SaleContent, found: Mapping[str, Draw], before: Sequence[Draw]) -> tuple[Draw, ...]:
    """What to show of the draws: as ticket says by line, and what was shown ``before`` where it says nothing.

    What is published is never taken back because Redis has lost it. A draw that was held stays, whatever becomes of
    the policy.
    """
    known = {draw.line: draw for draw in before} | dict(found)
    lines = ((line, known.get(line.name)) for line in sale.lines)
    return tuple(
        draw for line, draw in lines if draw is not None and (line.draw_at is not None or draw.drawn_at is not None)
    )


def document(status: TicketEventStatus) -> dict[str, Any]:
    """The fields of the status that the operator owns, as they are applied."""
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True, include={*_FIELDS})
    for condition in written["conditions"]:
        condition["lastTransitionTime"] = utc_text(datetime.fromisoformat(condition["lastTransitionTime"]))
    return written


def is_written(body: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the stored object already says what is wanted: then nothing is sent."""
    status = body.get("status") or {}
    return all(status.get(name) == wanted.get(name) for name in _OWNED)


def is_settled(status: TicketEventStatus) -> bool:
    """Whether there is nothing to wait for but time and people: then the event is looked at less often."""
    held = {condition.type: condition.status for condition in status.conditions}
    return TRUE in (held.get(READY), held.get(STALLED))


def notices(old: TicketEventStatus, new: TicketEventStatus) -> list[Notice]:
    """One for the phase if it changed, and one for each condition that turned and is not told of by another.

    Unknown is no news: it ends in something that is.
    """
    found = []
    if new.phase is not None and new.phase != old.phase:
        before = "" if old.phase is None else f", was {old.phase}"
        found.append(Notice(new.phase, f"The sale is {new.phase}{before}.", is_warning=new.phase is Phase.DELAYED))
    known = {condition.type: condition for condition in old.conditions}
    turned = [condition for condition in new.conditions if _has_turned(condition, known.get(condition.type))]
    wrong = {condition.type for condition in new.conditions if _is_wrong(condition)}
    found += [_news(condition) for condition in turned if not _is_told_by_another(condition, turned, wrong)]
    draws_before = {draw.line: draw for draw in old.draws}
    return [*found, *(notice for draw in new.draws for notice in _drawn(draw, draws_before.get(draw.line)))]


_FIELDS = ("phase", "observed_generation", "conditions", "timeline", "draws", "replicas")


def _settled(facts: Facts, *, is_settling: bool) -> Facts:
    if not is_settling:
        return facts
    return replace(
        facts,
        queue=_not_yet(facts.queue),
        capacity=_not_yet(facts.capacity),
        routing=_not_yet(facts.routing),
        limits=_not_yet(facts.limits),
    )


def _not_yet(fact: Fact) -> Fact:
    return replace(fact, status=UNKNOWN) if fact.due and fact.settles and fact.status is FALSE else fact


def _armed(sale: SaleContent | None, facts: Facts, now: datetime) -> Fact:
    if sale is None:
        return unknown("NoSale", "There is no sale to arm.")
    if now < sale.arm_at:
        return unknown("NotDue", f"Is armed at {utc_text(sale.arm_at)}.")
    if stage_at(sale, now) is not Stage.ARMED:
        return unknown("Closed", f"The sale closed at {utc_text(sale.closes_at)}.")
    parts = {QUEUE_READY: facts.queue, CAPACITY_READY: facts.capacity, ROUTING_READY: facts.routing}
    missing = [(name, fact) for name, fact in parts.items() if fact.status is not TRUE]
    if not missing:
        return Fact(TRUE, "Armed", "The sale opens, and goes on, without anybody acting.")
    waiting = all(fact.status is UNKNOWN for _, fact in missing)
    message = "; ".join(f"{name}: {fact.message}" for name, fact in missing)
    return Fact(UNKNOWN if waiting else FALSE, f"{missing[0][0].removesuffix(READY)}NotReady", message)


def _ready(found: Mapping[str, Fact], facts: Facts, phase: Phase, sale: SaleContent | None) -> Fact:
    if facts.obstacle is not None:
        return Fact(FALSE, facts.obstacle.reason, facts.obstacle.message)
    due = {name: fact for name, fact in found.items() if fact.due and name != ARMED}
    for status in (FALSE, UNKNOWN):
        wrong = [(name, fact) for name, fact in due.items() if fact.status is status]
        if wrong:
            return Fact(status, wrong[0][1].reason, "; ".join(f"{name}: {fact.message}" for name, fact in wrong))
    if facts.refusal is not None:
        return Fact(TRUE, facts.refusal.reason, f"{_outlook(phase, sale)} Deletion is put off. {facts.refusal.message}")
    return Fact(TRUE, "NothingWrong", _outlook(phase, sale))


def _late(ready: Fact, phase: Phase, sale: SaleContent | None, event: TicketEvent) -> Fact:
    """What is missing, and since when it matters."""
    if phase is not Phase.DELAYED:
        return ready
    opens_at = (sale or event.spec.sale).opens_at
    return replace(ready, message=f"Not on sale yet (opensAt {utc_text(opens_at)}). {ready.message}")


_BY_HAND = {
    Admission.PAUSED: "Admission is paused: nobody is admitted or holds seats until spec.admission is Open.",
    Admission.DRAIN: "Admission is draining: the line is served, and nobody joins until spec.admission is Open.",
}


def _outlook(phase: Phase, sale: SaleContent | None) -> str:
    if sale is None or phase is Phase.CLOSED:
        return "The sale is closed."
    by_hand = _BY_HAND.get(sale.admission, "")
    return f"{by_hand} {_next_time(phase, sale)}".lstrip()


def _next_time(phase: Phase, sale: SaleContent) -> str:
    if phase in (Phase.SCHEDULED, Phase.ARMED, Phase.PREQUEUE, Phase.PRESALE):
        return f"The public sale opens at {utc_text(sale.opens_at)}."
    if phase is Phase.CANCELLED:
        return "The event is cancelled."
    return f"The sale closes at {utc_text(sale.closes_at)}."


def _reconciling(found: Mapping[str, Fact]) -> Fact:
    waiting = [f"{name}: {fact.message}" for name, fact in found.items() if fact.due and fact.status is UNKNOWN]
    if waiting:
        return Fact(TRUE, "Settling", "; ".join(waiting))
    return Fact(FALSE, "Settled", "What was asked for has been done, or cannot be done for now.")


def _conditions(found: Mapping[str, Fact], event: TicketEvent, now: datetime) -> tuple[Condition, ...]:
    before = {condition.type: condition for condition in event.status.conditions}
    return tuple(_condition(name, fact, before.get(name), event.generation, now) for name, fact in found.items())


def _condition(name: str, fact: Fact, before: Condition | None, generation: int, now: datetime) -> Condition:
    turned = before is None or before.status is not fact.status
    return Condition(
        type=name,
        status=fact.status,
        reason=fact.reason,
        message=fact.message,
        last_transition_time=now.replace(microsecond=0) if turned or before is None else before.last_transition_time,
        observed_generation=generation,
    )


def _has_turned(condition: Condition, before: Condition | None) -> bool:
    """Whether there is something to tell. What stalls an event may be followed at once by something else that does."""
    if condition.type == RECONCILING or condition.status is UNKNOWN:
        return False
    if before is None:
        return condition.type != STALLED or condition.status is TRUE
    return condition.status is not before.status or (_is_stalled(condition) and condition.reason != before.reason)


def _is_stalled(condition: Condition) -> bool:
    return condition.type == STALLED and condition.status is TRUE


def _is_wrong(condition: Condition) -> bool:
    return _is_stalled(condition) or (condition.type not in (STALLED, RECONCILING) and condition.status is FALSE)


def _is_told_by_another(condition: Condition, turned: Sequence[Condition], wrong: Set[str]) -> bool:
    """Whether another condition tells the same: the one that a problem belongs to or, when it is over, Ready.

    One problem is one Event, though it makes several conditions turn.
    """
    if condition.type == STALLED and condition.status is FALSE:
        return any(other.type == READY and other.status is TRUE for other in turned)
    if condition.type not in wrong:
        return False
    if condition.type == ARMED:  # what was wrong long before the event is armed has to be told again then
        return any(other.type in wrong & {QUEUE_READY, CAPACITY_READY, ROUTING_READY} for other in turned)
    if condition.type == ROUTING_READY:
        return condition.reason == WAITING_FOR_QUEUE and QUEUE_READY in wrong
    if condition.type == LIMITS_ENFORCED:  # both are read from one answer
        return ROUTING_READY in wrong
    return condition.type == READY


def _news(condition: Condition) -> Notice:
    message = f"{condition.type} is {condition.status}: {condition.message}"
    return Notice(condition.reason, message, _is_wrong(condition))


def _drawn(draw: Draw, before: Draw | None) -> list[Notice]:
    """What happened to a draw since it was shown last."""
    told = []
    if before is None:
        message = f"Line {draw.line} will be drawn at {utc_text(draw.draw_at)}; commitment {draw.commitment}."
        told.append(Notice("DrawCommitted", message))
    elif before.commitment != draw.commitment:
        message = f"The commitment of line {draw.line} was {before.commitment} and is {draw.commitment} now."
        told.append(Notice("CommitmentChanged", message, is_warning=True))
    if draw.drawn_at is not None and (before is None or before.drawn_at is None):
        message = f"The {draw.entries} entries of line {draw.line} have been put in order; their root is {draw.root}."
        told.append(Notice("Drawn", message))
    return told


def _timeline_without_sale(event: TicketEvent) -> Timeline:
    """What can be said of the timeline while the event cannot be compiled: what was in effect last, else what is asked
    for.
    """
    last, sale = event.status.timeline, event.spec.sale
    if last is not None and last.arm_at is not None:  # only a compiled sale has an arming time
        return last
    return Timeline(
        presales=presale_times(sale.presales),
        opens_at=sale.opens_at.astimezone(UTC),
        closes_at=sale.closes_at.astimezone(UTC),
    )
