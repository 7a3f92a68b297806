"""From what the organiser wrote to what the services sell by. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from tiketi_runtime.contracts.beacon import Chain, round_after, round_time
from tiketi_runtime.contracts.duration import format_duration
from tiketi_runtime.contracts.identity import PUBLIC, Line
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.queue_policy import QueuePolicy
from tiketi_runtime.contracts.sale_sheet import (
    AdaptiveSheet,
    BeaconSheet,
    CodesSheet,
    DrawPromise,
    LineSheet,
    QueueingMethod,
    QueueSheet,
    RateLimits,
    SaleContent,
    VenueSheet,
)
from tiketi_runtime.contracts.ticket_event import Presale, TicketEvent
from tiketi_runtime.contracts.ticket_event_status import Draw

Books = Mapping[Line, CodeBook]
"""Codes of presales, by line."""
Chains = Mapping[str, Chain]
"""Beacon chains whose rounds can be verified, by hash."""

_WARNING: Final = timedelta(minutes=1)
"""Least time between the news that a draw was brought forward and the draw."""
_TIME_TO_SELL_AGAIN: Final = timedelta(minutes=30)
"""Seats of a ticket that is given back return to the sale after up to 12 minutes, and then have to be found."""
_NO_BOOKS: Final[Books] = MappingProxyType({})


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
    return policy


def check_draws(sale: SaleContent, policy: QueuePolicy, chains: Chains) -> None:
    """Whether every draw of the compiled sale can be held as it was promised. Raises Unsellable."""
    for line in sale.lines:
        if line.draw_at is None:
            continue
        joins_from = sale.lead_in_at(line)
        if line.draw_at <= joins_from:
            raise Unsellable(
                "DrawBeforeEntries",
                f"Line {line.name} would be drawn at {line.draw_at.isoformat()}, and nobody can join it before "
                f"{joins_from.isoformat()}. Shorten spec.lottery.drawBefore of QueuePolicy {policy.name}, or let "
                "buyers come earlier: a presale by spec.capacity.prewarmLeadTime, the public sale by the policy's "
                "spec.prequeue.opensBefore.",
            )
        if line.beacon is not None:
            _check_beacon(line.beacon, line, line.draw_at, policy, chains)


def _check_beacon(beacon: BeaconSheet, line: LineSheet, draw_at: datetime, policy: QueuePolicy, chains: Chains) -> None:
    """The round must be unknown to everybody while buyers join, and known when they are served."""
    field = f"QueuePolicy {policy.name}, spec.lottery.beacon"
    chain = chains.get(beacon.chain)
    if chain is None:
        known = ", ".join(f"{each.hash} ({each.beacon_id})" for each in chains.values())
        raise Unsellable(
            "BeaconChainUnknown",
            f"{field}.chain: no round of chain {beacon.chain} could be verified. Name one of: {known}.",
        )
    published_at = round_time(chain, beacon.round)
    if not draw_at < published_at < line.opens_at:
        raise Unsellable(
            "BeaconRoundMisplaced",
            f"{field}.round: round {beacon.round} is published at {published_at.isoformat()}, and has to be between "
            f"the draw of line {line.name} ({draw_at.isoformat()}) and its opening ({line.opens_at.isoformat()}). "
            f"{_fitting_rounds(chain, draw_at, line.opens_at)}",
        )


def _fitting_rounds(chain: Chain, after: datetime, before: datetime) -> str:
    first, last = round_after(chain, after), round_after(chain, before - timedelta.resolution) - 1
    if first > last:
        return "No round of this chain is: lengthen spec.lottery.drawBefore."
    return f"Rounds {first} to {last} are."


def was_over_at_creation(event: TicketEvent) -> bool:
    """Whether the sale had ended before the object was created."""
    return event.creation_timestamp is not None and event.spec.sale.closes_at <= event.creation_timestamp


def opened_before_creation(event: TicketEvent) -> bool:
    """Whether the on-sale time was past when the object was created: it opens at once, unprepared."""
    return event.creation_timestamp is not None and event.spec.sale.opens_at < event.creation_timestamp


def late_refunds(event: TicketEvent) -> str | None:
    """What to tell the organiser if buyers may give tickets back when nobody can buy them any more; else None."""
    sale, starts = event.spec.sale, event.spec.starts_at
    if sale.refunds_until is None:
        return None
    name, end = min(("spec.sale.closesAt", sale.closes_at), ("spec.startsAt", starts), key=lambda each: each[1])
    if sale.refunds_until <= end - _TIME_TO_SELL_AGAIN:
        return None
    return (
        f"spec.sale.refundsUntil is later than {_TIME_TO_SELL_AGAIN // timedelta(minutes=1)} minutes before {name}:"
        " seats of tickets that are given back late are refunded, and nobody can buy them again. Set it earlier unless"
        " that is what you want."
    )


def compile_sale(event: TicketEvent, policy: QueuePolicy, books: Books = _NO_BOOKS) -> SaleContent:
    """Everything the services need to run the sale, in one document without a number.

    ``books`` are the codes of presales; one that asks for codes and has no book lets nobody in.
    """
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
        lines=_lines(event, policy, books),
        sections=event.spec.seating.sections,
        queue=_queue(policy),
        rate_limits=RateLimits.model_validate(policy.spec.rate_limits.model_dump()),
        admission=event.spec.admission,
        message=event.spec.message,
        lane=event.spec.capacity.lane,
    )


@dataclass(frozen=True)
class KeptDraw:
    """A change of a line's draw that is not carried out: one word for programs, and text naming field and mend."""

    reason: str
    message: str


def keep_draws(
    compiled: SaleContent,
    stored: SaleContent | None,
    now: datetime,
    shown: Sequence[Draw] = (),
    owed: Sequence[DrawPromise] = (),
) -> tuple[SaleContent, tuple[KeptDraw, ...]]:
    """The sale without changes of draws that come too late, and what has to be said of them.

    Once buyers may have joined a line, no draw is begun or dropped, or brought forward to surprise them; one that is
    due or held does not move. A postponement changes nothing of that: ``LineSheet.joined_from`` remembers.

    ``stored`` is the sheet before this one. If Redis has lost it, ``shown`` (the draws in the status) tells what was
    promised; an event that is seen for the first time has neither. ``owed`` are the promises for which ticket, which
    forgets nothing, did not take over the stored sheet: they count first.
    """
    lines, changes = [], []
    for line in compiled.lines:
        told = _told(line, compiled, stored, now, shown, owed)
        kept, change = (line, None) if told is None else _keep_draw(line, told, now, is_held=_is_held(line, shown))
        if told is not None and told.joined_from < compiled.lead_in_at(line):
            kept = kept.model_copy(update={"joined_from": told.joined_from})
        lines.append(kept)
        if change is not None and now < line.closes_at:
            changes.append(change)
    queue = compiled.queue.model_copy(update={"method": _method(compiled, stored, lines[-1])})
    # Not model_copy: it would take over what the sale has cached of its lines.
    return SaleContent.model_validate({**dict(compiled), "lines": tuple(lines), "queue": queue}), tuple(changes)


def _told(
    line: LineSheet,
    compiled: SaleContent,
    stored: SaleContent | None,
    now: datetime,
    shown: Sequence[Draw],
    owed: Sequence[DrawPromise],
) -> DrawPromise | None:
    """What those who have joined the line were told; None if nobody can have joined it."""
    promise = next((each for each in owed if each.line == line.name), None)
    if promise is not None:
        return promise
    if stored is not None:
        before = stored.line(line.name)
        return None if before is None else stored.promise(before, now)
    draw = next((each for each in shown if each.line == line.name), None)
    if draw is None:
        return None
    beacon = None if draw.beacon is None else BeaconSheet(chain=draw.beacon.chain, round=draw.beacon.round)
    return compiled.promise(line.model_copy(update={"draw_at": draw.draw_at, "beacon": beacon}), now)


def _is_held(line: LineSheet, shown: Sequence[Draw]) -> bool:
    return any(draw.line == line.name and draw.drawn_at is not None for draw in shown)


def _keep_draw(
    line: LineSheet, told: DrawPromise, now: datetime, *, is_held: bool
) -> tuple[LineSheet, KeptDraw | None]:
    if told.draw_at is None:
        kept = line.model_copy(update={"draw_at": None, "beacon": None})
        return kept, None if line.draw_at is None else _too_late(line, told.joined_from)
    if line.draw_at is None:
        kept = line.model_copy(update={"draw_at": told.draw_at, "beacon": told.beacon})
        return kept, None if is_held else _promised(line, told.draw_at)
    if told.draw_at > now and line.draw_at >= min(told.draw_at, now + _WARNING):
        return line, None
    beacon = None if line.beacon is None else told.beacon  # it may be withdrawn at any time
    kept = line.model_copy(update={"draw_at": told.draw_at, "beacon": beacon})
    if told.draw_at > now:
        return kept, _too_soon(line, told.draw_at)
    return kept, None if is_held or line.draw_at <= told.draw_at else _held(line, told.draw_at)


def _too_late(line: LineSheet, joins_from: datetime) -> KeptDraw:
    return KeptDraw(
        "DrawTooLate",
        f"Line {line.name} could be joined from {joins_from.isoformat()} on, and no draw of it was planned by then: it "
        "goes on in the order it has. Set spec.queueingMethod and spec.prequeue.shuffleAtEventStart of the QueuePolicy "
        "back. A draw has to be planned before the line may be joined: make a new event, with another name, for one.",
    )


def _promised(line: LineSheet, draw_at: datetime) -> KeptDraw:
    return KeptDraw(
        "DrawPromised",
        f"Line {line.name} is drawn as of {draw_at.isoformat()} all the same: those who joined it were promised so. "
        "Set spec.queueingMethod and spec.prequeue.shuffleAtEventStart of the QueuePolicy back. For a sale in the "
        "order of joining make a new event, with another name.",
    )


def _too_soon(line: LineSheet, draw_at: datetime) -> KeptDraw:
    return KeptDraw(
        "DrawTooSoon",
        f"Line {line.name} is drawn at {draw_at.isoformat()} all the same: buyers who joined it count on that, and the "
        f"draw was brought forward with less than {format_duration(_WARNING)} of warning. Set spec.sale.opensAt (of a "
        "presale: its opensAt), or spec.lottery.drawBefore of the QueuePolicy, to a time that leaves as much, or back.",
    )


def _held(line: LineSheet, draw_at: datetime) -> KeptDraw:
    return KeptDraw(
        "DrawHeld",
        f"Line {line.name} keeps the order of its draw at {draw_at.isoformat()}: a line is drawn once, however often "
        "its sale is postponed or made again under the same name. For another draw make a new event, with another "
        "name.",
    )


def _method(compiled: SaleContent, stored: SaleContent | None, public: LineSheet) -> QueueingMethod:
    """The method that buyers are shown: between fifo and lottery it is what becomes of the public line."""
    method = compiled.queue.method
    if method is QueueingMethod.LOTTERY and public.draw_at is None:
        return QueueingMethod.FIFO
    was_lottery = stored is not None and stored.queue.method is QueueingMethod.LOTTERY
    is_kept = public.draw_at is not None and compiled.lines[-1].draw_at is None
    return QueueingMethod.LOTTERY if method is QueueingMethod.FIFO and was_lottery and is_kept else method


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


def _lines(event: TicketEvent, policy: QueuePolicy, books: Books) -> tuple[LineSheet, ...]:
    sale = event.spec.sale
    every = tuple(section.name for section in event.spec.seating.sections)
    presales = (
        LineSheet(
            name=Line(presale.name),
            opens_at=presale.opens_at,
            closes_at=presale.closes_at,
            sections=presale.sections or every,
            draw_at=_draw_at(presale.opens_at, policy, is_public=False),
            codes=_codes(presale, books),
        )
        for presale in sale.presales
    )
    public = LineSheet(
        name=PUBLIC,
        opens_at=sale.opens_at,
        closes_at=sale.closes_at,
        sections=every,
        draw_at=_draw_at(sale.opens_at, policy, is_public=True),
        beacon=_beacon(policy),
    )
    return (*presales, public)


def _draw_at(opens_at: datetime, policy: QueuePolicy, *, is_public: bool) -> datetime | None:
    return opens_at - policy.spec.lottery.draw_before if _is_drawn(policy, is_public=is_public) else None


def _is_drawn(policy: QueuePolicy, *, is_public: bool) -> bool:
    """A lottery draws every line; a shuffle the public one, the only line that has a prequeue."""
    prequeue = policy.spec.prequeue
    is_shuffled = is_public and prequeue is not None and prequeue.shuffle_at_event_start
    return is_shuffled or policy.spec.queueing_method is QueueingMethod.LOTTERY


def _codes(presale: Presale, books: Books) -> CodesSheet | None:
    if presale.codes_secret_ref is None:
        return None
    book = books.get(Line(presale.name))
    if book is None:
        return CodesSheet(use=presale.code_use, count=0, version="")
    return CodesSheet(use=presale.code_use, count=len(book.digests), version=book.version)


def _queue(policy: QueuePolicy) -> QueueSheet:
    spec = policy.spec
    return QueueSheet(
        method=spec.queueing_method,
        total_active_users=spec.total_active_users,
        new_users_per_minute=spec.new_users_per_minute,
        session_duration=spec.session_duration,
        ghost_timeout=spec.abandonment.ghost_timeout,
        claim_window=spec.abandonment.claim_window,
        adaptive=_adaptive(policy),
        max_proof_bits=spec.proof_of_work.max_bits,
    )


def _beacon(policy: QueuePolicy) -> BeaconSheet | None:
    """The round that goes into the draw of the public line. A presale's draw is at another time: it has none."""
    beacon = policy.spec.lottery.beacon
    if beacon is None or not _is_drawn(policy, is_public=True):
        return None
    return BeaconSheet(chain=beacon.chain, round=beacon.round)


def _adaptive(policy: QueuePolicy) -> AdaptiveSheet | None:
    adaptive = policy.spec.adaptive
    if adaptive is None:
        return None
    return AdaptiveSheet(
        p95_latency=timedelta(milliseconds=adaptive.p95_latency_ms),
        error_rate=adaptive.error_rate,
        floor_per_minute=adaptive.floor_per_minute,
    )
