"""Plans of statements are kept, and those made before a sale must be good in the middle of it.

A sale begins with a small table that PostgreSQL has just analysed, and the first hour fills it faster than autoanalyze
comes by. Here: one sold-out house of 60,000 seats beside 199 other events, and connections that have planned everything
while the table had a dozen rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.orders.box_office import EVENT, sale_sheet
from tests.integration.ticket.orders.conftest import PACKAGES

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import BuyerId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import Section
from tiketi_runtime.postgres import Pool
from tiketi_services.ticket.orders.domain import MoreTime, Outcome
from tiketi_services.ticket.orders.repository import OrderBook

GREAT = Section(name="A", price=1000, rows=300, seats_per_row=200)
SALE = sale_sheet(sections=(GREAT,), max_tickets_per_buyer=100)
FILL = """
INSERT INTO seats (event, seat, state, buyer, hold, fence, until, order_id)
SELECT 'other/' || e, 'A-' || s, 'SOLD', 'b' || s, gen_random_uuid(), 1, NULL::timestamptz, gen_random_uuid()
FROM generate_series(1, 199) e, generate_series(1, 300) s
UNION ALL SELECT $1, seat, 'SOLD', 'buyer' || n / 4, gen_random_uuid(), 1, NULL::timestamptz, gen_random_uuid()
FROM unnest($2::text[]) WITH ORDINALITY AS u (seat, n) WHERE n > 100"""

MORE = MoreTime(timedelta(minutes=10), timedelta(minutes=30), enough=timedelta(minutes=20))


@pytest.fixture
async def book(database: MakeDatabase) -> AsyncIterator[tuple[OrderBook, Pool]]:
    """One connection, so that it is always the same one that has planned."""
    url = await database("ticket")
    for package in PACKAGES:
        await postgres.migrate(url, package)
    async with await postgres.connect(url, 1) as pool:
        await pool.execute("ALTER TABLE seats SET (autovacuum_enabled = off)")
        await pool.execute("ALTER TABLE holds SET (autovacuum_enabled = off)")
        await pool.execute("INSERT INTO events (event, uid) VALUES ($1, '1')", EVENT)
        await pool.execute(
            "INSERT INTO sale_sheets (event, version, content) VALUES ($1, 1, $2)",
            EVENT,
            SALE.model_dump(mode="json", by_alias=True),
        )
        yield OrderBook(pool), pool


async def purchases(book: OrderBook, sale: SaleSheet, seats: list[SeatId], tag: str) -> None:
    """Every statement of a purchase, several times: from the sixth on a plan is kept."""
    for number in range(0, len(seats), 4):
        buyer, mine = BuyerId(f"{tag}{number}"), sorted(seats[number : number + 4])
        hold, new = HoldId(str(uuid4())), HoldId(str(uuid4()))
        assert (await book.hold(sale, sale.lines[1], buyer, hold, mine[:2])).outcome == "held"
        assert (await book.hold(sale, sale.lines[1], buyer, hold, mine[:1])).outcome == "taken"
        await book.taken(EVENT, mine)
        changed = await book.change(sale, sale.lines[1], buyer, hold, new, mine[2:])
        assert changed.outcome == "changed"
        await book.extend(
            EVENT, buyer, new, MoreTime(sale.hold_duration, 3 * sale.hold_duration, 2 * sale.hold_duration)
        )
        await book.holds_of(EVENT, buyer)
        order = OrderId(str(uuid4()))
        placed = (await book.place(sale, buyer, new, order, tag)).order
        assert placed is not None
        if number % 8:
            await book.close(order)
        else:
            assert await book.settle(Outcome(order, EVENT, buyer, placed.amount, placed.currency, "key"), None)
            await book.tickets_of_order(order)
        again = HoldId(str(uuid4()))
        await book.hold(sale, sale.lines[1], buyer, again, mine[:2])
        assert await book.release(EVENT, buyer, again)
        await book.sweep_holds(500)


async def read_whole(pool: Pool) -> int:
    """Rows of ``seats`` and ``holds`` that were read by going through the whole table, so far."""
    await pool.execute("SELECT pg_stat_force_next_flush()")
    return int(
        await pool.fetchval("SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('seats', 'holds')")
    )


async def test_no_statement_of_a_purchase_reads_a_whole_table_in_the_rush(book: tuple[OrderBook, Pool]) -> None:
    orders, pool = book
    seats = list(GREAT.seats())
    await pool.execute("ANALYZE seats; ANALYZE holds")
    await purchases(orders, SALE, seats[:40], "early")
    await pool.execute("ANALYZE seats; ANALYZE holds")
    await purchases(orders, SALE, seats[40:68], "primed")
    await pool.execute(FILL, EVENT, seats)
    before = await read_whole(pool)
    await purchases(orders, SALE, seats[72:100], "rush")
    assert await read_whole(pool) == before
