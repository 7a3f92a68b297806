"""Rules of refunds, and what can be refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.errors import Conflict, NotFound, TiketiError
from tiketi_services.ticket.orders.domain import (
    IdempotencyMismatch,
    OrderNotFound,
    RefundOfOrder,
    RequestInFlight,
    TakenSeat,
)

NOBODY = BuyerId("")
"""Holder of seats that are on their way back to the sale."""


class RefundsOver(Conflict):
    """The buyer asks too late. ``refundsUntil`` says until when it was possible."""

    code, title = "refunds-over", "Refunds are over"


class NoRefunds(Conflict):
    """This sale gives nothing back to buyers; the organiser still can."""

    code, title = "no-refunds", "No refunds"


class OrderNotPaid(Conflict):
    """There is nothing to give back: the order is not paid. An open one is cancelled instead."""

    code, title = "order-not-paid", "Order not paid"


class TicketsNotRefundable(Conflict):
    """``used`` names tickets somebody was let in with, ``void`` those that were given back before. Nothing changed."""

    code, title = "tickets-not-refundable", "Tickets not refundable"


class TicketsNotFound(NotFound):
    """``tickets`` names some that are not of this order."""

    code, title = "tickets-not-found", "Tickets not found"


class UnknownRefund(NotFound):
    """Payment tells of a refund that was never asked for, or of another amount."""

    code, title = "unknown-refund", "Unknown refund"


class Reason(StrEnum):
    """Who wanted the refund."""

    BUYER = "buyer"
    ORGANISER = "organiser"
    EVENT_CANCELLED = "event-cancelled"


@dataclass(frozen=True, slots=True)
class ReturnDelay:
    """How long seats of void tickets are kept from everybody: a random time between both, one for each refund."""

    soonest: timedelta
    latest: timedelta

    def __post_init__(self) -> None:
        """Raises ValueError if the bounds are the wrong way round."""
        if not timedelta(0) <= self.soonest <= self.latest:
            raise ValueError("return of seats: 0 <= soonest <= latest is needed")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request for money back."""

    order: OrderId
    by: str
    """Account that asks."""
    key: str
    """Its idempotency key."""
    reason: Reason
    buyer: BuyerId | None = None
    """Set if the buyer asks: it must be theirs, and in time."""
    event: EventId | None = None
    """Set if the organiser asks: it must be an order of that event."""
    tickets: tuple[str, ...] | None = None
    """None: all that are not void."""


@dataclass(frozen=True, slots=True)
class Refund:
    """Tickets of one order that one request gave back."""

    event: EventId
    told: RefundOfOrder
    free_at: datetime

    @property
    def seats(self) -> list[TakenSeat]:
        """The seats while they wait to be free."""
        hold = HoldId(self.told.refund)
        return [TakenSeat(seat, "HELD", hold, NOBODY, self.free_at) for seat in self.told.seats]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What PostgreSQL decided about a wanted refund."""

    outcome: str
    refund: Refund | None
    used: Sequence[str] = ()
    void: Sequence[str] = ()
    missing: Sequence[str] = ()
    refunds_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """One order of several that was not refunded."""

    order: OrderId
    error: TiketiError


@dataclass(frozen=True, slots=True)
class Returning:
    """Seats on their way back to the sale. Nobody can hold them before ``free_at``, and everybody can afterwards.

    In PostgreSQL they are HELD by nobody: ``seats.buyer`` is empty and ``seats.hold`` is ``refund``.
    """

    refund: str
    event: EventId
    seats: tuple[SeatId, ...]
    free_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the refunds of an event are. Amounts in minor units."""

    cancelled_at: datetime | None
    issued: int
    """Tickets that still count."""
    used: int
    under_way: int
    done: int
    amount_under_way: int
    amount_done: int


def conclude(ruling: Ruling) -> Refund:
    """The refund, or why there is none.

    Raises IdempotencyMismatch, RequestInFlight, OrderNotFound, OrderNotPaid, NoRefunds, RefundsOver, TicketsNotFound,
    TicketsNotRefundable.
    """
    match ruling.outcome:
        case "key-reused":
            raise IdempotencyMismatch("This Idempotency-Key was used for another refund. Use a new one.")
        case "in-flight":
            raise RequestInFlight("The same request is being answered. Send it again for its answer.", retryAfter=1)
        case "not-paid":
            raise OrderNotPaid("The order is not paid: there is nothing to give back.")
        case "no-refunds":
            raise NoRefunds("This sale has no refunds by buyers. Ask the organiser.")
        case "too-late":
            until = ruling.refunds_until.isoformat() if ruling.refunds_until else None
            raise RefundsOver(f"Tickets could be given back until {until}. Ask the organiser.", refundsUntil=until)
        case "unknown-tickets":
            raise TicketsNotFound("Some of the tickets are not of this order.", tickets=list(ruling.missing))
        case "not-issued":
            used, void = list(ruling.used), list(ruling.void)
            raise TicketsNotRefundable("Used or void tickets are not given back.", used=used, void=void)
    if ruling.refund is None:
        raise OrderNotFound("There is no such order.")
    return ruling.refund
