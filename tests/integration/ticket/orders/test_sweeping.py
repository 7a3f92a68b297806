"""What nobody asks for: ended holds, and what Redis shows of the seats."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    FRONT,
    NEXT,
    THIRD,
    Stage,
    sweeper,
)

SHORT = timedelta(milliseconds=60)
RETRY = timedelta(milliseconds=100)


async def test_seats_of_expired_holds_are_swept_and_painted_free_and_nothing_else_is(stage: Stage) -> None:
    await stage.place(BORIS, THIRD)
    await stage.change(hold_duration=SHORT)
    await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.08)
    await stage.change(hold_duration=timedelta(minutes=1))
    await stage.hold(ANNA, NEXT)
    await asyncio.gather(*(sweeper(stage, RETRY).sweep_holds() for _ in range(3)))
    assert await stage.states() == {NEXT: "HELD", THIRD: "PLACED"}
    assert await stage.paint(FRONT) is None
    assert await stage.paint(NEXT) is not None


async def test_paint_that_was_lost_or_is_wrong_is_mended_from_postgresql(stage: Stage) -> None:
    await stage.settle(await stage.place(ANNA, FRONT))
    hold = await stage.hold(BORIS, NEXT)
    await stage.redis.delete(stage.keys.seats, stage.keys.counts)
    await stage.redis.hset(stage.keys.seats, THIRD, f"{uuid4()}|{ANNA}|9999999999999")
    await sweeper(stage, RETRY).mend_paint()
    assert await stage.paint(FRONT) == "sold"
    assert (await stage.paint(NEXT) or "").startswith(hold.id)
    assert await stage.paint(THIRD) is None
    assert await stage.redis.hget(stage.keys.counts, "sold") == b"1"


async def test_a_deleted_event_is_not_painted_back_into_redis(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await stage.redis.delete(stage.keys.sheet, stage.keys.seats, stage.keys.counts)
    await stage.settle(order)
    await sweeper(stage, RETRY).mend_paint()
    assert not await stage.redis.exists(stage.keys.seats, stage.keys.counts)
