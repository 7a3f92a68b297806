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
MOST_EXTENSIONS = 3
"""How often more time can be asked for a hold. With LONGEST_HOLD the bound of what WCAG 2.2.1 asks for: see
docs/holds.md for why there is one."""
LONGEST_HOLD = 3
"""How long a hold may last in all, in hold durations of the sale."""
_SECTIONS_NAMED = 5
"""Sections that a refusal names, at most."""
_TIME_TO_ASK = timedelta(seconds=20)
"""Who is warned has at least this long to ask for more time (WCAG 2.2.1)."""


class SeatTaken(Conflict):
    """Another buyer holds or owns one of the seats. ``taken`` names them, ``free`` names a few that are not.

    ``alternatives`` are free seats as well, in sets as large as the wanted one, neighbours where there are some;
    ``rows`` are the rows of the wanted seats as they look now.
    """

    code, title, is_noted = "seat-taken", "Seat taken", False


class NotEnoughSeats(Conflict):
    """No section in question has as many free seats as asked for. ``left`` says how many one has at most."""

    code, title = "not-enough-seats", "Not enough seats"


class UnknownSeat(InvalidRequest):
    """The house has no such seat or section."""

    code, title = "unknown-seat", "Unknown seat"


class SectionNotOnSale(InvalidRequest):
    """The line the buyer came through sells other sections."""

    code, title = "section-not-on-sale", "Section not on sale"


class SectionWithdrawn(Conflict):
    """A seat of the hold is in a section that has left the sale since. Nothing changed: the hold goes on."""

    code, title = "section-withdrawn", "Section withdrawn"


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


class HoldChanged(Conflict):
    """The hold got other seats and has a new name since. ``hold`` is that name."""

    code, title = "hold-changed", "Hold changed"


class ExtensionsUsedUp(Conflict):
    """The hold has had all the time that can be asked for. ``until`` says how long it lasts."""

    code, title = "extensions-used-up", "No more time"


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
    since: datetime
    """When it began, or the first of the holds that it goes on from by changes of seats."""
    extensions: int = 0
    """How often more time was asked for and given."""

    def taken_seats(self, buyer: BuyerId) -> list[TakenSeat]:
        """The seats as they are while the hold lasts."""
        return [TakenSeat(seat, "HELD", self.id, buyer, self.until) for seat in self.seats]


@dataclass(frozen=True, slots=True)
class MoreTime:
    """How a hold of a sale can be extended."""

    step: timedelta
    """What an extension gives, from the moment it is asked for."""
    longest: timedelta
    """No hold lasts longer in all."""
    enough: timedelta
    """While more than this is left, asking changes nothing."""

    @classmethod
    def of(cls, sale: SaleSheet) -> Self:
        """The rule of a sale."""
        step = sale.hold_duration
        return cls(step, LONGEST_HOLD * step, max(step / 2, _TIME_TO_ASK))

    def asked_from(self, hold: Hold) -> datetime:
        """When asking begins to help."""
        return hold.until - self.enough

    def ends(self, hold: Hold) -> datetime:
        """The latest moment the hold can last until; ``until`` itself once no extension is left."""
        if hold.extensions >= MOST_EXTENSIONS:
            return hold.until
        return max(hold.until, hold.since + self.longest)


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
class RefundOfOrder:
    """Tickets of an order that were given back at once."""

    refund: str
    order: OrderId
    reason: str
    state: str
    """REQUESTED, or DONE when the vendor has given the money back."""
    tickets: tuple[str, ...]
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    requested_at: datetime
    done_at: datetime | None


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


def sale_paused() -> SalePaused:
    """The refusal while the organiser has paused the sale, or its books do not agree."""
    return SalePaused("The sale is paused. Your session goes on; try again shortly.", retryAfter=5)


def line_on_sale(sale: SaleSheet, line: Line) -> LineSheet:
    """The line's sheet, if holds may be made. Raises SalePaused, SaleClosed. The clock is judged by PostgreSQL."""
    if sale.admission is Admission.PAUSED:
        raise sale_paused()
    sheet = sale.line(line)
    if sheet is None:
        raise SaleClosed(f"The line {line} is no longer part of this sale.")
    return sheet


def check_seats(sale: SaleSheet, line: LineSheet, seats: Iterable[SeatId]) -> None:
    """Raises UnknownSeat, SectionNotOnSale."""
    wanted = list(seats)
    if unknown := [seat for seat in wanted if sale.section_of(seat) is None]:
        sections = sorted(
            {section_name(seat) for seat in unknown}.difference(("", *(each.name for each in sale.sections)))
        )
        if sections:
            raise unknown_sections(sale, sections, unknown)
        raise UnknownSeat(f"The house has no {', '.join(unknown[:5])}.", unknown=unknown)
    _check_sections(line, {section_name(seat) for seat in wanted})


def unknown_sections(sale: SaleSheet, sections: Sequence[str], unknown: Sequence[str]) -> UnknownSeat:
    """The refusal of what is in sections that are not there, with some that are."""
    names = [section.name for section in sale.sections]
    there = ", ".join(names[:_SECTIONS_NAMED]) + (", …" if len(names) > _SECTIONS_NAMED else "")
    return UnknownSeat(
        f"The house has no section {', '.join(sections[:_SECTIONS_NAMED])}; it has {there}.", unknown=list(unknown)
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """So many seats next to each other, wherever they are best."""

    quantity: int
    section: str | None = None
    """None: any section that the line sells."""
    is_cheapest_best: bool = False
    """Of several sections: the cheaper are better, else the dearer."""
    max_price: int | None = None
    """What one seat may cost, in minor units."""

    def sections(self, sale: SaleSheet, line: LineSheet) -> list[str]:
        """Where to look, best first. Raises UnknownSeat, SectionNotOnSale, NotEnoughSeats (none is so cheap)."""
        if self.section is not None:
            if all(section.name != self.section for section in sale.sections):
                raise unknown_sections(sale, [self.section], [self.section])
            _check_sections(line, {self.section})
            return [self.section]
        on_sale = [section for section in sale.sections if section.name in line.sections]
        affordable = [section for section in on_sale if self.max_price is None or section.price <= self.max_price]
        if not affordable:
            raise NotEnoughSeats(f"No section of the line {line.name} costs {self.max_price} or less.", left=0)
        # The sort is stable: sections of one price stay in the organiser's order.
        ranked = sorted(affordable, key=lambda section: section.price if self.is_cheapest_best else -section.price)
        return [section.name for section in ranked]


def _check_sections(line: LineSheet, names: set[str]) -> None:
    if closed := sorted(names.difference(line.sections)):
        raise SectionNotOnSale(f"{', '.join(closed)}: not sold in the line {line.name}.", sections=list(line.sections))


def limit_reached(limit: int, held: int, wanted: int, mend: str) -> LimitReached:
    """Somebody who has ``held`` tickets and wants so many besides."""
    return LimitReached(
        f"You have {held} tickets, held or bought, and ask for {wanted} besides; one buyer may have {limit}. {mend}",
        limit=limit,
        held=held,
    )


def amount_of(sale: SaleSheet, seats: Iterable[SeatId]) -> int:
    """Price of the seats together, in minor units. For display: an order is priced by PostgreSQL."""
    prices = {section.name: section.price for section in sale.sections}
    return sum(prices[section_name(seat)] for seat in seats)
