"""What buyers, payment and the clock do with seats. One function is one intent."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NoReturn
from uuid import UUID, uuid4

import msgspec
from prometheus_client import Counter

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.contracts.seating import section_name
from tiketi_runtime.errors import InvalidToken, TiketiError, Unavailable
from tiketi_runtime.outages import is_outage
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_services.ticket.orders.domain import (
    AlreadyOrdered,
    ExtensionsUsedUp,
    Hold,
    HoldChanged,
    HoldExpired,
    HoldNotFound,
    IdempotencyMismatch,
    InvalidOutcome,
    MoreTime,
    NotEnoughSeats,
    Order,
    OrderEnded,
    OrderNotFound,
    OrderState,
    OrderUnfulfillable,
    Outcome,
    OutcomeMismatch,
    RefundOfOrder,
    RequestInFlight,
    SeatLost,
    SeatTaken,
    SectionWithdrawn,
    TakenSeat,
    Ticket,
    Wish,
    check_seats,
    limit_reached,
    line_on_sale,
    sale_paused,
)
from tiketi_services.ticket.orders.payment import Closing, PaymentDesk
from tiketi_services.ticket.orders.repository import Keeping, OrderBook, Placing, SeatPaint, Verdict
from tiketi_services.ticket.orders.seat_maps import SeatMaps
from tiketi_services.ticket.queue.admissions import Admissions
from tiketi_services.ticket.queue.domain import SaleClosed
from tiketi_services.ticket.sales.domain import event_cancelled
from tiketi_services.ticket.sales.sales import Sales

INTENT: Final = "payment-intent+jwt"
OUTCOME: Final = "payment-outcome+jwt"
PAYMENT: Final = "tiketi-payment"

_TRIES: Final = 4
"""How often a decision is asked for again when what it was asked with has just changed."""
_FEWER: Final = "Lower `quantity`, or name fewer `seats`."
"""What to do at the limit."""
_RUSH: Final = timedelta(milliseconds=100)
"""How old a seat map may be for a buyer who has just lost a race; a crowd of them must not have it read each time."""
_ALTERNATIVES: Final = 8
"""Free seats named to a buyer who came too late, at most."""
_SETS: Final = 4
"""Sets of free seats offered to such a buyer, at most, out of so many times as many: a crowd must not meet again."""
_ROWS: Final = 8
"""Rows of the wanted seats shown to such a buyer, at most."""

HOLDS = Counter("tiketi_holds_total", "Wanted holds by outcome.", ["outcome"])
KEPT = Counter("tiketi_holds_kept_total", "Holds that were to go on, by what was wanted.", ["wanted", "outcome"])
ORDERS = Counter("tiketi_orders_total", "Orders by what happened to them.", ["what"])

log = logging.getLogger(__name__)


RefundsOf = Callable[[OrderId], Awaitable[Sequence[RefundOfOrder]]]


async def no_refunds(order: OrderId) -> Sequence[RefundOfOrder]:
    """Nothing was ever given back."""
    return ()


@dataclass(frozen=True, slots=True)
class BoxOffice:
    """Everything it takes to sell seats."""

    sales: Sales
    admissions: Admissions
    book: OrderBook
    paint: SeatPaint
    maps: SeatMaps
    signer: TokenSigner
    outcomes: TokenVerifier
    payment: PaymentDesk
    refunds: RefundsOf = no_refunds
    """What was given back of an order."""


# --- Holds


async def hold_seats(
    office: BoxOffice, event: EventId, buyer: BuyerId, pass_token: str, seats: Sequence[SeatId]
) -> Hold:
    """Hold exactly these seats, or none. Raises what ``_hold`` raises, and UnknownSeat, SectionNotOnSale."""
    sale, line = await _enter(office, event, buyer, pass_token)
    check_seats(sale, line, seats)
    return await _hold(office, sale, line, buyer, sorted(seats))


async def hold_best(office: BoxOffice, event: EventId, buyer: BuyerId, pass_token: str, wish: Wish) -> Hold:
    """Hold the best free seats there are for a wish. Raises NotEnoughSeats, and what ``hold_seats`` raises."""
    sale, line = await _enter(office, event, buyer, pass_token)
    sections = wish.sections(sale, line)
    await check_limit(office, sale, buyer, wish.quantity)
    for lost in range(_TRIES):
        house = (await office.maps.current(sale, _RUSH if lost else None)).house
        seats = house.best_of(sections, wish.quantity, among=4**lost)
        if not seats:
            left = max(map(house.free, sections))
            raise NotEnoughSeats(f"No section of {', '.join(sections)} has more than {left} free seats now.", left=left)
        house.take(seats)
        try:
            return await _hold(office, sale, line, buyer, sorted(seats))
        except SeatTaken as refusal:
            house.give_back(set(seats).difference(refusal.members["taken"]))
        except TiketiError:
            house.give_back(seats)
            raise
    raise await _seat_taken(office, sale, sections, seats, (), "Others were faster each time. Try again.")


async def extend_hold(office: BoxOffice, event: EventId, buyer: BuyerId, hold: HoldId) -> Hold:
    """Give a buyer who asks for it more time. Needs no session: the seats were promised, and may be ordered anyway.

    Raises ExtensionsUsedUp, HoldExpired, HoldChanged, AlreadyOrdered, HoldNotFound. While there is time enough nothing
    changes, and the answer is the hold as it is.
    """
    sale = await office.sales.sheet(event)
    keeping = await _decided(lambda: office.book.extend(event, buyer, hold, MoreTime.of(sale)))
    kept = _kept("time", keeping)
    if keeping.outcome == "extended":
        await office.paint.show(event, kept.taken_seats(buyer))
    return kept


async def change_seats(
    office: BoxOffice, event: EventId, buyer: BuyerId, pass_token: str, hold: HoldId, seats: Sequence[SeatId]
) -> Hold:
    """Exactly these seats instead of those of a hold; if one of them is lost, the hold stays as it is.

    The hold has a new name then and ends when it would have ended. Raises what ``hold_seats`` and ``extend_hold``
    raise.
    """
    sale, line = await _enter(office, event, buyer, pass_token)
    wanted, new = sorted(seats), HoldId(str(uuid4()))
    await check_limit(office, sale, buyer, len(wanted), apart_from=hold)
    for _ in range(_TRIES):
        check_seats(sale, line, wanted)
        keeping = await _decided(lambda: office.book.change(sale, line, buyer, hold, new, wanted))  # noqa: B023
        if keeping.outcome != "stale-sheet":
            break
        sale = await _newest(office, event)
        line = line_on_sale(sale, line.name)
    else:
        raise Unavailable("The seats could not be decided just now.", retryAfter=1)
    if keeping.outcome in ("taken", "limit-reached", "closed", "stopped"):
        KEPT.labels("seats", keeping.outcome).inc()
        verdict = Verdict(keeping.outcome, None, keeping.taken, keeping.live)
        return await _refuse(office, sale, line, wanted, verdict)
    kept = _kept("seats", keeping)
    if kept.id == new:
        office.maps.mark(sale, wanted)
        await office.paint.show(event, kept.taken_seats(buyer))
        await office.paint.unlock(event, [(seat, hold) for seat in keeping.dropped])
    return kept


async def holds_of(office: BoxOffice, event: EventId, buyer: BuyerId) -> list[Hold]:
    """What a buyer holds now: for a page that was loaded anew."""
    await office.sales.sheet(event)
    return await office.book.holds_of(event, buyer)


async def _decided(decide: Callable[[], Awaitable[Keeping]]) -> Keeping:
    for _ in range(_TRIES):
        try:
            return await decide()
        except SeatLost:
            continue
    raise Unavailable("The hold could not be decided just now.", retryAfter=1)


def _kept(wanted: str, keeping: Keeping) -> Hold:
    """The hold that goes on. Raises ExtensionsUsedUp, HoldExpired, HoldChanged, AlreadyOrdered, HoldNotFound."""
    outcome, kept = keeping.outcome, keeping.hold
    KEPT.labels(wanted, outcome).inc()
    if kept is None:
        raise HoldNotFound("There is no such hold.")
    if outcome == "replaced":
        raise _changed(kept.id)
    if outcome == "ordered":
        raise AlreadyOrdered("The hold has become an order, which has its own time.")
    if outcome == "expired":
        raise HoldExpired("The hold has run out. Hold seats again; your session goes on.")
    if outcome == "used-up":
        until = kept.until.isoformat()
        raise ExtensionsUsedUp(
            f"The hold lasts until {until} and no longer, for nobody else can buy its seats meanwhile."
            " An order has a time of its own.",
            until=until,
        )
    return kept


def _changed(successor: HoldId) -> HoldChanged:
    return HoldChanged(f"The hold has other seats now and is called {successor}.", hold=successor)


async def release_hold(office: BoxOffice, event: EventId, buyer: BuyerId, hold: HoldId) -> None:
    """Give a hold back; the buyer's session goes on. Again is no error.

    Raises HoldNotFound, AlreadyOrdered, HoldChanged (its seats were changed: nothing is given back by the old name).
    """
    await office.sales.sheet(event)
    release = await office.book.release(event, buyer, hold)
    if release is None:
        raise HoldNotFound("There is no such hold.")
    if release.order is not None:
        raise AlreadyOrdered("The hold has become an order; cancel that.", order=release.order)
    if not release.freed and (successor := await office.book.successor(buyer, hold)) is not None:
        raise _changed(successor)
    await office.paint.unlock(event, [(seat, hold) for seat in release.freed])


async def _enter(office: BoxOffice, event: EventId, buyer: BuyerId, pass_token: str) -> tuple[SaleSheet, LineSheet]:
    """Only who is admitted holds seats, and only those of the line they came through."""
    sale = await office.sales.sheet(event)
    if office.sales.is_cancelled(event):
        raise event_cancelled()
    admission = await office.admissions.require(event, buyer, pass_token)
    return sale, line_on_sale(sale, admission.line)


async def check_limit(
    office: BoxOffice,
    sale: SaleSheet,
    buyer: BuyerId,
    wanted: int,
    mend: str = _FEWER,
    *,
    apart_from: HoldId | None = None,
) -> None:
    """Raises LimitReached if nobody may have so many; what the buyer has is looked up only to say so."""
    if wanted > (limit := sale.max_tickets_per_buyer):
        held = await office.book.count_of(sale.event, buyer, apart_from)
        raise limit_reached(limit, held, wanted, mend)


async def _hold(office: BoxOffice, sale: SaleSheet, line: LineSheet, buyer: BuyerId, seats: Sequence[SeatId]) -> Hold:
    """Lock in Redis, then let PostgreSQL decide.

    Raises SeatTaken, LimitReached, SaleClosed, SalePaused. Without Redis (admissions apart) PostgreSQL decides alone.
    """
    await check_limit(office, sale, buyer, len(seats))
    hold = HoldId(str(uuid4()))
    if taken := await office.paint.lock(sale.event, hold, buyer, sale.hold_duration, seats):
        HOLDS.labels("turned-away").inc()
        raise await _seat_taken(office, sale, line.sections, seats, taken)
    verdict: Verdict | None = None
    try:
        verdict = await _verdict(office, sale, line, buyer, hold, seats)
    finally:
        if verdict is None or verdict.outcome != "held":
            await office.paint.unlock(sale.event, [(seat, hold) for seat in seats])
    HOLDS.labels(verdict.outcome).inc()
    if verdict.outcome == "held" and verdict.until is not None:
        office.maps.mark(sale, seats)
        return Hold(hold, seats, verdict.until, since=verdict.until - sale.hold_duration)
    return await _refuse(office, sale, line, seats, verdict)


async def _verdict(
    office: BoxOffice, sale: SaleSheet, line: LineSheet, buyer: BuyerId, hold: HoldId, seats: Sequence[SeatId]
) -> Verdict:
    """A verdict by the sheet that is in force: when it has just changed, the new one is read and asked with."""
    for _ in range(_TRIES):
        try:
            verdict = await office.book.hold(sale, line, buyer, hold, seats)
        except SeatLost:
            continue
        if verdict.outcome != "stale-sheet":
            return verdict
        sale = await _newest(office, sale.event)
        line = line_on_sale(sale, line.name)
        check_seats(sale, line, seats)
    raise Unavailable("The seats could not be decided just now.", retryAfter=1)


async def _newest(office: BoxOffice, event: EventId) -> SaleSheet:
    await office.sales.restore()
    return await office.sales.sheet(event)


async def _refuse(
    office: BoxOffice, sale: SaleSheet, line: LineSheet, wanted: Sequence[SeatId], verdict: Verdict
) -> NoReturn:
    if verdict.outcome == "taken":
        await office.paint.show(sale.event, await office.book.taken(sale.event, verdict.taken))
        raise await _seat_taken(office, sale, line.sections, wanted, verdict.taken)
    if verdict.outcome == "limit-reached":
        raise limit_reached(sale.max_tickets_per_buyer, verdict.live, len(wanted), _FEWER)
    if verdict.outcome == "stopped":
        await office.sales.refresh_stops()
        raise event_cancelled() if office.sales.is_cancelled(sale.event) else sale_paused()
    opens, closes = line.opens_at.isoformat(), line.closes_at.isoformat()
    raise SaleClosed(f"The line {line.name} is open from {opens} to {closes}.", opensAt=opens, closesAt=closes)


async def _seat_taken(
    office: BoxOffice,
    sale: SaleSheet,
    sections: Sequence[str],
    wanted: Sequence[SeatId],
    taken: Sequence[SeatId],
    detail: str = "",
) -> SeatTaken:
    """The refusal, with what the wanted rows look like and what was free a moment ago in ``sections``, theirs first."""
    house = (await office.maps.at_hand(sale)).house
    house.take(taken)
    here = sorted({section_name(seat) for seat in wanted})
    free = [seat for section in here for seat in house.best(section, _few(house.free(section)), among=_ALTERNATIVES)]
    offers = house.offers([*here, *(name for name in sections if name not in here)], len(wanted), _SETS * _SETS)
    return SeatTaken(
        detail or f"Taken: {', '.join(taken)}.",
        taken=list(taken),
        free=free[:_ALTERNATIVES],
        alternatives=random.sample(offers, min(_SETS, len(offers))),
        rows=[msgspec.to_builtins(row) for row in house.rows_of(taken or wanted, _ROWS)],
    )


def _few(free: int) -> int:
    return min(_ALTERNATIVES, free)


# --- Orders


async def place_order(
    office: BoxOffice, event: EventId, buyer: BuyerId, hold: HoldId, key: str, owner: str | None = None
) -> Order:
    """Turn a hold into an order; the same order for the same key and hold, however often it is asked.

    ``owner`` is the name on its tickets; that of the first request stays.

    Raises HoldExpired, HoldChanged, AlreadyOrdered, IdempotencyMismatch, RequestInFlight, EventCancelled,
    SectionWithdrawn. A sale that was paused or closed meanwhile is no reason to refuse: the seats were promised.
    """
    placing = await _placing(office, event, buyer, hold, key, owner)
    order = placing.order
    if placing.outcome == "placed" and order is not None:
        if placing.is_new:
            ORDERS.labels("placed").inc()
            log.info("order placed", extra={"order": order.id, "event": event, "buyer": buyer})
            await office.paint.show(event, order.taken_seats())
        return order
    if order is not None and placing.outcome == "ordered":
        raise AlreadyOrdered("This hold has become an order before.", order=order.id)
    if placing.outcome == "key-reused":
        raise IdempotencyMismatch("This Idempotency-Key was used for another hold. Use a new one.")
    if placing.outcome == "cancelled":
        raise event_cancelled()
    if placing.outcome == "withdrawn":
        raise SectionWithdrawn(
            "Some of the seats are not for sale any more. Change the seats of the hold, or give it back."
        )
    if placing.outcome == "in-flight":
        raise RequestInFlight("The same request is being answered. Send it again for its answer.", retryAfter=1)
    if (successor := await office.book.successor(buyer, hold)) is not None:
        raise _changed(successor)
    raise HoldExpired("The hold is no longer yours. Hold seats again; your session goes on.")


async def _placing(
    office: BoxOffice, event: EventId, buyer: BuyerId, hold: HoldId, key: str, owner: str | None
) -> Placing:
    sale = await office.sales.sheet(event)
    for _ in range(_TRIES):
        try:
            placing = await office.book.place(sale, buyer, hold, OrderId(str(uuid4())), key, owner)
        except SeatLost:
            continue
        if placing.outcome != "stale-sheet":
            return placing
        sale = await _newest(office, event)
    raise Unavailable("The order could not be decided just now.", retryAfter=1)


def sign_intent(office: BoxOffice, order: Order) -> str:
    """What the buyer carries to payment: the same word each time, good until ``pay_by``."""
    return office.signer.sign(INTENT, order.intent(), order.time_to_pay, issued_at=order.placed_at)


async def find_order(office: BoxOffice, order: OrderId, buyer: BuyerId) -> Order:
    """The buyer's order. Raises OrderNotFound, also for somebody else's."""
    found = await office.book.find(order)
    if found is None or found.buyer != buyer:
        raise OrderNotFound("There is no such order.")
    return found


async def tickets_of(office: BoxOffice, order: Order) -> list[Ticket]:
    """The order's tickets; none before it is paid."""
    return [] if order.state is OrderState.OPEN else await office.book.tickets_of_order(order.id)


async def cancel_order(office: BoxOffice, order: OrderId, buyer: BuyerId) -> Order:
    """Give an order up. Its seats are free once payment has closed it. Raises OrderNotFound, OrderEnded."""
    cancelled = await office.book.request_cancel(order, buyer)
    if cancelled is not None:
        return cancelled
    found = await find_order(office, order, buyer)
    if found.state is OrderState.CLOSED:
        return found
    raise OrderEnded(f"The order is {found.state}.", state=found.state)


# --- Payment's word


async def read_outcome(office: BoxOffice, token: str, order: OrderId) -> Outcome:
    """A genuine outcome of this order. Raises InvalidOutcome, OutcomeMismatch, Unavailable (keys not there yet)."""
    try:
        outcome = Outcome.from_claims(await office.outcomes.verify(token, OUTCOME, PAYMENT))
    except InvalidToken as error:
        raise InvalidOutcome(error.detail) from error
    if outcome.order != order:
        raise OutcomeMismatch("This is the outcome of another order.")
    return outcome


async def settle(office: BoxOffice, outcome: Outcome, message: UUID | None = None) -> Order:
    """Issue the tickets of a paid order, once, whoever brings the news and however often.

    Raises OutcomeMismatch, and OrderUnfulfillable if the order was closed or is unknown.
    """
    settled = await office.book.settle(outcome, message)
    if settled is None:
        return await _explain_unsettled(office, outcome)
    ORDERS.labels("paid").inc()
    log.info("tickets issued", extra={"order": settled.id, "event": settled.event, "buyer": settled.buyer})
    await office.paint.show(settled.event, settled.taken_seats())
    await _end_session(office, settled)
    return settled


async def _explain_unsettled(office: BoxOffice, outcome: Outcome) -> Order:
    order = await office.book.find(outcome.order)
    if order is not None and not outcome.is_of(order):
        log.error("outcome does not match its order", extra={"order": order.id, "amount": outcome.amount})
        raise OutcomeMismatch("The outcome and the order differ in event, buyer, amount or currency.")
    if order is not None and order.state in (OrderState.PAID, OrderState.REFUNDED):
        return order
    ORDERS.labels("unfulfillable").inc()
    log.error("paid order cannot be fulfilled", extra={"order": outcome.order, "event": outcome.event})
    raise OrderUnfulfillable("The order was closed before it was paid. Payment gives the money back.")


async def _end_session(office: BoxOffice, order: Order) -> None:
    """The purchase is done: the slot goes to the next in line. The tickets stand even if Redis cannot be told."""
    try:
        await office.admissions.end(order.event, order.buyer)
    except Exception as error:
        if not (is_outage(error) or isinstance(error, Unavailable)):
            raise
        log.warning("session ends by itself", extra={"event": order.event, "error": str(error)})


# --- Closing


async def close_order(office: BoxOffice, order: OrderId) -> Closing:
    """Ask payment to close an order that is past its time or given up. Its seats are freed on CLOSED, never else.

    Raises PaymentAway: the order stays open and is asked for again.
    """
    answer = await office.payment.close(order)
    if answer.status is Closing.PAID and answer.outcome is not None:
        await settle(office, await read_outcome(office, answer.outcome, order))
    if answer.status is Closing.CLOSED and (closed := await office.book.close(order)) is not None:
        ORDERS.labels("closed").inc()
        log.info("order closed", extra={"order": closed.id, "event": closed.event, "buyer": closed.buyer})
        if closed.cancel_requested_at is None:  # by name the seats are free, and else they look held for a while
            lapsed = [TakenSeat(seat, "HELD", closed.hold, closed.buyer, closed.pay_by) for seat in closed.seats]
            await office.paint.show(closed.event, lapsed)
        else:
            await office.paint.unlock(closed.event, [(seat, closed.hold) for seat in closed.seats])
    return answer.status


# --- What Redis shows


async def repaint(office: BoxOffice, event: EventId, *, patience: timedelta = timedelta(0)) -> None:
    """Paint and count an event's seats as PostgreSQL has them, whatever Redis showed before.

    The paint is read first, and a hold that is being made gets ``patience`` to become a row: else its seats are painted
    free, and PostgreSQL alone turns others away from them until it is painted again. An outage is raised: a line that
    is being rebuilt must not open with wrong counts.
    """
    paint = office.paint.insistent()
    before, sold = await paint.painted(event)
    await asyncio.sleep(patience.total_seconds())
    taken = await office.book.taken(event)
    held = {(seat.seat, seat.hold) for seat in taken}
    ghosts = [pair for pair in before if pair not in held]
    await paint.unlock(event, ghosts)
    given_back = set(sold).difference(seat.seat for seat in taken if seat.is_sold)
    await paint.unsell(event, [(seat, "") for seat in given_back])
    await paint.show(event, taken)
    await paint.recount(event)
    log.info("seats painted anew", extra={"event": event, "ghosts": len(ghosts), "seats": len(taken)})
