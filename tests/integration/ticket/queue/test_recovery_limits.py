"""How far numbers and horizon may go: noted in PostgreSQL in blocks, before Redis uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tests.integration.ticket.queue.losses import Hall, Pod, hall
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.domain import Recovering
from tiketi_services.ticket.queue.recovery.marks import BLOCK
from tiketi_services.ticket.queue.repository import NumbersUsedUp

ANNA = BuyerId("anna")
_buyers = (BuyerId(f"buyer-{number}") for number in count())


@pytest.fixture
async def show(redis: Redis, redis_url: str, tables: Pool) -> AsyncIterator[Hall]:
    await redis.flushdb()
    async with hall(redis_url, tables) as show:
        yield show


async def marks(show: Hall) -> tuple[int, int]:
    """(seq, serving), the same in PostgreSQL and Redis."""
    row = await show.pool.fetchrow("SELECT seq_limit, serving_limit FROM lines WHERE event = $1", show.event)
    assert row is not None
    limits = await show.redis.hmget(show.line.limits, "seq", "serving")
    assert [int(limit or 0) for limit in limits] == list(row)
    return row["seq_limit"], row["serving_limit"]


async def test_a_line_begins_with_a_block_of_numbers_and_an_open_one_with_a_block_to_serve(show: Hall) -> None:
    assert await marks(show) == (BLOCK, BLOCK)


async def test_nothing_is_noted_while_enough_is_left(show: Hall) -> None:
    await show.redis.set(show.line.seq, BLOCK // 2)
    await show.redis.hset(show.line.serving, "horizon", BLOCK // 2)
    await show.pod.limits.keep_ahead()
    assert await marks(show) == (BLOCK, BLOCK)


async def test_the_next_block_is_noted_when_half_of_the_last_one_is_used(show: Hall) -> None:
    await show.redis.set(show.line.seq, BLOCK // 2 + 1)
    await show.pod.limits.keep_ahead()
    assert await marks(show) == (2 * BLOCK, BLOCK)
    await show.redis.hset(show.line.serving, "horizon", BLOCK // 2 + 1)
    await show.pod.limits.keep_ahead()
    assert await marks(show) == (2 * BLOCK, 2 * BLOCK)


async def test_a_join_beyond_the_last_number_waits_for_a_block(show: Hall) -> None:
    await show.redis.set(show.line.seq, BLOCK)
    with pytest.raises(NumbersUsedUp):
        await show.pod.lines.join(show.terms, None, ANNA)
    await show.pod.limits.raise_seq(show.event, PUBLIC)
    assert await marks(show) == (2 * BLOCK, BLOCK)
    await show.join([ANNA])
    assert show.seqs[ANNA] == BLOCK + 1


async def test_all_who_ask_for_numbers_at_the_same_moment_get_one_block(show: Hall) -> None:
    await show.redis.set(show.line.seq, BLOCK)
    await asyncio.gather(*(pod.limits.raise_seq(show.event, PUBLIC) for pod in show.pods for _ in range(20)))
    assert await marks(show) == (2 * BLOCK, BLOCK)


async def test_limits_never_go_back(show: Hall) -> None:
    await show.pod.marks.raise_to(show.event, PUBLIC, 3 * BLOCK, 2 * BLOCK)
    await show.pod.limits.raise_seq(show.event, PUBLIC)
    for asked, then in (((1, 1), (3, 2)), ((1, 3 * BLOCK), (3, 3)), ((4 * BLOCK, 1), (4, 3))):
        await show.pod.marks.raise_to(show.event, PUBLIC, *asked)
        row = await show.pool.fetchrow("SELECT seq_limit, serving_limit FROM lines")
        assert row == tuple(blocks * BLOCK for blocks in then)


async def test_a_horizon_that_nobody_needs_yet_is_not_noted(show: Hall, tables: Pool) -> None:
    """A loss before the sale opens must not put everybody behind the horizon: their order may still be drawn."""
    later = a_sale("later", opens_in=timedelta(minutes=10))
    await publish(show.redis, later)
    pod = Pod(show.redis, tables)
    await pod.sales.refresh()
    await pod.recoveries.step()
    await pod.limits.keep_ahead()
    row = await tables.fetchrow("SELECT seq_limit, serving_limit FROM lines WHERE event = $1", later.event)
    assert row == (BLOCK, 0)
    await show.redis.delete(EventKeys(later.event).epoch)
    await pod.recoveries.step()
    line = EventKeys(later.event).line(PUBLIC)
    assert await show.redis.hget(line.serving, "horizon") == b"0"
    assert await show.redis.get(line.seq) == str(BLOCK).encode()


async def test_a_line_whose_order_is_still_to_be_drawn_is_not_served_ahead(show: Hall, tables: Pool) -> None:
    now = datetime.now(UTC)
    drawn = a_sale("drawn")
    line = drawn.lines[0].model_copy(update={"draw_at": now - timedelta(seconds=30)})
    await publish(show.redis, drawn.model_copy(update={"lines": (line,)}))
    pod = Pod(show.redis, tables)
    await pod.sales.refresh()
    await pod.recoveries.step()
    await pod.limits.keep_ahead()
    statement = "SELECT serving_limit FROM lines WHERE event = $1"
    assert await tables.fetchval(statement, drawn.event) == 0
    await show.redis.hset(EventKeys(drawn.event).line(PUBLIC).draw, mapping={"n": 0, "ready": 1})
    await pod.limits.keep_ahead()
    assert await tables.fetchval(statement, drawn.event) == BLOCK


async def test_a_draw_is_known_again_after_a_loss(show: Hall, tables: Pool) -> None:
    await tables.execute(
        "INSERT INTO draws (event, line, commitment, n, draw_at, closed_at) VALUES ($1, $2, $3, 7, now(), now())",
        show.event,
        PUBLIC,
        bytes(32),
    )
    await show.redis.flushdb()
    await show.recover()
    assert await show.redis.hget(show.line.draw, "n") == b"7"
    assert await show.redis.hget(show.line.draw, "ready") is None
    await tables.execute(
        "UPDATE draws SET root = $1, leaves = $2, fixed_at = now(), facts = '{}', drawn_at = now()",
        bytes(32),
        bytes(32 * 7),
    )
    await show.redis.flushdb()
    await show.recover()
    assert await show.redis.hget(show.line.draw, "ready") == b"1"


async def test_how_many_wait_is_noted_but_not_while_they_are_coming_back(show: Hall, tables: Pool) -> None:
    await show.join([next(_buyers) for _ in range(30)])
    await show.note_living()
    assert await tables.fetchval("SELECT living FROM lines") == 30
    await show.redis.flushdb()
    await show.recover()
    await show.come_back(show.waiting[:10])
    await show.note_living()
    assert await tables.fetchval("SELECT living FROM lines") == 30
    await show.come_back(show.waiting)
    await show.note_living()
    assert await tables.fetchval("SELECT living FROM lines") == 30
    await show.pod.lines.leave(show.event, PUBLIC, show.waiting[0])
    await show.note_living()
    assert await tables.fetchval("SELECT living FROM lines") == 29


async def test_of_a_lost_line_nothing_is_noted(show: Hall) -> None:
    await show.redis.flushdb()
    with pytest.raises(Recovering):
        await show.pod.limits.keep_ahead()
    with pytest.raises(Recovering):
        await show.pod.limits.raise_seq(show.event, PUBLIC)
    assert await show.pool.fetchval("SELECT seq_limit FROM lines") == BLOCK


async def test_an_event_that_is_lost_keeps_no_other_from_its_numbers(show: Hall, tables: Pool) -> None:
    await publish(show.redis, a_sale("lost"))
    pod = Pod(show.redis, tables)
    await pod.sales.refresh()
    await pod.recoveries.step()
    await show.redis.delete(EventKeys(event_id("demo", "lost")).epoch)
    await show.redis.set(show.line.seq, BLOCK)
    await pod.sales.restore()
    with pytest.raises(Recovering):
        await pod.limits.keep_ahead()
    assert (await marks(show))[0] == 2 * BLOCK
