"""Mutants: each takes one guard away in a throw-away database, and something that is checked must notice.

A trial plays a few buyers on the real statements and returns what is wrong afterwards: nothing while all guards stand,
something as soon as its guard is gone. A guard that nobody would miss is not a guard, or is not checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.orders.box_office import ANNA, BORIS, EVENT, FRONT, NEXT, paid, sale_sheet
from tests.integration.ticket.orders.conftest import PACKAGES
from tests.invariants import PAYMENT, violations

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.messages import OrderPlaced, PaymentRefused
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_services.payment import repository as payment_repository
from tiketi_services.payment.domain import Order as PaymentOrder
from tiketi_services.payment.domain import VendorCall
from tiketi_services.payment.repository import AnotherUnderWay, Payments
from tiketi_services.stats import usecases as stats
from tiketi_services.stats.repository import Orders as StatsOrders
from tiketi_services.ticket.orders.domain import SeatLost
from tiketi_services.ticket.orders.repository import OrderBook, Placing, Verdict

BLINK = timedelta(milliseconds=60)
WHILE = timedelta(minutes=10)
_SLOW = VendorCall(None, is_fault=True)
ROUNDS = 25
"""Times that a race is run: long enough for a missing lock to show."""


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

    async def place(self, buyer: BuyerId, hold: HoldId, key: str = "") -> Placing | None:
        try:
            return await self.book.place(self.sale, buyer, hold, OrderId(str(uuid4())), key or str(uuid4()), None)
        except SeatLost:
            return None

    async def wrong(self) -> list[str]:
        return await violations(self.pool)


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
        ends = await asyncio.gather(*(office.hold(BuyerId(str(uuid4())), seat) for _ in range(8)))
        won = sum(outcome == "held" for _, outcome in ends)
        if won != 1:
            wrong.append(f"{won} buyers hold {seat}")
    return wrong + await office.wrong()


async def one_buyer_at_many_windows(pool: Pool) -> list[str]:
    """More than the limit, all at once."""
    office = await Office.open(pool)
    for turn in range(ROUNDS):
        buyer = BuyerId(str(uuid4()))
        seats = [SeatId(f"ST-{number:03d}") for number in range(turn * 12, turn * 12 + 12)]
        pairs = [seats[at : at + 2] for at in range(0, 12, 2)]
        await asyncio.gather(*(office.hold(buyer, *pair) for pair in pairs))
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
        await asyncio.gather(*(office.place(buyer, hold, "key") for hold in holds), return_exceptions=True)
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
    """The statement in payment's sql/ that ``old`` stands in, if it is no function."""

    async def apply(self, pool: Pool) -> None:
        if self.file:
            return
        if self.statement:
            await pool.execute(self.statement)
        if not self.function:
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
    Mutant("one row a seat", "ticket", second_row_for_a_seat, statement="ALTER TABLE seats DROP CONSTRAINT seats_pkey"),
    Mutant("inbox of stats", "stats", order_told_twice, statement="ALTER TABLE inbox DROP CONSTRAINT inbox_pkey"),
    Mutant(
        "inbox of payment", "payment", order_message_twice, statement="ALTER TABLE inbox DROP CONSTRAINT inbox_pkey"
    ),
    Mutant("one attempt under way", "payment", two_payments_at_once, statement="DROP INDEX attempts_one_under_way"),
]


async def _fresh(database: MakeDatabase, service: str) -> str:
    url = await database(service)
    packages = PACKAGES if service == "ticket" else (f"tiketi_services.{service}",)
    for package in packages:
        await postgres.migrate(url, package)
    return url


@pytest.mark.parametrize("trial", dict.fromkeys(mutant.trial for mutant in MUTANTS), ids=lambda trial: trial.__name__)
async def test_with_all_guards_nothing_is_wrong(database: MakeDatabase, trial: Trial) -> None:
    service = next(mutant.service for mutant in MUTANTS if mutant.trial is trial)
    async with await postgres.connect(await _fresh(database, service), 8) as pool:
        assert await trial(pool) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
async def test_a_missing_guard_is_noticed(
    database: MakeDatabase, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mutant.file:
        queries = dict(postgres.load_queries("tiketi_services.payment"))
        assert mutant.old in queries[mutant.file], f"{mutant.file}.sql has no such guard any more: mend the mutant"
        queries[mutant.file] = queries[mutant.file].replace(mutant.old, mutant.new)
        monkeypatch.setattr(payment_repository, "load_queries", lambda _: queries)
    url = await _fresh(database, mutant.service)
    async with await postgres.connect(url, 1) as pool:
        await mutant.apply(pool)
    async with await postgres.connect(url, 8) as pool:  # plans anew
        noticed: list[Any]
        try:
            noticed = await mutant.trial(pool)
        except asyncpg.PostgresError as error:
            noticed = [error]
    assert noticed, f"nobody misses: {mutant.guard}"
