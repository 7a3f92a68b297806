"""The checker itself: it is silent when all is well, and names what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.orders.box_office import ANNA, BORIS, EVENT, FRONT, NEXT, Stage
from tests.invariants import violations

from tiketi_runtime import postgres
from tiketi_runtime.postgres import Pool


@pytest.fixture(scope="module")
async def payment_pool(database: MakeDatabase) -> AsyncIterator[Pool]:
    url = await database("payment")
    await postgres.migrate(url, "tiketi_services.payment")
    async with await postgres.connect(url, 1) as pool:
        yield pool


async def broken_by(stage: Stage, statement: str) -> list[str]:
    """What no longer holds after the statement, which is then undone."""
    async with stage.pool.acquire() as connection:
        change = connection.transaction()
        await change.start()
        await connection.execute(statement)
        found = await violations(connection)
        await change.rollback()
    return found


@pytest.mark.parametrize(
    ("statement", "invariant"),
    [
        ("DELETE FROM tickets", "I1 a sold seat"),
        ("DELETE FROM seats WHERE state = 'SOLD'", "I1 a valid ticket"),
        ("DELETE FROM seats WHERE state = 'PLACED'", "I1 an open order"),
        (
            "UPDATE orders SET state = 'CLOSED', ended_at = now(), close_at = NULL WHERE state = 'OPEN'",
            "I1 a closed order has",
        ),
        ("UPDATE orders SET amount = amount - 1", "I2 the amount of an order"),
        ("UPDATE orders SET currency = 'USD'", "I2 an order is priced"),
        (
            "INSERT INTO holds SELECT gen_random_uuid(), event, buyer, line, fence + 9, seats, now(), until FROM holds",
            "I4 a seat is never given away",
        ),
        (
            "UPDATE seats SET state = 'HELD', order_id = NULL, until = now() + interval '1 h', fence = fence + 1",
            "I4 a held seat is as its hold says",
        ),
        ("UPDATE holds SET until = until + interval '21 min'", "I4 no hold lasts longer"),
        ("UPDATE orders SET placed_at = now() + interval '1 h'", "I5 an order was placed"),
        ("DELETE FROM outbox", "I10 each order is told once"),
        (
            "INSERT INTO seats (event, seat, state, buyer, hold, fence, until)"
            " SELECT event, 'A-05-0' || n, 'HELD', buyer, hold, fence, now() + interval '1 h'"
            " FROM seats, generate_series(1, 4) n WHERE state = 'SOLD'",
            "I11 no buyer has more live seats",
        ),
    ],
    ids=lambda value: value[:40],
)
async def test_whatever_breaks_an_invariant_is_named(stage: Stage, statement: str, invariant: str) -> None:
    await stage.settle(await stage.place(ANNA, FRONT))
    await stage.place(BORIS, NEXT)
    assert await violations(stage.pool) == []
    assert any(line.startswith(invariant) for line in await broken_by(stage, statement))


async def test_ticket_and_payment_must_tell_the_same_story(stage: Stage, payment_pool: Pool) -> None:
    paid = await stage.place(ANNA, FRONT)
    assert await violations(stage.pool, payment_pool) == []
    await stage.settle(paid)
    [found] = await violations(stage.pool, payment_pool)
    assert found.startswith("I2 ticket and payment agree")

    attempt = uuid4()
    await payment_pool.execute(
        "INSERT INTO orders (order_id, state, event, buyer, amount, currency, order_name, pay_by)"
        " VALUES ($1, 'PAID', $2, $3, 150000, 'KRW', 'First Night', now())",
        paid.id,
        EVENT,
        ANNA,
    )
    await payment_pool.execute(
        "INSERT INTO attempts (attempt_id, order_id, vendor_order_id, state, payment_key, ended_at)"
        " VALUES ($1, $2, 'tk_1', 'DONE', 'tviva-1', now())",
        attempt,
        paid.id,
    )
    assert len(await violations(stage.pool, payment_pool)) == 3  # charged without outcome, paid without outcome
    await payment_pool.execute(
        "INSERT INTO outcomes (order_id, attempt_id, status, amount, currency, payment_key, jws)"
        " VALUES ($1, $2, 'PAID', 150000, 'KRW', 'tviva-1', 'x')",
        paid.id,
        attempt,
    )
    assert await violations(stage.pool, payment_pool, at_rest=True) == []
