"""Bodies of requests and answers: JSON in camelCase."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import SECTION_NAME
from tiketi_services.ticket.orders.domain import Hold, Order, OrderState, Ticket, amount_of

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
    """Either ``seats``, or ``section`` and ``quantity`` for the best free ones."""

    seats: SeatNames | None = None
    section: Annotated[str, StringConstraints(max_length=12, pattern=SECTION_NAME)] | None = None
    quantity: Annotated[int, Field(ge=1, le=MOST_SEATS, strict=True)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        by_section = self.section is not None and self.quantity is not None
        half = (self.section is None) != (self.quantity is None)
        if half or by_section == (self.seats is not None):
            raise ValueError("give seats, or section and quantity")
        return self


class HoldView(View):
    """A hold that was made."""

    hold: HoldId
    seats: tuple[SeatId, ...]
    until: datetime
    amount: int
    """Minor units of ``currency``."""
    currency: str

    @classmethod
    def of(cls, hold: Hold, sale: SaleSheet) -> Self:
        """The view of a hold."""
        return cls(
            hold=hold.id,
            seats=tuple(hold.seats),
            until=hold.until,
            amount=amount_of(sale, hold.seats),
            currency=sale.currency,
        )


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


class TicketsView(View):
    """A buyer's tickets."""

    tickets: tuple[TicketView, ...]


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

    @classmethod
    def of(cls, order: Order, *, intent: str | None, tickets: tuple[TicketView, ...]) -> Self:
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
        )


class SeatMapView(View):
    """States of all seats: one character a seat (0 free, 1 held, 2 sold) by section, row by row, seat by seat."""

    event: EventId
    sale_version: int
    """Version of the sale sheet that tells the shape of the sections."""
    sections: dict[str, str]
