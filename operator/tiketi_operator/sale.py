"""From what the organiser wrote to what the services sell by. Pure."""

from __future__ import annotations

from datetime import datetime

from tiketi_runtime.contracts.duration import format_duration
from tiketi_runtime.contracts.identity import PUBLIC, Line
from tiketi_runtime.contracts.queue_policy import QueuePolicy
from tiketi_runtime.contracts.sale_sheet import (
    LineSheet,
    QueueingMethod,
    QueueSheet,
    RateLimits,
    SaleContent,
    VenueSheet,
)
from tiketi_runtime.contracts.ticket_event import TicketEvent


class Unsellable(Exception):
    """The event cannot be put on sale as it is. ``reason`` is one word for programs; the text names field and mend."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def check_sale(event: TicketEvent, policy: QueuePolicy | None) -> QueuePolicy:
    """What neither schema nor CEL can see, because it takes two objects or a clock. Raises Unsellable.

    Returns the policy, which is then known to be there.
    """
    if policy is None:
        name = event.spec.queue_policy_ref.name
        raise Unsellable(
            "QueuePolicyNotFound",
            f"spec.queuePolicyRef.name: there is no QueuePolicy {name} in namespace {event.namespace}. "
            "Create it, or name one that exists; the event then goes on by itself.",
        )
    hold, session = event.spec.sale.hold_duration, policy.spec.session_duration
    if session < hold:
        raise Unsellable(
            "HoldLongerThanSession",
            f"spec.sale.holdDuration is {format_duration(hold)}, but QueuePolicy {policy.name} ends a session after "
            f"{format_duration(session)} (spec.sessionDuration). Shorten the hold or lengthen the session.",
        )
    if was_over_at_creation(event):
        raise Unsellable(
            "SaleOver",
            f"spec.sale.closesAt ({event.spec.sale.closes_at.isoformat()}) was past when the event was created: "
            "nothing will be sold. Set a later closesAt.",
        )
    _check_supported(event, policy)
    return policy


def _check_supported(event: TicketEvent, policy: QueuePolicy) -> None:
    """The objects promise more than this version does. To sell without it would be worse than not to sell."""
    with_codes = next((p for p in event.spec.sale.presales if p.codes_secret_ref is not None), None)
    if with_codes is not None:
        raise Unsellable(
            "PresaleCodesNotSupported",
            f"spec.sale.presales: {with_codes.name} names a codesSecretRef, and this version asks nobody for a code. "
            "Leave codesSecretRef out if everybody may take part, or leave the presale out.",
        )
    shuffles = policy.spec.prequeue is not None and policy.spec.prequeue.shuffle_at_event_start
    if policy.spec.queueing_method is QueueingMethod.LOTTERY or shuffles:
        raise Unsellable(
            "LotteryNotSupported",
            f"QueuePolicy {policy.name} asks for a draw (spec.queueingMethod lottery, or "
            "spec.prequeue.shuffleAtEventStart), and this version forms no line by lot. Use fifo without shuffle.",
        )


def was_over_at_creation(event: TicketEvent) -> bool:
    """Whether the sale had ended before the object was created."""
    return event.creation_timestamp is not None and event.spec.sale.closes_at <= event.creation_timestamp


def opened_before_creation(event: TicketEvent) -> bool:
    """Whether the on-sale time was past when the object was created: it opens at once, unprepared."""
    return event.creation_timestamp is not None and event.spec.sale.opens_at < event.creation_timestamp


def compile_sale(event: TicketEvent, policy: QueuePolicy) -> SaleContent:
    """Everything the services need to run the sale, in one document without a number."""
    sale = event.spec.sale
    return SaleContent(
        event=event.id,
        uid=event.uid,
        generation=event.generation,
        title=event.spec.title,
        description=event.spec.description,
        venue=VenueSheet(name=event.spec.venue.name, time_zone=event.spec.venue.time_zone),
        starts_at=event.spec.starts_at,
        currency=sale.currency,
        arm_at=_arm_at(event, policy),
        prequeue_at=_prequeue_at(event, policy),
        opens_at=sale.opens_at,
        closes_at=sale.closes_at,
        max_tickets_per_buyer=sale.max_tickets_per_buyer,
        hold_duration=sale.hold_duration,
        refunds_until=sale.refunds_until,
        lines=_lines(event),
        sections=event.spec.seating.sections,
        queue=_queue(policy),
        rate_limits=RateLimits.model_validate(policy.spec.rate_limits.model_dump()),
        admission=event.spec.admission,
        message=event.spec.message,
        lane=event.spec.capacity.lane,
    )


def _prequeue_at(event: TicketEvent, policy: QueuePolicy) -> datetime | None:
    prequeue = policy.spec.prequeue
    return None if prequeue is None else event.spec.sale.opens_at - prequeue.opens_before


def _arm_at(event: TicketEvent, policy: QueuePolicy) -> datetime:
    """The lead time before the first opening, presale or public; with the prequeue if that is earlier."""
    sale = event.spec.sale
    first_opening = min([sale.opens_at, *(presale.opens_at for presale in sale.presales)])
    armed = first_opening - event.spec.capacity.prewarm_lead_time
    prequeue_at = _prequeue_at(event, policy)
    return armed if prequeue_at is None else min(armed, prequeue_at)


def _lines(event: TicketEvent) -> tuple[LineSheet, ...]:
    sale = event.spec.sale
    every = tuple(section.name for section in event.spec.seating.sections)
    presales = (
        LineSheet(
            name=Line(presale.name),
            opens_at=presale.opens_at,
            closes_at=presale.closes_at,
            sections=presale.sections or every,
        )
        for presale in sale.presales
    )
    return (*presales, LineSheet(name=PUBLIC, opens_at=sale.opens_at, closes_at=sale.closes_at, sections=every))


def _queue(policy: QueuePolicy) -> QueueSheet:
    spec = policy.spec
    return QueueSheet(
        method=spec.queueing_method,
        total_active_users=spec.total_active_users,
        new_users_per_minute=spec.new_users_per_minute,
        session_duration=spec.session_duration,
        ghost_timeout=spec.abandonment.ghost_timeout,
        claim_window=spec.abandonment.claim_window,
        shuffle_at_event_start=spec.prequeue is not None and spec.prequeue.shuffle_at_event_start,
    )
