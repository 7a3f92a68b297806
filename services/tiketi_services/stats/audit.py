"""What the auditor makes of an order as ticket and payment have it. Pure: rows of both sides in, findings out.

Ticket is read first, each side in one statement. News travels from payment to ticket (paid, closed) and an ended order
stays ended, so whatever ticket has acted on must be at payment, however long it took between the two readings. What
ticket has not acted on yet is under way: a lag, which is counted. Only what no sequence of steps can lead to, whoever
was killed or is away, is a mismatch; and a mismatch counts when it is found again after some time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

OPEN, PAID, CLOSED, REFUNDED = "OPEN", "PAID", "CLOSED", "REFUNDED"
VOID: Final = "VOID"
EVENT_CANCELLED: Final = "event-cancelled"
DONE: Final = "DONE"
_DAY: Final = 24 * 60
_REFUND_PATIENCE: Final = timedelta(minutes=30)
"""Ticket asks for a refund again every 10 minutes, and both databases are read within seconds. What is younger may be
on its way, or was made between the two readings."""
_SOON: Final = timedelta(minutes=1)
"""Ticket asks payment to close orders in the order they are due, and asks again after 10 s. An order that was closed so
soon was not behind a backlog."""


@dataclass(frozen=True, slots=True)
class TicketRow:
    """One ticket of an order."""

    seat: str
    state: str
    price: int


@dataclass(frozen=True, slots=True)
class RefundRow:
    """One refund of an order, as one side has it."""

    refund: UUID
    amount: int
    state: str
    at: datetime
    """When that side has it from, by its clock."""


@dataclass(frozen=True, slots=True)
class TicketSide:
    """An order, its seats and tickets in ticket's database, at one moment."""

    order: UUID
    event: str
    buyer: str
    state: str
    amount: int
    currency: str
    payment_key: str | None
    pay_by: datetime
    ended_at: datetime | None
    read_at: datetime
    """By that database's clock."""
    seats: Sequence[str]
    prices: Sequence[int]
    kept: Sequence[str | None]
    """State of each seat if it is this order's; None if it is free or somebody else's."""
    valid: Sequence[int]
    """Tickets that are good for each seat, whoever's."""
    tickets: Sequence[TicketRow]
    refunds: Sequence[RefundRow] = ()
    is_cancelled: bool = False
    """The buyer gave it up: payment was asked to close it at once, not at ``pay_by``."""

    @property
    def is_closed_in_time(self) -> bool:
        """Closed because ``pay_by`` was over, and soon: no order that was due earlier waited to be closed then."""
        if self.state != CLOSED or self.is_cancelled or self.ended_at is None:
            return False
        return timedelta(0) <= self.ended_at - self.pay_by <= _SOON


@dataclass(frozen=True, slots=True)
class PaymentSide:
    """An order and what was charged for it in payment's database, at one moment."""

    order: UUID
    state: str
    event: str | None = None
    """None: it was closed before anything else was known of it. So are buyer, amount and currency."""
    buyer: str | None = None
    amount: int | None = None
    currency: str | None = None
    paid_amount: int | None = None
    """Of the outcome; None: there is none."""
    paid_currency: str | None = None
    payment_key: str | None = None
    paid_at: datetime | None = None
    under_way: int = 0
    lost: int = 0
    going_back: int = 0
    refunds: Sequence[RefundRow] = ()
    last_refund_at: datetime | None = None
    """When payment learnt of the newest refund there is, of whatever order."""
    read_at: datetime | None = None

    @property
    def is_paid(self) -> bool:
        """Whether there is an outcome."""
        return self.paid_amount is not None


@dataclass(frozen=True, slots=True)
class StraySeat:
    """A seat set aside for an order that does not exist, or does not have it."""

    event: str
    seat: str
    order: UUID


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot be, of one order (or, of no order that there is, one seat)."""

    kind: str
    event: str
    subject: str
    """The order's id; of no order, ``<event> <seat>``."""
    told: str
    """Both sides, for people."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same finding as another."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of one order."""

    event: str | None
    lags: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known of whether payment's word reaches ticket."""

    worked: frozenset[int] = frozenset()
    """Minutes (epoch s // 60) in which orders were due that ticket closed soon, on payment's answer."""
    enough: int = 10

    def is_overtaken(self, due: datetime) -> bool:
        """Whether ticket was done with orders due later, in enough minutes since it was to ask about this one.

        Not how long it is due: while either of them is away nothing is closed, and while a backlog drains nothing is
        closed soon. Whatever was due before an order that was closed soon has been asked about as well, each time.
        """
        minute = int(due.timestamp()) // 60
        return sum(each > minute for each in self.worked) >= self.enough

    def seen(self, orders: Iterable[TicketSide]) -> Delivery:
        """With what these orders tell: an unpaid order is closed on payment's answer only."""
        minutes = {int(order.pay_by.timestamp()) // 60 for order in orders if order.is_closed_in_time}
        return replace(self, worked=frozenset(sorted(self.worked | minutes)[-_DAY:]))


def judge(ticket: TicketSide | None, payment: PaymentSide | None, delivery: Delivery) -> Judgement:
    """Compare one order. At least one side is there."""
    event = ticket.event if ticket is not None else payment.event if payment is not None else None
    order = str(ticket.order if ticket is not None else payment.order if payment is not None else "")
    wrong: list[tuple[str, str]] = []
    lags: list[str] = []
    if ticket is not None:
        _seats(ticket, wrong, lags)
        _between(ticket, payment, delivery, wrong, lags)
        _refunds(ticket, payment, wrong, lags)
    elif payment is not None:
        _without_ticket(payment, wrong, lags)
    if payment is not None:
        _money(payment, wrong, lags)
    if event is None:  # closed before anything was known, and nothing else is: there is no sale to name
        return Judgement(None, ("unknown-order",), ())
    findings = tuple(Finding(kind, event, order, told) for kind, told in wrong)
    return Judgement(event, tuple(lags), findings)


def stray(seat: StraySeat) -> Finding:
    """The finding of a stray seat."""
    told = f"seat {seat.seat} is set aside for order {seat.order}, which does not have it"
    return Finding("seat-without-order", seat.event, f"{seat.event} {seat.seat}", told)


def _seats(order: TicketSide, wrong: list[tuple[str, str]], lags: list[str]) -> None:
    """The order, its seats and its tickets. All are of one moment, so nothing but a refund can be on its way."""
    if order.amount != sum(order.prices) or len(order.prices) != len(order.seats):
        wrong.append(("amounts-differ", f"amount {order.amount}, prices {list(order.prices)}"))
    kept = dict(zip(order.seats, order.kept, strict=True))
    price = dict(zip(order.seats, order.prices, strict=False))
    for seat, count in zip(order.seats, order.valid, strict=True):
        if count > 1:
            wrong.append(("two-tickets", f"seat {seat} has {count} valid tickets"))
    valid = {each.seat for each in order.tickets if each.state != VOID}
    for each in order.tickets:
        if each.seat not in kept:
            wrong.append(("ticket-without-seat", f"a ticket for seat {each.seat}, which the order does not have"))
        elif each.price != price.get(each.seat):
            wrong.append(("amounts-differ", f"ticket {each.seat} for {each.price}, price {price.get(each.seat)}"))
    if order.state in (OPEN, CLOSED) and order.tickets:
        wrong.append(("ticket-unpaid", f"{order.state} with {len(order.tickets)} tickets"))
    if order.state == REFUNDED and valid:
        wrong.append(("ticket-refunded", f"REFUNDED with valid tickets for {', '.join(sorted(valid))}"))
    issued = {each.seat for each in order.tickets}
    for seat, state in kept.items():
        if order.state == OPEN and state != "PLACED":
            wrong.append(("open-without-seat", f"OPEN, and seat {seat} is {state or 'not its own'}"))
        elif order.state == CLOSED and state is not None:
            wrong.append(("closed-with-seat", f"CLOSED, and seat {seat} is {state}"))
        elif order.state in (PAID, REFUNDED) and seat not in issued:
            wrong.append(("paid-without-ticket", f"{order.state}, and no ticket was issued for seat {seat}"))
        elif seat in valid and state != "SOLD":
            wrong.append(("paid-without-seat", f"{order.state}, and seat {seat} is {state or 'not its own'}"))
        elif order.state in (PAID, REFUNDED) and seat not in valid and state is not None:
            lags.append("freeing")  # its ticket is void; the seat goes back to the sale after a while


def _between(
    ticket: TicketSide,
    payment: PaymentSide | None,
    delivery: Delivery,
    wrong: list[tuple[str, str]],
    lags: list[str],
) -> None:
    """The order as both know it."""
    if payment is None:
        if ticket.state == OPEN:
            lags.append("untold")
        else:
            wrong.append(("unknown-to-payment", f"{ticket.state} at ticket, and payment does not know it"))
        return
    mine = (ticket.event, ticket.buyer, ticket.amount, ticket.currency)
    theirs = (payment.event, payment.buyer, payment.amount, payment.currency)
    if payment.event is not None and mine != theirs:
        wrong.append(("amounts-differ", f"ticket has {_facts(mine)}, payment {_facts(theirs)}"))
    if ticket.state == CLOSED and payment.state in (OPEN, PAID):
        wrong.append(("closed-but-paid" if payment.is_paid else "closed-but-payable", _states(ticket, payment)))
    if ticket.state in (PAID, REFUNDED):
        if not payment.is_paid:
            wrong.append(("paid-without-outcome", _states(ticket, payment)))
        elif ticket.payment_key != payment.payment_key:
            wrong.append(
                ("payment-differs", f"paid by {ticket.payment_key} at ticket, {payment.payment_key} at payment")
            )
    if ticket.state == PAID and payment.state == REFUNDED and any(each.state != VOID for each in ticket.tickets):
        wrong.append(("ticket-refunded", "REFUNDED at payment with valid tickets"))
    if ticket.state == OPEN:
        _open(ticket, payment, delivery, wrong, lags)


def _refunds(ticket: TicketSide, payment: PaymentSide | None, wrong: list[tuple[str, str]], lags: list[str]) -> None:
    """What goes back. Word of a refund travels from ticket to payment, and word that it is done from payment to ticket.

    A refund that payment does not know may be on its way for as long as either is away; when payment has learnt of one
    that is much younger, it is not.
    """
    void = sum(each.price for each in ticket.tickets if each.state == VOID)
    given = sum(each.amount for each in ticket.refunds)
    if void != given:
        wrong.append(("void-without-refund", f"void tickets cost {void}, their refunds are {given}"))
    if payment is None:
        return
    theirs = {each.refund: each for each in payment.refunds}
    for each in ticket.refunds:
        known = theirs.pop(each.refund, None)
        if each.amount == 0:
            continue  # ends at once, and payment never hears of it
        if known is None and (each.state == DONE or _is_later(payment.last_refund_at, each.at)):
            wrong.append(("refund-lost", f"refund {each.refund} of {each.amount} is {each.state}, unknown to payment"))
        elif known is not None and known.amount != each.amount:
            wrong.append(("refund-differs", f"refund {each.refund} is {each.amount}, at payment {known.amount}"))
        elif known is not None and each.state == DONE != known.state:
            wrong.append(("refund-differs", f"refund {each.refund} is DONE, at payment {known.state}"))
        elif each.state != DONE:
            lags.append("refunding")
    wrong += [
        ("refund-unasked", f"payment has refund {each.refund} of {each.amount}, ticket does not")
        for each in theirs.values()
        if _is_later(payment.read_at, each.at)
    ]


def _is_later(moment: datetime | None, than: datetime) -> bool:
    return moment is not None and moment > than + _REFUND_PATIENCE


def _open(
    ticket: TicketSide, payment: PaymentSide, delivery: Delivery, wrong: list[tuple[str, str]], lags: list[str]
) -> None:
    """An order that ticket has not ended. Once it is due ticket asks payment itself: then no broker is needed."""
    if payment.is_paid and payment.paid_at is not None:
        due = max(ticket.pay_by, payment.paid_at)
        if delivery.is_overtaken(due):
            wrong.append(("paid-not-settled", f"paid, and open at ticket, which has heard payment since; due {due}"))
        else:
            lags.append("settling")
    elif payment.state == CLOSED:
        lags.append("closing")
    elif ticket.pay_by < ticket.read_at:
        lags.append("overdue")


def _without_ticket(payment: PaymentSide, wrong: list[tuple[str, str]], lags: list[str]) -> None:
    """Ticket makes orders before anybody else hears of them."""
    if payment.is_paid and payment.state != REFUNDED:
        wrong.append(("charged-without-order", f"{payment.state} at payment, and ticket does not know it"))
    else:
        lags.append("unknown-order")


def _money(payment: PaymentSide, wrong: list[tuple[str, str]], lags: list[str]) -> None:
    """Payment's own books."""
    if payment.lost:
        wrong.append(("charged-and-lost", f"{payment.lost} charges are neither the outcome nor cancelled"))
    if payment.is_paid != (payment.state in (PAID, REFUNDED)):
        has = "an outcome" if payment.is_paid else "no outcome"
        wrong.append(("outcome-differs", f"{payment.state} at payment with {has}"))
    if payment.is_paid and (payment.paid_amount, payment.paid_currency) != (payment.amount, payment.currency):
        told = f"charged {payment.paid_amount} {payment.paid_currency} for {payment.amount} {payment.currency}"
        wrong.append(("amounts-differ", told))
    lags += ["confirming"] * bool(payment.under_way) + ["going-back"] * bool(payment.going_back)


def _facts(values: Iterable[object]) -> str:
    return "/".join(map(str, values))


def _states(ticket: TicketSide, payment: PaymentSide) -> str:
    return f"{ticket.state} at ticket, {payment.state} at payment"


# --- Twice


@dataclass(slots=True)
class Suspicions:
    """What was found once, until it is found again or not. ``patience``: how far apart the two readings must be."""

    patience: timedelta
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def subjects(self) -> frozenset[str]:
        """What to look at again."""
        return frozenset(subject for _, subject in self._since)

    def weigh(self, looked_at: Iterable[str], found: Sequence[Finding], now: float) -> list[Finding]:
        """Take what was found of these subjects at ``now`` (monotonic seconds); returns what counts.

        What was looked at and not found again is forgotten.
        """
        again, asked = {finding.key for finding in found}, set(looked_at)
        self._since = {key: since for key, since in self._since.items() if key in again or key[1] not in asked}
        for finding in found:
            self._since.setdefault(finding.key, now)
        wait = self.patience.total_seconds()
        return [finding for finding in found if now - self._since[finding.key] >= wait]


# --- What is said of an event


@dataclass(frozen=True, slots=True)
class Audit:
    """One event, after all of its orders were compared."""

    orders: int = 0
    lags: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    """What counts."""
    accepted: int = 0
    """Of the findings: those that somebody accepted as they are."""
    is_stopped: bool = False
    cancelled_by: str | None = None
    """Who cancelled the event; None: it takes place."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A row of ``sale_stops``."""

    event: str
    action: str
    by: str
    reason: str
    facts: Sequence[Mapping[str, str]]
    at: datetime


def stopped(history: Iterable[Stop]) -> dict[str, Stop]:
    """The stop in force of each event that has one, from all stops, oldest first."""
    last = {stop.event: stop for stop in history}
    return {event: stop for event, stop in last.items() if stop.action == "STOP"}


def cancelled(history: Iterable[Stop]) -> dict[str, Stop]:
    """The stop of each cancelled event, which is never lifted: ticket wrote it with the mark."""
    return {stop.event: stop for stop in history if any(fact.get("kind") == EVENT_CANCELLED for fact in stop.facts)}


def accepted(history: Iterable[Stop]) -> set[tuple[str, str]]:
    """Keys of findings that somebody has accepted as they are."""
    return {(fact["kind"], fact["subject"]) for stop in history if stop.action == "RESUME" for fact in stop.facts}


def facts_of(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Findings as a row of ``sale_stops`` has them."""
    return [{"kind": each.kind, "subject": each.subject, "told": each.told} for each in findings]
