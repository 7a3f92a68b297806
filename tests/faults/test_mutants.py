"""Mutants: each takes one guard away in a throw-away database, and something that is checked must notice.

A trial plays a few buyers on the real statements and returns what is wrong afterwards: nothing while all guards stand,
something as soon as its guard is gone. A guard that nobody would miss is not a guard, or is not checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.orders.box_office import ANNA, BORIS, EVENT, FRONT, NEXT, paid, sale_sheet
from tests.integration.ticket.orders.conftest import PACKAGES
from tests.invariants import PAYMENT, violations

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.messages import OrderPlaced, PaymentRefused, RefundRequested
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.ticket_code import TicketCode
from tiketi_runtime.postgres import Pool
from tiketi_services.payment import refunds_book, refunds_plan
from tiketi_services.payment import repository as payment_repository
from tiketi_services.payment.domain import Order as PaymentOrder
from tiketi_services.payment.domain import VendorCall
from tiketi_services.payment.refunds_book import RefundNotOwed, RefundsBook
from tiketi_services.payment.refunds_plan import Next, PayBack, Step
from tiketi_services.payment.repository import AnotherUnderWay, Payments
from tiketi_services.payment.vendor import VendorCancel, VendorPayment
from tiketi_services.stats import usecases as stats
from tiketi_services.stats.repository import Orders as StatsOrders
from tiketi_services.ticket.orders import repository as orders_repository
from tiketi_services.ticket.orders.domain import MoreTime, Order, SeatLost
from tiketi_services.ticket.orders.repository import OrderBook, Placing, Verdict
from tiketi_services.ticket.refunds.domain import Reason, ReturnDelay, Ruling, Wanted
from tiketi_services.ticket.refunds.repository import RefundBook
from tiketi_services.ticket.tickets.domain import Reading, Scan
from tiketi_services.ticket.tickets.repository import TicketBook

_Ended = TypeVar("_Ended")

BLINK = timedelta(milliseconds=60)
WHILE = timedelta(minutes=10)
_SLOW = VendorCall(None, is_fault=True)
ROUNDS = 4
"""Times that a race is run, each time by other buyers for other seats."""
CONNECTIONS = 9
"""Eight racers and their starter."""
STARTING_LINE = 20_261_124
"""The advisory lock that racers stop at; any number that the services do not use."""


class Office:
    """Ticket's statements, with a hold's length for each hold."""

    def __init__(self, pool: Pool, sale: SaleSheet) -> None:
        self.pool, self.sale, self.book = pool, sale, OrderBook(pool)

    @classmethod
    async def open(cls, pool: Pool) -> Office:
        sale = sale_sheet()
        await pool.execute("INSERT INTO events (event, uid) VALUES ($1, '1')", EVENT)
        content = sale.model_dump(mode="json", by_alias=True)
        await pool.execute(
            "INSERT INTO sale_sheets (event, version, content) VALUES ($1, $2, $3)", EVENT, sale.version, content
        )
        return cls(pool, sale)

    async def hold(self, buyer: BuyerId, *seats: SeatId, lasts: timedelta = WHILE) -> tuple[HoldId, str]:
        hold, sale = HoldId(str(uuid4())), self.sale.model_copy(update={"hold_duration": lasts})
        try:
            verdict: Verdict = await self.book.hold(sale, sale.lines[1], buyer, hold, sorted(seats))
        except SeatLost:
            return hold, "lost"
        return hold, verdict.outcome

    async def change(self, buyer: BuyerId, hold: HoldId, *seats: SeatId) -> str:
        new = HoldId(str(uuid4()))
        try:
            return (await self.book.change(self.sale, self.sale.lines[1], buyer, hold, new, sorted(seats))).outcome
        except SeatLost:
            return "lost"

    async def place(self, buyer: BuyerId, hold: HoldId, key: str = "") -> Placing | None:
        try:
            return await self.book.place(self.sale, buyer, hold, OrderId(str(uuid4())), key or str(uuid4()), None)
        except SeatLost:
            return None

    async def wrong(self) -> list[str]:
        return await violations(self.pool)


async def race(pool: Pool, write: str, *runners: Awaitable[_Ended]) -> list[_Ended | BaseException]:
    """Let all runners come to their ``write``, as ``INSERT ON orders``, or to a lock on their way, before one goes on.

    So a missing lock shows on every machine, at the first try. Returns what each runner returned or raised.
    """
    async with pool.acquire() as starter:
        await starter.execute(
            "CREATE OR REPLACE FUNCTION starting_line() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$BEGIN PERFORM pg_advisory_xact_lock_shared({STARTING_LINE}); RETURN NULL; END$$;"
            f"CREATE OR REPLACE TRIGGER starting_line BEFORE {write}"
            " FOR EACH STATEMENT EXECUTE FUNCTION starting_line();"
            f"SELECT pg_advisory_lock({STARTING_LINE})"
        )
        racing = [asyncio.ensure_future(runner) for runner in runners]
        # PostgreSQL tells nobody when somebody begins to wait.
        while sum(not task.done() for task in racing) > await starter.fetchval(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        await starter.execute(f"SELECT pg_advisory_unlock({STARTING_LINE})")
    return await asyncio.gather(*racing, return_exceptions=True)


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

TICKET_PACKAGES = (*PACKAGES, "tiketi_services.ticket.tickets", "tiketi_services.ticket.refunds")
Trial = Callable[[Pool], Awaitable[list[str]]]


# --- Trials of ticket


async def old_hold_of_the_same_buyer(pool: Pool) -> list[str]:
    """A process slept past the end of a hold; its buyer holds the seat again, and the old hold is ordered."""
    office = await Office.open(pool)
    old, _ = await office.hold(ANNA, FRONT, lasts=BLINK)
    await asyncio.sleep(2 * BLINK.total_seconds())
    await office.hold(ANNA, FRONT)
    await office.place(ANNA, old)
    return await office.wrong()


async def order_after_the_end(pool: Pool) -> list[str]:
    """The hold has run out and nobody has taken the seat."""
    office = await Office.open(pool)
    hold, _ = await office.hold(ANNA, FRONT, lasts=BLINK)
    await asyncio.sleep(2 * BLINK.total_seconds())
    await office.place(ANNA, hold)
    return await office.wrong()


async def everybody_wants_one_seat(pool: Pool) -> list[str]:
    """The same seat, at the same moment, again and again."""
    office, wrong = await Office.open(pool), []
    for seat in _seats("A", ROUNDS):
        ends = await race(pool, "INSERT ON seats", *(office.hold(BuyerId(str(uuid4())), seat) for _ in range(8)))
        won = sum(not isinstance(end, BaseException) and end[1] == "held" for end in ends)
        if won != 1:
            wrong.append(f"{won} buyers hold {seat}")
    return wrong + await office.wrong()


async def one_buyer_at_many_windows(pool: Pool) -> list[str]:
    """More than the limit, all at once."""
    office = await Office.open(pool)
    for turn in range(ROUNDS):
        buyer = BuyerId(str(uuid4()))
        seats = [SeatId(f"ST-{number:03d}") for number in range(turn * 13, turn * 13 + 13)]
        await office.hold(buyer, seats.pop())  # an insert of the count would make racers wait, too
        pairs = [seats[at : at + 2] for at in range(0, 12, 2)]
        await race(pool, "UPDATE ON buyer_counts", *(office.hold(buyer, *pair) for pair in pairs))
    return await office.wrong()


async def same_key_again(pool: Pool) -> list[str]:
    """An answer was lost: the same request comes again, and another one under its key."""
    office = await Office.open(pool)
    hold, _ = await office.hold(ANNA, FRONT)
    other, _ = await office.hold(ANNA, NEXT)
    first, again = [await office.place(ANNA, hold, "key") for _ in range(2)]
    wrong = [] if first and again and (again.outcome, again.order) == ("placed", first.order) else [f"I3 {again}"]
    reused = await office.place(ANNA, other, "key")
    if reused is None or reused.outcome != "key-reused":
        wrong.append(f"I3 another hold under the same key: {reused}")
    return wrong + await office.wrong()


async def same_key_at_once(pool: Pool) -> list[str]:
    """Two holds are ordered under one key at the same moment."""
    office, wrong = await Office.open(pool), []
    for turn in range(ROUNDS):
        buyer = BuyerId(str(uuid4()))
        holds = [(await office.hold(buyer, SeatId(f"ST-{2 * turn + n:03d}")))[0] for n in range(2)]
        await race(pool, "INSERT ON orders", *(office.place(buyer, hold, "key") for hold in holds))
        placed = await pool.fetchval("SELECT count(*) FROM orders WHERE buyer = $1", buyer)
        if placed != 1:
            wrong.append(f"I3 one key made {placed} orders")
    return wrong


async def second_ticket_for_a_seat(pool: Pool) -> list[str]:
    """The last wall: whatever went wrong above it, a seat has one valid ticket."""
    office = await Office.open(pool)
    hold, _ = await office.hold(ANNA, FRONT)
    placing = await office.place(ANNA, hold)
    assert placing is not None
    assert placing.order is not None
    await office.book.settle(paid(placing.order), None)
    return await _unless_refused(
        office,
        "INSERT INTO tickets (event, seat, order_id, buyer, price)"
        " SELECT event, seat, order_id, buyer, price FROM tickets",
    )


async def second_row_for_a_seat(pool: Pool) -> list[str]:
    """The last wall of seats: an order beside another's."""
    office = await Office.open(pool)
    for buyer, seat in ((ANNA, FRONT), (BORIS, NEXT)):
        hold, _ = await office.hold(buyer, seat)
        placing = await office.place(buyer, hold)
        assert placing is not None
        assert placing.order is not None
        await office.book.settle(paid(placing.order), None)
    return await _unless_refused(office, f"UPDATE seats SET seat = '{FRONT}' WHERE seat = '{NEXT}'")


async def _unless_refused(office: Office, statement: str) -> list[str]:
    try:
        await office.pool.execute(statement)
    except asyncpg.UniqueViolationError:
        return []
    return ["the wall let it through", *await office.wrong()]


def _seats(section: str, number: int) -> list[SeatId]:
    return [SeatId(f"{section}-{at // 10 + 1:02d}-{at % 10 + 1:02d}") for at in range(number)]


async def old_hold_is_given_back(pool: Pool) -> list[str]:
    """Its buyer gives back a hold that is over; the seat is another's by now."""
    office = await Office.open(pool)
    old, _ = await office.hold(ANNA, FRONT, lasts=BLINK)
    await asyncio.sleep(2 * BLINK.total_seconds())
    await office.hold(BORIS, FRONT)
    await office.book.release(EVENT, ANNA, old)
    kept = await pool.fetchval("SELECT buyer FROM seats WHERE seat = $1", FRONT)
    return await office.wrong() if kept == BORIS else [f"I4 seat {FRONT} was taken from its buyer by an old hold"]


async def hold_of_somebody_else(pool: Pool) -> list[str]:
    """Boris knows the name of Anna's hold."""
    office = await Office.open(pool)
    hold, _ = await office.hold(ANNA, FRONT)
    more = MoreTime(WHILE, 3 * WHILE, 2 * WHILE)
    new, ends = HoldId(str(uuid4())), dict[str, object]()
    for what, work in {
        "extend": office.book.extend(EVENT, BORIS, hold, more),
        "change": office.book.change(office.sale, office.sale.lines[1], BORIS, hold, new, [NEXT]),
    }.items():
        try:
            ends[what] = (await work).outcome
        except SeatLost:
            ends[what] = "lost"
    ends["release"] = await office.book.release(EVENT, BORIS, hold)
    if ends != {"extend": "unknown", "change": "unknown", "release": None}:
        return [f"I4 somebody else's hold: {ends}"]
    return await office.wrong()


async def everybody_changes_to_one_seat(pool: Pool) -> list[str]:
    """Eight buyers change their seats to the same one, at the same moment."""
    office, wrong = await Office.open(pool), []
    for turn, seat in enumerate(_seats("A", ROUNDS)):
        buyers = [BuyerId(str(uuid4())) for _ in range(8)]
        standing = [SeatId(f"ST-{8 * turn + number:03d}") for number in range(8)]
        holds = [(await office.hold(*pair, lasts=WHILE))[0] for pair in zip(buyers, standing, strict=True)]
        pairs = zip(buyers, holds, strict=True)
        ends = await race(pool, "INSERT ON seats", *(office.change(buyer, hold, seat) for buyer, hold in pairs))
        if ends.count("changed") != 1:
            wrong.append(f"turn {turn}: {ends.count('changed')} buyers changed to {seat}")
    return wrong + await office.wrong()


async def one_buyer_changes_twice(pool: Pool) -> list[str]:
    """Two holds of one seat become two of three at the same moment: one more than the limit allows."""
    office = await Office.open(pool)
    for turn in range(ROUNDS):
        buyer = BuyerId(str(uuid4()))
        seats = [SeatId(f"ST-{8 * turn + number:03d}") for number in range(8)]
        holds = [(await office.hold(buyer, seat))[0] for seat in seats[:2]]
        rows = zip(holds, (seats[2:5], seats[5:8]), strict=True)
        await race(pool, "UPDATE ON buyer_counts", *(office.change(buyer, hold, *row) for hold, row in rows))
    return await office.wrong()


# --- Trials of tickets that go back, and of the gate


async def _sold(office: Office, *seats: SeatId, buyer: BuyerId = ANNA) -> Order:
    hold, _ = await office.hold(buyer, *seats)
    placing = await office.place(buyer, hold)
    assert placing is not None
    assert placing.order is not None
    await office.book.settle(paid(placing.order), None)
    return placing.order


async def _give_back(office: Office, order: Order, key: str, *tickets: str) -> Ruling:
    wanted = Wanted(order.id, "organiser", key, Reason.ORGANISER, event=EVENT, tickets=tickets or None)
    return await RefundBook(office.pool).request(wanted, ReturnDelay(WHILE, WHILE))


async def _tickets(pool: Pool) -> list[str]:
    return [str(row["id"]) for row in await pool.fetch("SELECT id FROM tickets ORDER BY seat")]


async def tickets_go_back(pool: Pool) -> list[str]:
    """One of two tickets, then the other."""
    office = await Office.open(pool)
    order = await _sold(office, FRONT, NEXT)
    for key, ticket in enumerate(await _tickets(pool)):
        await _give_back(office, order, str(key), ticket)
    return await office.wrong()


async def same_refund_again(pool: Pool) -> list[str]:
    """The answer was lost: the same request comes again, and another one under its key."""
    office = await Office.open(pool)
    order = await _sold(office, FRONT, NEXT)
    ticket, other = await _tickets(pool)
    rulings = [await _give_back(office, order, "key", each) for each in (ticket, ticket, other)]
    outcomes = [ruling.outcome for ruling in rulings]
    wrong = [] if outcomes == ["requested", "repeated", "key-reused"] else [f"I3 one key: {outcomes}"]
    return wrong + await office.wrong()


async def same_refund_at_once(pool: Pool) -> list[str]:
    """Two tickets are given back under one key at the same moment."""
    office, wrong = await Office.open(pool), []
    for turn in range(ROUNDS):
        seats = [SeatId(f"ST-{2 * turn + number:03d}") for number in range(2)]
        order = await _sold(office, *seats, buyer=BuyerId(str(uuid4())))
        tickets = await pool.fetch("SELECT id FROM tickets WHERE order_id = $1", order.id)
        both = (_give_back(office, order, f"key {turn}", str(row["id"])) for row in tickets)
        await race(pool, "INSERT ON refunds", *both)
        made = await pool.fetchval("SELECT count(*) FROM refunds WHERE order_id = $1", order.id)
        if made != 1:
            wrong.append(f"I3 one key made {made} refunds")
    return wrong


async def used_ticket_goes_back(pool: Pool) -> list[str]:
    """Somebody was let in with one of two."""
    office = await Office.open(pool)
    order = await _sold(office, FRONT, NEXT)
    tickets = await _tickets(pool)
    await _scan(pool, tickets[0], "1")
    ruling = await _give_back(office, order, "key", *tickets)
    return [] if ruling.outcome == "not-issued" else [f"a used ticket was given back: {ruling.outcome}"]


async def gate_sees_a_ticket_again(pool: Pool) -> list[str]:
    """The same scan again, another scan, and one of a ticket that was given back."""
    office = await Office.open(pool)
    order = await _sold(office, FRONT, NEXT)
    ticket, other = await _tickets(pool)
    await _give_back(office, order, "key", other)
    seen = [await _scan(pool, *scan) for scan in ((ticket, "1"), (ticket, "1"), (ticket, "2"), (other, "3"))]
    return [] if seen == ["admitted", "admitted", "used", "void"] else [f"the gate said {seen}"]


async def _scan(pool: Pool, ticket: str, key: str) -> str:
    content = TicketCode(ticket, EVENT, FRONT, None)
    return (await TicketBook(pool).scan(Scan(EVENT, "North", "gate", key), Reading(content))).outcome.value


# --- Trials of payment and stats


async def order_told_twice(pool: Pool) -> list[str]:
    """A message is delivered twice."""
    orders, order = StatsOrders(pool), OrderId(str(uuid4()))
    refused = PaymentRefused(order=order, event=EVENT, attempt="1", code="REJECT_CARD_PAYMENT")
    for _ in range(2):
        await stats.record(orders, refused)
    counted = await pool.fetchval("SELECT refusals FROM sales WHERE order_id = $1", UUID(order))
    return [] if counted == 1 else [f"I10 one refusal was applied {counted} times"]


def _order() -> PaymentOrder:
    pay_by = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    return PaymentOrder(uuid4(), EventId("demo/mutant"), ANNA, 1000, "KRW", "Mutant", pay_by)


async def order_message_twice(pool: Pool) -> list[str]:
    """Payment's inbox: the second delivery of a message must not be news."""
    payments, order = Payments(pool), _order()
    message = OrderPlaced(
        order=OrderId(str(order.order_id)),
        event=order.event,
        buyer=ANNA,
        seats=(FRONT,),
        amount=order.amount,
        currency=order.currency,
        order_name=order.order_name,
        pay_by=order.pay_by,
    )
    for _ in range(2):
        await payments.learn_by(message, order)
    kept = await pool.fetchval("SELECT count(*) FROM inbox WHERE id = $1", message.id)
    return [] if kept == 1 else [f"I10 one message was applied {kept} times"]


async def two_payments_at_once(pool: Pool) -> list[str]:
    """Two windows of one order come back: one is confirmed at a time."""
    payments, order = Payments(pool), _order()
    await payments.learn(order)
    for number in range(2):
        await payments.open_attempt(uuid4(), order.order_id, f"tk_{number}")
    for number in range(2):
        try:
            await payments.begin_confirm(f"tk_{number}", ANNA, f"key{number}", order.amount, WHILE)
        except AnotherUnderWay:
            return []
    return ["I6 two payments of one order are under way"]


async def paid_after_it_was_closed(pool: Pool) -> list[str]:
    """The vendor charges late: the order was closed, its seats may be another's."""
    payments, order = Payments(pool), _order()
    await payments.learn(order)
    await payments.open_attempt(uuid4(), order.order_id, "tk_1")
    attempt = await payments.begin_confirm("tk_1", ANNA, "key", order.amount, WHILE)
    assert attempt is not None
    await payments.refuse(attempt, "EXPIRED", _SLOW)
    await payments.close(order.order_id)
    if await payments.settle(attempt, "jws", _SLOW):
        return ["I2 a closed order was paid"]
    return [str(row) for query in PAYMENT.values() for row in await pool.fetch(query)]


async def closed_while_unknown(pool: Pool) -> list[str]:
    """Ticket asks to close while nobody knows whether the card was charged."""
    payments, order = Payments(pool), _order()
    await payments.learn(order)
    await payments.open_attempt(uuid4(), order.order_id, "tk_1")
    attempt = await payments.begin_confirm("tk_1", ANNA, "key", order.amount, WHILE)
    assert attempt is not None
    await payments.mark_unknown(attempt, "ANSWER_LOST", 1)
    status = await payments.close(order.order_id)
    return [] if status == "PENDING" else [f"I6 an order with an unknown payment was {status}"]


async def _paid(pool: Pool) -> PaymentOrder:
    payments, order = Payments(pool), _order()
    await payments.learn(order)
    await payments.open_attempt(uuid4(), order.order_id, "tk_1")
    attempt = await payments.begin_confirm("tk_1", ANNA, "key", order.amount, WHILE)
    assert attempt is not None
    assert await payments.settle(attempt, "jws", _SLOW)
    return order


def _back(order: PaymentOrder, amount: int) -> RefundRequested:
    return RefundRequested(
        order=OrderId(str(order.order_id)),
        event=order.event,
        refund=uuid4(),
        buyer=ANNA,
        seats=(FRONT,),
        amount=amount,
        currency="KRW",
        reason="buyer",
    )


async def more_goes_back_than_was_paid(pool: Pool) -> list[str]:
    """Two refunds that are more together than the order was."""
    order, book = await _paid(pool), RefundsBook(pool)
    await book.learn_by(_back(order, 600))
    with contextlib.suppress(RefundNotOwed):
        await book.learn_by(_back(order, 600))
    return [str(row) for query in PAYMENT.values() for row in await pool.fetch(query)]


async def refund_message_twice(pool: Pool) -> list[str]:
    """The same refund under another message's name: it is the refund that counts."""
    order, book = await _paid(pool), RefundsBook(pool)
    message = _back(order, 400)
    for again in (message, message.model_copy(update={"id": uuid4()})):
        await book.learn_by(again)
    kept = await pool.fetchval("SELECT count(*) FROM refunds")
    return [] if kept == 1 else [f"I2 one refund was written down {kept} times"]


async def two_calls_at_once(pool: Pool) -> list[str]:
    """Two refunds of one payment are taken up: each is bound to a balance that the other moves."""
    order, book = await _paid(pool), RefundsBook(pool)
    for _ in range(2):
        await book.learn_by(_back(order, 400))
    taken = await book.take(2, WHILE)
    begun = [await book.begin(each, Step(Next.CALL, 1000, 1), each.idempotency_key) for each in taken]
    return [] if begun == [True, False] else [f"I2 calls begun at once: {begun}"]


async def vendor_calls_of_one_refund(_: Pool) -> list[str]:
    """What is done next about a refund, by what the vendor shows after a call whose answer was lost."""
    new = PayBack(uuid4(), uuid4(), "key", 1_000, "buyer", 1, is_called=False, locked_balance=None, tries=0)
    called = replace(new, is_called=True, locked_balance=3_000)
    mine = VendorCancel(new.vendor_reason, 1_000)

    def shown(balance: int, *cancels: VendorCancel) -> VendorPayment:
        return VendorPayment("key", "tk_1", "PARTIAL_CANCELED", "KRW", 3_000, balance, cancels=cancels)

    steps = [
        refunds_plan.next_step(called, shown(3_000)),
        refunds_plan.next_step(called, shown(2_000, mine)),
        refunds_plan.next_step(called, shown(2_000, replace(mine, status="IN_PROGRESS"))),
        refunds_plan.next_step(new, shown(500)),
    ]
    seen = [(str(step.what), step.call) for step in steps]
    # The same call has the same idempotency key.
    wanted = [("call", 1), ("done", 0), ("wait", 0), ("impossible", 0)]
    return [] if seen == wanted else [f"I2 next steps of a refund: {seen}"]


# --- The guards


@dataclass(frozen=True)
class Mutant:
    """One guard and how it is taken away: in a function (``old`` becomes ``new``), by a
    ``statement``, or both where each would be enough."""

    guard: str
    service: str
    trial: Trial
    function: str = ""
    old: str = ""
    new: str = ""
    statement: str = ""
    file: str = ""
    """The statement in a package's sql/ that ``old`` stands in, if it is no function."""
    module: ModuleType | None = None
    """The module that ``function`` is of, if it is Python's."""

    async def apply(self, pool: Pool) -> None:
        if self.statement:
            await pool.execute(self.statement)
        if not self.function or self.module:
            return
        source = await pool.fetchval("SELECT pg_get_functiondef($1::regproc)", self.function)
        assert self.old in source, f"{self.function} has no such guard any more: mend the mutant"
        await pool.execute(source.replace(self.old, self.new))


MUTANTS = [
    Mutant("fence of a hold", "ticket", old_hold_of_the_same_buyer, "place_order", "AND s.fence = v_hold.fence", ""),
    Mutant("end of a hold", "ticket", order_after_the_end, "place_order", "AND s.until > clock_timestamp()", ""),
    Mutant(
        "live hold of another",
        "ticket",
        everybody_wants_one_seat,
        "hold_seats",
        "WHERE s.state = 'HELD' AND s.until <= clock_timestamp() AND s.fence < excluded.fence",
        "",
    ),
    Mutant(
        "lock of a buyer's count",
        "ticket",
        one_buyer_at_many_windows,
        "hold_seats",
        "PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = p_buyer FOR UPDATE;",
        "",
    ),
    Mutant(
        "look for the idempotency key",
        "ticket",
        same_key_again,
        "place_order",
        "WHERE o.buyer = p_buyer AND o.idempotency_key = p_key",
        "WHERE false",
    ),
    Mutant(
        "idempotency key in flight, and its last wall",
        "ticket",
        same_key_at_once,
        "place_order",
        "IF NOT pg_try_advisory_xact_lock",
        "IF false AND NOT pg_try_advisory_xact_lock",
        statement="ALTER TABLE orders DROP CONSTRAINT orders_buyer_idempotency_key_key",
    ),
    Mutant(
        "one valid ticket a seat",
        "ticket",
        second_ticket_for_a_seat,
        statement="DROP INDEX tickets_one_a_seat",
    ),
    Mutant(
        "open order",
        "payment",
        paid_after_it_was_closed,
        file="settle",
        old="AND state = 'OPEN' FOR UPDATE",
        new="FOR UPDATE",
    ),
    Mutant(
        "nothing under way",
        "payment",
        closed_while_unknown,
        file="close",
        old="AND NOT EXISTS (SELECT FROM attempts WHERE order_id = $1 AND attempts.state IN ('CONFIRMING', 'UNKNOWN'))",
        new="",
    ),
    Mutant("fence of a release", "ticket", old_hold_is_given_back, "release_seats", "AND fence = p_fence", ""),
    Mutant("owner of a release", "ticket", hold_of_somebody_else, file="release_hold", old="AND buyer = $2", new=""),
    Mutant("owner of more time", "ticket", hold_of_somebody_else, "extend_hold", "AND h.buyer = p_buyer", ""),
    Mutant("owner of other seats", "ticket", hold_of_somebody_else, "change_seats", "AND h.buyer = p_buyer", ""),
    Mutant(
        "live hold of another, when seats are changed",
        "ticket",
        everybody_changes_to_one_seat,
        "change_seats",
        "WHERE s.state = 'HELD' AND s.until <= clock_timestamp() AND s.fence < excluded.fence",
        "",
    ),
    Mutant(
        "lock of a buyer's count, when seats are changed",
        "ticket",
        one_buyer_changes_twice,
        "change_seats",
        "PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = p_buyer FOR UPDATE;",
        "",
    ),
    Mutant(
        "tickets are void before their money goes",
        "ticket",
        tickets_go_back,
        "request_refund",
        "SET state = 'VOID', voided_at = v_now",
        "SET gate = t.gate",
    ),
    Mutant(
        "seats leave with their tickets",
        "ticket",
        tickets_go_back,
        "request_refund",
        "state = 'HELD', order_id = NULL, buyer = '',",
        "",
    ),
    Mutant(
        "look for a refund's idempotency key",
        "ticket",
        same_refund_again,
        "request_refund",
        "WHERE r.requested_by = p_by AND r.idempotency_key = p_key",
        "WHERE false",
    ),
    Mutant(
        "a refund's idempotency key in flight, and its last wall",
        "ticket",
        same_refund_at_once,
        "request_refund",
        "IF NOT pg_try_advisory_xact_lock",
        "IF false AND NOT pg_try_advisory_xact_lock",
        statement="ALTER TABLE refunds DROP CONSTRAINT refunds_requested_by_idempotency_key_order_id_key",
    ),
    Mutant(
        "used tickets do not go back",
        "ticket",
        used_ticket_goes_back,
        "request_refund",
        "FROM unnest(v_given) t WHERE t.state = 'USED'",
        "FROM unnest(v_given) t WHERE false",
    ),
    Mutant("a ticket lets in once", "ticket", gate_sees_a_ticket_again, "scan_ticket", "AND t.state = 'ISSUED'", ""),
    Mutant(
        "key of a scan",
        "ticket",
        gate_sees_a_ticket_again,
        statement="ALTER TABLE scans DROP CONSTRAINT scans_pkey",
    ),
    Mutant(
        "balance of a paid order",
        "payment",
        more_goes_back_than_was_paid,
        file="learn_refund",
        old="""AND amount - $3::bigint >= (
      SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r WHERE r.order_id = $2 AND r.refund_id <> $1)""",
        new="",
    ),
    Mutant(
        "name of a refund",
        "payment",
        refund_message_twice,
        file="learn_refund",
        old="ON CONFLICT (refund_id) DO NOTHING",
        new="",
        statement="ALTER TABLE refunds DROP CONSTRAINT refunds_pkey",
    ),
    Mutant("one refund under way", "payment", two_calls_at_once, statement="DROP INDEX refunds_one_called"),
    *(
        Mutant(guard, "payment", vendor_calls_of_one_refund, "next_step", old, new, module=refunds_plan)
        for guard, old, new in (
            ("idempotency key of a vendor's call", "call=pay_back.call + is_worn", "call=pay_back.call + 1"),
            (
                "the vendor's list of cancels",
                "if any(cancel.is_done and cancel.amount == pay_back.amount for cancel in mine)",
                "if False",
            ),
            (
                "a cancel that the vendor has not finished",
                "if any(not cancel.has_failed for cancel in mine)",
                "if False",
            ),
            ("balance at the vendor", "if payment.kept < pay_back.amount", "if False"),
        )
    ),
    Mutant("one row a seat", "ticket", second_row_for_a_seat, statement="ALTER TABLE seats DROP CONSTRAINT seats_pkey"),
    Mutant("inbox of stats", "stats", order_told_twice, statement="ALTER TABLE inbox DROP CONSTRAINT inbox_pkey"),
    Mutant(
        "inbox of payment", "payment", order_message_twice, statement="ALTER TABLE inbox DROP CONSTRAINT inbox_pkey"
    ),
    Mutant("one attempt under way", "payment", two_payments_at_once, statement="DROP INDEX attempts_one_under_way"),
]


async def _fresh(database: MakeDatabase, service: str) -> str:
    url = await database(service)
    packages = TICKET_PACKAGES if service == "ticket" else (f"tiketi_services.{service}",)
    for package in packages:
        await postgres.migrate(url, package)
    return url


@pytest.mark.parametrize("trial", dict.fromkeys(mutant.trial for mutant in MUTANTS), ids=lambda trial: trial.__name__)
async def test_with_all_guards_nothing_is_wrong(database: MakeDatabase, trial: Trial) -> None:
    service = next(mutant.service for mutant in MUTANTS if mutant.trial is trial)
    async with await postgres.connect(await _fresh(database, service), CONNECTIONS) as pool:
        assert await trial(pool) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
async def test_a_missing_guard_is_noticed(
    database: MakeDatabase, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mutant.file:
        package = "tiketi_services.ticket.orders" if mutant.service == "ticket" else "tiketi_services.payment"
        queries = dict(postgres.load_queries(package))
        assert mutant.old in queries[mutant.file], f"{mutant.file}.sql has no such guard any more: mend the mutant"
        queries[mutant.file] = queries[mutant.file].replace(mutant.old, mutant.new)
        for reader in (orders_repository,) if mutant.service == "ticket" else (payment_repository, refunds_book):
            monkeypatch.setattr(reader, "load_queries", lambda _: queries)
    if mutant.module:
        source = inspect.getsource(getattr(mutant.module, mutant.function))
        assert mutant.old in source, f"{mutant.function} has no such guard any more: mend the mutant"
        names = dict(vars(mutant.module))
        exec(source.replace(mutant.old, mutant.new), names)
        monkeypatch.setattr(mutant.module, mutant.function, names[mutant.function])
    url = await _fresh(database, mutant.service)
    async with await postgres.connect(url, 1) as pool:
        await mutant.apply(pool)
    async with await postgres.connect(url, CONNECTIONS) as pool:  # plans anew
        noticed: list[Any]
        try:
            noticed = await mutant.trial(pool)
        except asyncpg.PostgresError as error:
            noticed = [error]
    assert noticed, f"nobody misses: {mutant.guard}"
