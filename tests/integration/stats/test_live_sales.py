"""Figures of the line, read from a real Redis with no more rights than stats has there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError
from tests.integration.stats.on_sale import FAN_CLUB, register

from tiketi_local.world import World
from tiketi_runtime import redis
from tiketi_runtime.contracts.answer_times import window_of
from tiketi_runtime.contracts.identity import PUBLIC, Line, event_id
from tiketi_runtime.contracts.redis_keys import EVENTS
from tiketi_services.stats.repository import LiveSales

EVENT = event_id("demo", "first-sale")


@pytest.fixture
async def admin(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def stats(world: World, redis_url: str) -> AsyncIterator[redis.Redis]:
    """The same Redis database as user ``stats``."""
    number = redis_url.rpartition("/")[2]
    client = redis.connect(f"{world.redis_url('stats').rpartition('/')[0]}/{number}")
    yield client
    await client.aclose()


def ms_from_now(seconds: float) -> int:
    return int((time.time() + seconds) * 1000)


async def test_an_event_without_buyers_reads_as_zero(admin: Redis, stats: redis.Redis) -> None:
    await register(admin, EVENT)
    reading = await LiveSales(stats).read(EVENT)
    assert reading is not None
    assert (reading.waiting, reading.active, reading.held, reading.admitted) == (0, 0, frozenset(), 0)


async def test_all_lines_are_counted_together(admin: Redis, stats: redis.Redis) -> None:
    keys = await register(admin, EVENT)
    await admin.zadd(keys.line(PUBLIC).waiting, {f"b{number}": number for number in range(5)})
    await admin.zadd(keys.line(Line(FAN_CLUB)).waiting, {"f1": 1, "f2": 2})
    await admin.zadd(keys.line(Line(FAN_CLUB)).returning, {"f0": 0})
    reading = await LiveSales(stats).read(EVENT)
    assert reading is not None
    assert reading.waiting == 8


async def test_sessions_and_holds_that_ran_out_do_not_count(admin: Redis, stats: redis.Redis) -> None:
    keys = await register(admin, EVENT)
    await admin.zadd(keys.active, {"anna": ms_from_now(60), "boris": ms_from_now(60), "carla": ms_from_now(-1)})
    await admin.hset(
        keys.seats,
        mapping={
            "ST-0001": f"h1|anna|{ms_from_now(60)}",
            "ST-0002": f"h2|carla|{ms_from_now(-1)}",
            "ST-0003": "sold",
        },
    )
    await admin.hset(keys.counts, "admitted", 42)
    reading = await LiveSales(stats).read(EVENT)
    assert reading is not None
    assert (reading.active, set(reading.held), reading.admitted) == (2, {"ST-0001"}, 42)


async def test_how_long_answers_took_is_read_for_the_last_minute(admin: Redis, stats: redis.Redis) -> None:
    keys = await register(admin, EVENT)
    now = window_of(datetime.now(UTC))
    await admin.hset(keys.samples(now - 8), "hold:60", 1_000)  # long ago
    for window, counter in ((now, "hold:12"), (now - 2, "order:12"), (now - 3, "confirm:60")):
        await admin.hset(keys.samples(window), counter, 50)
    reading = await LiveSales(stats).read(EVENT)
    assert reading is not None
    assert reading.p95_ms == 8
    await admin.delete(keys.samples(now), keys.samples(now - 2))
    later = await LiveSales(stats).read(EVENT)
    assert later is not None
    assert later.p95_ms is None


async def test_a_house_larger_than_one_read_is_read_whole(admin: Redis, stats: redis.Redis) -> None:
    keys = await register(admin, EVENT)
    until = ms_from_now(60)
    await admin.hset(keys.seats, mapping={f"ST-{number:04d}": f"h|b|{until}" for number in range(1, 5001)})
    reading = await LiveSales(stats).read(EVENT)
    assert reading is not None
    assert len(reading.held) == 5000


async def test_an_event_whose_sheet_is_not_there_yet_is_left_out(admin: Redis, stats: redis.Redis) -> None:
    await admin.sadd(EVENTS, EVENT)
    live = LiveSales(stats)
    assert await live.events() == [EVENT]
    assert await live.read(EVENT) is None


async def test_stats_may_write_nothing(stats: redis.Redis) -> None:
    with pytest.raises(NoPermissionError):
        await stats.set("tiketi:x", 1)
