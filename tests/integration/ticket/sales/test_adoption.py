"""How sale sheets get from the operator into service, and what happens to them when a store is lost."""

from __future__ import annotations

import pytest
from tests.integration.ticket.sales.a_sale import a_sale, build_memory, delete, publish

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import DELETED_EVENTS, EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Sales

SHOW = event_id("demo", "show")


async def test_a_published_sheet_is_served_and_kept(sales: Sales, redis: Redis, pool: Pool) -> None:
    await publish(redis, a_sale("show", version=7))
    await sales.refresh()
    assert (await sales.sheet(SHOW)).version == 7
    assert await pool.fetchval("SELECT content ->> 'title' FROM sale_sheets WHERE version = 7") == "First Night"
    assert await pool.fetch("SELECT line, seq_limit, serving_limit FROM lines") == [("public", 0, 0)]


async def test_the_operator_hears_of_a_served_sheet_once_the_memory_of_the_event_is_built(
    sales: Sales, redis: Redis
) -> None:
    await publish(redis, a_sale("show", version=7))
    await sales.refresh()
    assert await redis.get(EventKeys(SHOW).adopted) is None
    await build_memory(redis, SHOW)
    await sales.refresh()
    assert await redis.get(EventKeys(SHOW).adopted) == b"7"


async def test_a_pod_that_is_behind_never_takes_a_newer_version_back(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show", version=7))
    await build_memory(redis, SHOW)
    await redis.set(EventKeys(SHOW).adopted, 8)
    await sales.refresh()
    assert await redis.get(EventKeys(SHOW).adopted) == b"8"


async def test_a_sheet_is_served_only_after_what_it_names_was_prepared(redis: Redis, pool: Pool) -> None:
    is_prepared = False

    async def prepare(_: SaleSheet) -> bool:
        return is_prepared

    sales = Sales(SheetSource(redis), SheetArchive(pool), prepare=prepare)
    await publish(redis, a_sale("show"))
    await sales.refresh()
    assert sales.all() == {}
    assert await pool.fetchval("SELECT count(*) FROM sale_sheets") == 0
    is_prepared = True
    await sales.refresh()
    assert list(sales.all()) == [SHOW]


async def test_every_version_is_kept(sales: Sales, redis: Redis, pool: Pool) -> None:
    for version in (1, 2, 3):
        await publish(redis, a_sale("show", version=version, title=f"Title {version}"))
        await sales.refresh()
    assert (await sales.sheet(SHOW)).title == "Title 3"
    assert await pool.fetchval("SELECT count(*) FROM sale_sheets") == 3


async def test_two_pods_adopt_the_same_sheet_without_harm(sales: Sales, redis: Redis, pool: Pool) -> None:
    other = Sales(SheetSource(redis), SheetArchive(pool))
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await other.refresh()
    assert await pool.fetchval("SELECT count(*) FROM sale_sheets") == 1


async def test_an_unknown_event_is_refused_by_name(sales: Sales) -> None:
    with pytest.raises(UnknownEvent, match="demo/show"):
        await sales.sheet(SHOW)


async def test_a_sheet_that_cannot_be_read_is_left_out_and_others_are_served(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await publish(redis, a_sale("other"))
    await redis.set(EventKeys(SHOW).sheet, "{")
    await sales.refresh()
    assert list(sales.all()) == ["demo/other"]


async def test_a_deleted_event_leaves_the_catalogue_and_its_rows_stay(sales: Sales, redis: Redis, pool: Pool) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await delete(redis, SHOW)
    await sales.refresh()
    assert sales.all() == {}
    assert await pool.fetchval("SELECT count(*) FROM sale_sheets") == 1
    assert [key async for key in redis.scan_iter(EventKeys(SHOW).pattern)] == []


async def test_an_event_made_again_goes_on_with_its_lines(sales: Sales, redis: Redis, pool: Pool) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await pool.execute("UPDATE lines SET seq_limit = 40000, serving_limit = 20000")
    await delete(redis, SHOW)
    await sales.refresh()
    await publish(redis, a_sale("show", version=2, uid="uid-2"))
    await sales.refresh()
    assert (await sales.sheet(SHOW)).uid == "uid-2"
    assert await pool.fetch("SELECT line, seq_limit, serving_limit FROM lines") == [("public", 40000, 20000)]


async def test_an_event_made_again_before_anyone_looked_goes_on(sales: Sales, redis: Redis, pool: Pool) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await delete(redis, SHOW)
    await publish(redis, a_sale("show", version=2, uid="uid-2"))
    await sales.refresh()
    assert (await sales.sheet(SHOW)).uid == "uid-2"
    assert await pool.fetchval("SELECT gone_at FROM events") is None


async def test_a_deletion_that_is_older_than_the_sheet_takes_nothing_out_of_service(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show", version=5))
    await sales.refresh()
    await redis.hset(DELETED_EVENTS, SHOW, 4)
    await redis.srem(EVENTS, SHOW)
    await sales.refresh()
    assert list(sales.all()) == [SHOW]
    assert await redis.sismember(EVENTS, SHOW)


async def test_a_stale_redis_does_not_bring_a_deleted_event_back(sales: Sales, redis: Redis, pool: Pool) -> None:
    await publish(redis, a_sale("show", version=5))
    await sales.refresh()
    await delete(redis, SHOW)
    await sales.refresh()
    await redis.delete(DELETED_EVENTS)
    await publish(redis, a_sale("show", version=5))
    for _ in range(2):
        await sales.refresh()
    assert sales.all() == {}
    assert await pool.fetchval("SELECT gone_at IS NOT NULL FROM events")


async def test_a_deletion_that_only_another_pod_saw_is_not_undone(sales: Sales, redis: Redis, pool: Pool) -> None:
    other = Sales(SheetSource(redis), SheetArchive(pool))
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await other.refresh()
    await delete(redis, SHOW)
    await sales.refresh()
    await redis.flushdb()
    await other.refresh()
    assert other.all() == {}
    assert not await redis.sismember(EVENTS, SHOW)


async def test_an_emptied_redis_takes_no_event_out_of_service(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await redis.flushdb()
    await sales.refresh()
    assert list(sales.all()) == [SHOW]


async def test_an_event_that_redis_lost_is_registered_anew(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await redis.flushdb()
    await sales.refresh()
    assert await redis.smembers(EVENTS) == {SHOW.encode()}


async def test_a_pod_that_starts_without_redis_serves_what_postgresql_holds(
    sales: Sales, redis: Redis, pool: Pool
) -> None:
    await publish(redis, a_sale("show"))
    await publish(redis, a_sale("gone"))
    await sales.refresh()
    await delete(redis, event_id("demo", "gone"))
    await sales.refresh()
    fresh = Sales(SheetSource(redis), SheetArchive(pool))
    await fresh.restore()
    assert list(fresh.all()) == [SHOW]


async def test_a_lane_serves_its_event_alone(redis: Redis, pool: Pool) -> None:
    lane = Sales(SheetSource(redis), SheetArchive(pool), only=SHOW)
    await publish(redis, a_sale("show"))
    await publish(redis, a_sale("other"))
    await lane.refresh()
    await lane.refresh()
    assert list(lane.all()) == [SHOW]
