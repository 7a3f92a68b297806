"""Rules of holds, orders and tickets, and what can be refused. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, Line, OrderId, SeatId
from tiketi_runtime.contracts.sale_sheet import Admission, LineSheet, SaleSheet
from tiketi_runtime.contracts.seating import section_name
from tiketi_runtime.errors import Conflict, InvalidRequest, InvalidToken, NotFound, TiketiError
from tiketi_services.ticket.queue.domain import SaleClosed

PLACED_PAINT = timedelta(hours=1)
"""How long a placed seat stays painted as held, if nobody paints it again. Longer than any order may stay open; so
short that a lost brush does not hide a seat for ever."""


class SeatTaken(Conflict):
    """Another buyer holds or owns one of the seats. ``taken`` names them, ``free`` names a few that are not."""

    code, title = "seat-taken", "Seat taken"


class NotEnoughSeats(Conflict):
    """The section has fewer free seats than asked for. ``left`` says how many."""

    code, title = "not-enough-seats", "Not enough seats"


class UnknownSeat(InvalidRequest):
    """The house has no such seat or section."""

    code, title = "unknown-seat", "Unknown seat"


class SectionNotOnSale(InvalidRequest):
    """The line the buyer came through sells other sections."""

    code, title = "section-not-on-sale", "Section not on sale"


class LimitReached(Conflict):
    """The buyer would have more tickets than one buyer may have. ``limit`` and ``held`` say how many."""

    code, title = "limit-reached", "Ticket limit reached"


class SalePaused(Conflict):
    """The organiser has stopped new holds for the moment."""

    code, title, retryable = "sale-paused", "Sale paused", True


class HoldNotFound(NotFound):
    """There is no such hold, or it is another buyer's."""

    code, title = "hold-not-found", "Hold not found"


class HoldExpired(Conflict):
    """The hold has run out or was released; or it never was this buyer's, which is not told apart."""

    code, title = "hold-expired", "Hold expired"


class AlreadyOrdered(Conflict):
    """The hold has become an order before. ``order`` names it."""

    code, title = "already-ordered", "Already ordered"


class IdempotencyKeyMissing(InvalidRequest):
    """The request needs an Idempotency-Key, so that it can be sent again when its answer is lost."""

    code, status, title = "idempotency-key-missing", 400, "Idempotency-Key missing"


class IdempotencyMismatch(InvalidRequest):
    """The Idempotency-Key was used with another body."""

    code, title = "idempotency-mismatch", "Idempotency-Key used before"


class RequestInFlight(Conflict):
    """A request with the same Idempotency-Key is being answered at this moment."""

    code, title, retryable = "request-in-flight", "Request in flight", True


class OrderNotFound(NotFound):
    """There is no such order, or it is another buyer's."""

    code, title = "order-not-found", "Order not found"


class OrderEnded(Conflict):
    """The order is paid, closed or refunded: there is nothing to cancel. ``state`` says which."""

    code, title = "order-ended", "Order ended"


class InvalidOutcome(InvalidRequest):
    """The payment outcome was not signed by payment, or says nothing of a paid order."""

    code, title = "invalid-outcome", "Invalid outcome"


class OutcomeMismatch(InvalidRequest):
    """The payment outcome is genuine, but of another order or another amount."""

    code, title = "outcome-mismatch", "Outcome does not match"


class OrderUnfulfillable(Conflict):
    """Paid, but the order was closed before. Payment gives the money back; no ticket is issued."""

    code, title = "order-unfulfillable", "Order unfulfillable"


class SeatLost(TiketiError):
    """A seat changed hands inside the deciding statement, which was undone. Ask again to learn more."""

    code, status, retryable, title = "seat-lost", 409, True, "Seat lost"


class OrderWithoutSeats(TiketiError):
    """An order lacks seats that are its own: a fault of ours. The statement that found out was undone."""

    code, title = "order-without-seats", "Order without its seats"


class OrderState(StrEnum):
    """Where an order stands."""

    OPEN = "OPEN"
    PAID = "PAID"
    CLOSED = "CLOSED"
    REFUNDED = "REFUNDED"


@dataclass(frozen=True, slots=True)
class Hold:
    """Seats set aside for a buyer until an instant of the database's clock."""

    id: HoldId
    seats: Sequence[SeatId]
    until: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """Seats that wait for payment, or what became of them."""

    id: OrderId
    event: EventId
    buyer: BuyerId
    hold: HoldId
    state: OrderState
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    name: str
    placed_at: datetime
    pay_by: datetime
    cancel_requested_at: datetime | None

    @property
    def time_to_pay(self) -> timedelta:
        """From placing to ``pay_by``."""
        return self.pay_by - self.placed_at

    def taken_seats(self) -> list[TakenSeat]:
        """The seats as they are while the order is open, or after it was paid."""
        state = "PLACED" if self.state is OrderState.OPEN else "SOLD"
        return [TakenSeat(seat, state, self.hold, self.buyer, None) for seat in self.seats]

    def intent(self) -> dict[str, Any]:
        """Claims of the payment intent: the same for as long as the order exists."""
        return {
            "order": self.id,
            "event": self.event,
            "buyer": self.buyer,
            "amount": self.amount,
            "currency": self.currency,
            "orderName": self.name,
            "payBy": int(self.pay_by.timestamp()),
        }


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to one seat."""

    id: str
    event: EventId
    seat: SeatId
    order: OrderId
    state: str
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class TakenSeat:
    """A seat that nobody can hold now, as PostgreSQL has it."""

    seat: SeatId
    state: str
    hold: HoldId
    buyer: BuyerId
    until: datetime | None

    @property
    def is_sold(self) -> bool:
        """Whether it is paid for."""
        return self.state == "SOLD"

    def paint(self, now: datetime) -> str:
        """What Redis shows: ``hold|buyer|until_ms``, or ``sold``."""
        if self.is_sold:
            return "sold"
        until = self.until or now + PLACED_PAINT
        return f"{self.hold}|{self.buyer}|{int(until.timestamp() * 1000)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Payment's signed word that an order is paid."""

    order: OrderId
    event: EventId
    buyer: BuyerId
    amount: int
    currency: str
    payment_key: str

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Self:
        """Read the claims of a verified outcome. Raises InvalidToken if they say something else."""
        try:
            if claims["status"] != "PAID" or type(claims["amount"]) is not int:
                raise ValueError("not a paid amount")
            return cls(
                order=OrderId(str(UUID(claims["order"]))),
                event=EventId(str(claims["event"])),
                buyer=BuyerId(str(claims["buyer"])),
                amount=claims["amount"],
                currency=str(claims["currency"]),
                payment_key=str(claims["paymentKey"]),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidToken(f"This is not the outcome of a paid order: {error}.") from error

    def is_of(self, order: Order) -> bool:
        """Whether this is the payment of that order, in full."""
        mine = (self.order, self.event, self.buyer, self.amount, self.currency)
        return mine == (order.id, order.event, order.buyer, order.amount, order.currency)


def line_on_sale(sale: SaleSheet, line: Line) -> LineSheet:
    """The line's sheet, if holds may be made. Raises SalePaused, SaleClosed. The clock is judged by PostgreSQL."""
    if sale.admission is Admission.PAUSED:
        raise SalePaused("The organiser has paused the sale. Your session goes on; try again shortly.", retryAfter=5)
    sheet = sale.line(line)
    if sheet is None:
        raise SaleClosed(f"The line {line} is no longer part of this sale.")
    return sheet


def check_seats(sale: SaleSheet, line: LineSheet, seats: Iterable[SeatId]) -> None:
    """Raises UnknownSeat, SectionNotOnSale."""
    wanted = list(seats)
    if unknown := [seat for seat in wanted if sale.section_of(seat) is None]:
        raise UnknownSeat(f"The house has no {', '.join(unknown[:5])}.", unknown=unknown)
    _check_sections(line, {section_name(seat) for seat in wanted})


def check_section(sale: SaleSheet, line: LineSheet, name: str) -> None:
    """Raises UnknownSeat, SectionNotOnSale."""
    if all(section.name != name for section in sale.sections):
        raise UnknownSeat(f"The house has no section {name}.")
    _check_sections(line, {name})


def _check_sections(line: LineSheet, names: set[str]) -> None:
    if closed := sorted(names.difference(line.sections)):
        raise SectionNotOnSale(f"{', '.join(closed)}: not sold in the line {line.name}.", sections=list(line.sections))


def check_limit(sale: SaleSheet, wanted: int, held: int = 0) -> None:
    """Raises LimitReached if nobody with ``held`` seats may have ``wanted`` more."""
    if held + wanted > (limit := sale.max_tickets_per_buyer):
        raise LimitReached(f"One buyer may have {limit} tickets; you have {held}.", limit=limit, held=held)


def amount_of(sale: SaleSheet, seats: Iterable[SeatId]) -> int:
    """Price of the seats together, in minor units. For display: an order is priced by PostgreSQL."""
    prices = {section.name: section.price for section in sale.sections}
    return sum(prices[section_name(seat)] for seat in seats)
