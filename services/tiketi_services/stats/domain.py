"""What messages and readings add up to. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tiketi_runtime.contracts.answer_times import Kind, percentile_of, times_of
from tiketi_runtime.contracts.identity import EventId, OrderId, SeatId
from tiketi_runtime.contracts.messages import (
    AnyMessage,
    EventCancelled,
    OrderClosed,
    OrderPlaced,
    PaymentRefunded,
    PaymentRefused,
    PaymentSettled,
    RefundDone,
    RefundRequested,
    TicketsIssued,
)
from tiketi_runtime.contracts.sale_sheet import SaleSheet

MINUTE = timedelta(minutes=1)


class OrderState(StrEnum):
    """Where an order stands, by what was heard of it. The database works it out (sql/migrations/0001_sales.sql)."""

    PLACED = "placed"
    PAID = "paid"
    """Paid, tickets not issued yet: normally a matter of milliseconds."""
    ISSUED = "issued"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Fact:
    """What one message says about its order. Facts of one order give the same sum in any sequence."""

    order: OrderId
    event: EventId
    seats: tuple[SeatId, ...] | None = None
    amount: int | None = None
    """Minor units of ``currency``."""
    currency: str | None = None
    placed_at: datetime | None = None
    settled_at: datetime | None = None
    issued_at: datetime | None = None
    closed_at: datetime | None = None
    refusals: int = 0
    returned: int = 0
    """Tickets given back."""
    returned_amount: int = 0


def fact_of(message: AnyMessage) -> Fact:
    """The message as a fact."""
    order, event, at = message.order, message.event, message.at
    match message:
        case OrderPlaced():
            return Fact(order, event, message.seats, message.amount, message.currency, placed_at=at)
        case PaymentSettled():
            return Fact(order, event, None, message.amount, message.currency, settled_at=at)
        case TicketsIssued():
            return Fact(order, event, message.seats, message.amount, message.currency, issued_at=at)
        case OrderClosed():
            return Fact(order, event, message.seats, closed_at=at)
        case PaymentRefused():
            return Fact(order, event, refusals=1)
        case RefundRequested():
            return Fact(order, event, returned=len(message.seats), returned_amount=message.amount)
        case PaymentRefunded() | RefundDone() | EventCancelled():  # counted when it was asked for
            return Fact(order, event)


@dataclass(frozen=True, slots=True)
class Totals:
    """What the orders of one event add up to."""

    sold: int = 0
    """Tickets issued and not given back."""
    revenue: int = 0
    """Minor units, of orders that are paid, without what was given back."""
    orders: Mapping[OrderState, int] = field(default_factory=dict)
    refusals: int = 0
    """Refused payment attempts."""
    open_seats: frozenset[SeatId] = frozenset()
    """Seats of orders whose tickets are not issued yet and that are not closed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One event as Redis has it."""

    at: datetime
    """Redis' own time."""
    sheet: SaleSheet
    waiting: int
    """Over all lines, those who let an offer lapse and asked again among them."""
    active: int
    held: frozenset[SeatId]
    """Seats in a hold that has not run out."""
    admitted: int
    """Buyers admitted since the sale began."""
    p95_ms: int | None = None
    """What 95 % of the answers to holds and orders took at most, in the last minute; None: nobody asked."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One event in numbers."""

    at: datetime
    uid: str
    """Of the TicketEvent object these figures speak of."""
    currency: str
    waiting: int
    active: int
    held: int
    remaining: int
    admitted_per_minute: int
    totals: Totals
    p95_ms: int | None = None


def figures_of(reading: Reading, totals: Totals, admitted_per_minute: int) -> Figures:
    """Put together what Redis shows and what messages told.

    A seat that was just ordered is in both, so seats are united before they are counted. Both may lag behind
    ticket's database by moments: ``remaining`` reports and decides nothing, and is never below zero.
    """
    held = len(reading.held | totals.open_seats)
    return Figures(
        at=reading.at,
        uid=reading.sheet.uid,
        currency=reading.sheet.currency,
        waiting=reading.waiting,
        active=reading.active,
        held=held,
        remaining=max(0, reading.sheet.capacity - held - totals.sold),
        admitted_per_minute=admitted_per_minute,
        totals=totals,
        p95_ms=reading.p95_ms,
    )


class AdmissionRate:
    """Buyers admitted in the last minute, from successive readings of a counter that only grows.

    Until it has watched for a minute it counts what it saw: less than the truth, never more.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, int]] = deque()

    def observe(self, at: datetime, admitted: int) -> int:
        """Take a reading and answer the rate. A counter that fell (Redis was lost) begins anew."""
        if self._seen and admitted < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at, admitted))
        while len(self._seen) > 1 and self._seen[1][0] <= at - MINUTE:
            self._seen.popleft()
        return admitted - self._seen[0][1]


def p95_of(windows: Iterable[Mapping[bytes, bytes]]) -> int | None:
    """The 95th percentile (ms) of answers to holds and orders, from ticket's counters; None if there were none.

    Payments are left out: these wait for banks.
    """
    times: Counter[float] = Counter()
    for window in windows:
        counts = {name.decode(): int(number) for name, number in window.items()}
        times += times_of(counts, Kind.HOLD) + times_of(counts, Kind.ORDER)
    return math.ceil(percentile_of(times)) if times else None


def is_held(paint: bytes, now: datetime) -> bool:
    """Whether a seat's value in Redis (``hold|buyer|until_ms``, or ``sold``) is a hold that has not run out."""
    until_ms = paint.rpartition(b"|")[2]
    return until_ms.isdigit() and int(until_ms) > now.timestamp() * 1000
