"""Bodies of requests and answers: JSON in camelCase."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import SECTION_NAME
from tiketi_services.ticket.orders.domain import (
    MOST_EXTENSIONS,
    Hold,
    MoreTime,
    Order,
    OrderState,
    RefundOfOrder,
    Ticket,
    Wish,
    amount_of,
)

MOST_SEATS = 100
"""Seats in one request, at most. The sale's own limit is checked afterwards."""


def _all_different(seats: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(seats)) < len(seats):
        raise ValueError("a seat is named twice")
    return seats


SeatName = Annotated[str, StringConstraints(max_length=20, pattern=r"^[A-Z0-9]+(-[0-9]+){1,2}$")]
SeatNames = Annotated[tuple[SeatName, ...], Field(min_length=1, max_length=MOST_SEATS), AfterValidator(_all_different)]


class Request(BaseModel):
    """What a client sends: nothing beyond the fields, no value of another type."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class View(BaseModel):
    """What a client is shown."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class HoldRequest(Request):
    """Either ``seats``, or ``quantity`` for the best free ones next to each other."""

    seats: SeatNames | None = None
    quantity: Annotated[int, Field(ge=1, le=MOST_SEATS, strict=True)] | None = None
    section: Annotated[str, StringConstraints(max_length=12, pattern=SECTION_NAME)] | None = None
    """Where, if not anywhere."""
    prefer: Literal["best", "cheapest"] | None = None
    """Anywhere: the dearer sections first (which is what is done if nothing is said), or the cheaper ones."""
    max_price: Annotated[int, Field(ge=0, le=100_000_000, strict=True)] | None = None
    """Anywhere: what one seat may cost, in minor units."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        anywhere = self.prefer is not None or self.max_price is not None
        if (self.seats is None) == (self.quantity is None):
            raise ValueError("give seats, or quantity")
        if self.seats is not None and (anywhere or self.section is not None):
            raise ValueError("section, prefer and maxPrice go with quantity")
        if self.section is not None and anywhere:
            raise ValueError("give section, or prefer and maxPrice")
        return self

    def wish(self) -> Wish:
        """What is wished for, if no seats are named."""
        return Wish(self.quantity or 0, self.section, self.prefer == "cheapest", self.max_price)


class ChangeRequest(Request):
    """All seats that the hold is to have from now on: those it has and keeps, and those it gets."""

    seats: SeatNames


class HoldView(View):
    """A hold as its buyer has it."""

    hold: HoldId
    seats: tuple[SeatId, ...]
    until: datetime
    amount: int
    """Minor units of ``currency``."""
    currency: str
    extensions_left: int
    """How often more time can still be asked for."""
    extendable_from: datetime
    """Asking earlier changes nothing."""
    extendable_until: datetime
    """The hold cannot last longer than this, however often it is asked for."""

    @classmethod
    def of(cls, hold: Hold, sale: SaleSheet) -> Self:
        """The view of a hold."""
        more = MoreTime.of(sale)
        return cls(
            hold=hold.id,
            seats=tuple(hold.seats),
            until=hold.until,
            amount=amount_of(sale, hold.seats),
            currency=sale.currency,
            extensions_left=MOST_EXTENSIONS - hold.extensions,
            extendable_from=more.asked_from(hold),
            extendable_until=more.ends(hold),
        )


class HoldsView(View):
    """What a buyer holds of one event."""

    holds: tuple[HoldView, ...]


class OrderRequest(Request):
    """The hold that is to become an order."""

    hold: Annotated[str, StringConstraints(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class PlacedView(View):
    """A placed order, and the intent to carry to payment. The same for each request with the same key."""

    order: OrderId
    seats: tuple[SeatId, ...]
    amount: int
    currency: str
    pay_by: datetime
    intent: str

    @classmethod
    def of(cls, order: Order, intent: str) -> Self:
        """The view of a placed order."""
        return cls(
            order=order.id,
            seats=order.seats,
            amount=order.amount,
            currency=order.currency,
            pay_by=order.pay_by,
            intent=intent,
        )


class OutcomeRequest(Request):
    """The signed outcome that payment gave the buyer."""

    outcome: Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class TicketView(View):
    """One ticket."""

    ticket: str
    event: EventId
    seat: SeatId
    order: OrderId
    state: str
    issued_at: datetime

    @classmethod
    def of(cls, ticket: Ticket) -> Self:
        """The view of a ticket."""
        return cls(
            ticket=ticket.id,
            event=ticket.event,
            seat=ticket.seat,
            order=ticket.order,
            state=ticket.state,
            issued_at=ticket.issued_at,
        )


class RefundView(View):
    """Tickets that were given back, and whether the money was."""

    refund: str
    order: OrderId
    reason: str
    state: str
    tickets: tuple[str, ...]
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    requested_at: datetime
    done_at: datetime | None

    @classmethod
    def of(cls, refund: RefundOfOrder) -> Self:
        """The view of a refund."""
        return cls(
            refund=refund.refund,
            order=refund.order,
            reason=refund.reason,
            state=refund.state,
            tickets=refund.tickets,
            seats=refund.seats,
            amount=refund.amount,
            currency=refund.currency,
            requested_at=refund.requested_at,
            done_at=refund.done_at,
        )


class OrderView(View):
    """An order as its buyer sees it. ``intent`` while it can be paid, ``tickets`` once it is."""

    order: OrderId
    event: EventId
    buyer: BuyerId
    state: OrderState
    is_cancel_requested: bool
    seats: tuple[SeatId, ...]
    amount: int
    currency: str
    pay_by: datetime
    intent: str | None = None
    tickets: tuple[TicketView, ...] = ()
    refunds: tuple[RefundView, ...] = ()

    @classmethod
    def of(
        cls,
        order: Order,
        *,
        intent: str | None,
        tickets: tuple[TicketView, ...],
        refunds: tuple[RefundView, ...] = (),
    ) -> Self:
        """The view of an order."""
        return cls(
            order=order.id,
            event=order.event,
            buyer=order.buyer,
            state=order.state,
            is_cancel_requested=order.cancel_requested_at is not None,
            seats=order.seats,
            amount=order.amount,
            currency=order.currency,
            pay_by=order.pay_by,
            intent=intent,
            tickets=tickets,
            refunds=refunds,
        )
