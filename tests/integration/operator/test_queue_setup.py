"""Sale sheets on a real Redis."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests.integration.operator.stage import begin_line, value_of
from tests.unit.operator.events import make_event, make_policy

from tiketi_local.world import World
from tiketi_operator.queue_setup import Provisioned, SaleSheets
from tiketi_operator.sale import compile_sale
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import Line, event_id
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.redis_keys import DELETED_EVENTS, EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet

SALE = compile_sale(make_event(), make_policy())
KEYS = EventKeys(SALE.event)


@pytest.fixture
async def sheets(world: World, redis: Redis, redis_url: str) -> AsyncIterator[SaleSheets]:
    """Sheets in the module's own database, with no more rights than the operator has."""
    await redis.flushdb()
    database = redis_url.rpartition("/")[2]
    async with runtime_redis.connect(f"{world.redis_url('operator').rpartition('/')[0]}/{database}") as client:
        yield SaleSheets(client)


async def test_a_sheet_is_stored_whole_under_the_time_it_was_written(sheets: SaleSheets, redis: Redis) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    stored = await sheets.provision(SALE)
    assert before < stored.since <= stored.now
    assert SaleSheet.model_validate_json(await value_of(redis, KEYS.sheet)).content() == SALE
    assert int(await value_of(redis, KEYS.sheet_version)) == stored.version
    assert await redis.smembers(EVENTS) == {SALE.event.encode()}


async def test_codes_are_stored_whole_and_written_again_only_when_they_change(sheets: SaleSheets, redis: Redis) -> None:
    key = KEYS.line(Line("fans")).codes
    first, second = (CodeBook.of(SALE.event, Line("fans"), codes) for codes in (["RED-BALLOON"], ["BLUE-BALLOON"]))
    await sheets.provision(SALE, {Line("fans"): first})
    assert await value_of(redis, key) == first.to_bytes()
    await redis.expire(key, 1000)  # a key that is written again loses its end
    await sheets.provision(SALE, {Line("fans"): first})
    assert await redis.ttl(key) > 0
    await sheets.provision(SALE, {Line("fans"): second})
    assert await value_of(redis, key) == second.to_bytes()


async def test_codes_are_there_before_the_sheet_that_names_them(sheets: SaleSheets, redis: Redis) -> None:
    book = CodeBook.of(SALE.event, Line("fans"), ["RED-BALLOON"])
    await redis.set(KEYS.sheet_version, "no number")  # the sheet cannot be written
    with pytest.raises(RedisError):
        await sheets.provision(SALE, {Line("fans"): book})
    assert await value_of(redis, KEYS.line(Line("fans")).codes) == book.to_bytes()
    assert not await redis.exists(KEYS.sheet)


async def test_the_same_sheet_keeps_its_version(sheets: SaleSheets) -> None:
    first = await sheets.provision(SALE)
    assert (await sheets.provision(SALE)).version == first.version


async def test_every_change_gets_a_larger_version_even_within_one_millisecond(sheets: SaleSheets) -> None:
    versions = [
        (await sheets.provision(SALE.model_copy(update={"message": text}))).version for text in ("a", "b", "a", "b")
    ]
    assert versions == sorted(set(versions))


async def test_a_version_never_goes_back_when_the_clock_does(sheets: SaleSheets, redis: Redis) -> None:
    first = await sheets.provision(SALE)
    future = first.version + 10**9
    await redis.set(KEYS.sheet_version, future)
    changed = await sheets.provision(SALE.model_copy(update={"message": "late"}))
    assert changed.version == future + 1


async def test_a_sheet_is_adopted_when_ticket_says_this_very_version(sheets: SaleSheets, redis: Redis) -> None:
    first = await sheets.provision(SALE)
    assert not first.is_adopted
    await redis.set(KEYS.adopted, first.version)
    assert (await sheets.provision(SALE)).is_adopted
    assert not (await sheets.provision(SALE.model_copy(update={"message": "new"}))).is_adopted


async def test_a_line_begun_on_another_server_is_recovering(sheets: SaleSheets, redis: Redis) -> None:
    async def seen() -> list[Provisioned]:
        """By both ways to look: with a sale that can be compiled, and without."""
        stored = await sheets.stored(SALE.event)
        assert stored is not None
        return [await sheets.provision(SALE), stored.provisioned]

    first = await sheets.provision(SALE)
    assert not first.is_recovering
    await redis.set(KEYS.adopted, first.version)
    await begin_line(redis, SALE.event)
    assert [found.is_recovering for found in await seen()] == [False, False]
    await redis.hset(KEYS.epoch, "run_id", "0" * 40)
    assert [found.is_recovering for found in await seen()] == [True, True]
    await redis.delete(KEYS.epoch)
    assert [found.is_recovering for found in await seen()] == [True, True]


async def test_what_was_stored_last_can_be_read_back(sheets: SaleSheets) -> None:
    assert await sheets.stored(SALE.event) is None
    provisioned = await sheets.provision(SALE)
    stored = await sheets.stored(SALE.event)
    assert stored is not None
    assert stored.sale == SALE
    assert stored.provisioned.version == provisioned.version


async def test_a_lost_registry_is_written_again(sheets: SaleSheets, redis: Redis) -> None:
    await sheets.provision(SALE)
    await redis.delete(EVENTS)
    await sheets.provision(SALE)
    assert await redis.smembers(EVENTS) == {SALE.event.encode()}


async def test_only_ticket_s_keys_are_never_written(sheets: SaleSheets, redis: Redis) -> None:
    await sheets.provision(SALE)
    assert {key async for key in redis.scan_iter(match=KEYS.pattern)} == {
        KEYS.sheet.encode(),
        KEYS.sheet_version.encode(),
    }


async def test_a_sweep_takes_every_key_of_the_event_and_no_other(sheets: SaleSheets, redis: Redis) -> None:
    other = EventKeys(event_id("demo", "first-sale-2"))
    await sheets.provision(SALE)
    await redis.sadd(EVENTS, other.event)
    await redis.mset({f"{KEYS.prefix}line:public:{number}": 1 for number in range(1200)})
    await redis.set(other.sheet, "{}")
    assert await sheets.sweep(SALE.event) == 1202
    assert {key async for key in redis.scan_iter()} == {EVENTS.encode(), DELETED_EVENTS.encode(), other.sheet.encode()}
    assert await redis.smembers(EVENTS) == {other.event.encode()}
    assert await sheets.sweep(SALE.event) == 0


async def test_a_deletion_is_noted_up_to_its_sheet_until_the_object_is_made_again(
    sheets: SaleSheets, redis: Redis
) -> None:
    deleted = await sheets.provision(SALE)
    await sheets.sweep(SALE.event)
    assert int(await redis.hget(DELETED_EVENTS, SALE.event) or 0) >= deleted.version
    again = await sheets.provision(SALE)
    assert again.version > deleted.version
    assert await redis.hget(DELETED_EVENTS, SALE.event) is None
