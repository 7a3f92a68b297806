"""How sale sheets get from the operator into service, and what happens to them when a store is lost."""

from __future__ import annotations

import pytest
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Sales

SHOW = event_id("demo", "show")


async def test_a_published_sheet_is_served_kept_and_confirmed(sales: Sales, redis: Redis, pool: Pool) -> None:
    await publish(redis, a_sale("show", version=7))
    await sales.refresh()
    assert (await sales.sheet(SHOW)).version == 7
    assert await redis.get(EventKeys(SHOW).adopted) == b"7"
    assert await pool.fetchval("SELECT content ->> 'title' FROM sale_sheets WHERE version = 7") == "First Night"
    assert await pool.fetch("SELECT line, epoch FROM lines") == [("public", 1)]


async def test_a_new_event_begins_its_line_on_this_server(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    server = await redis.info("server")
    assert await redis.hgetall(EventKeys(SHOW).epoch) == {b"epoch": b"1", b"run_id": server["run_id"].encode()}


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
    assert await pool.fetchval("SELECT epoch FROM events") == 1


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


async def test_an_event_made_again_begins_a_new_line_with_the_next_epoch(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await delete(redis, SHOW)
    await sales.refresh()
    await publish(redis, a_sale("show", version=2, uid="uid-2"))
    await sales.refresh()
    assert await redis.hget(EventKeys(SHOW).epoch, "epoch") == b"2"


async def test_an_event_made_again_before_anyone_looked_begins_a_new_line(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await delete(redis, SHOW)
    await publish(redis, a_sale("show", version=2, uid="uid-2"))
    await sales.refresh()
    assert await redis.hget(EventKeys(SHOW).epoch, "epoch") == b"2"


async def test_an_object_restored_over_a_living_line_goes_on_with_it(sales: Sales, redis: Redis, pool: Pool) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await publish(redis, a_sale("show", version=2, uid="uid-2"))
    await sales.refresh()
    assert await redis.hget(EventKeys(SHOW).epoch, "epoch") == b"1"
    assert await pool.fetchval("SELECT epoch FROM events") == 1


async def test_an_emptied_redis_takes_no_event_out_of_service(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await redis.flushdb()
    await sales.refresh()
    assert list(sales.all()) == [SHOW]


async def test_an_emptied_redis_is_not_taken_for_a_new_line(sales: Sales, redis: Redis) -> None:
    await publish(redis, a_sale("show"))
    await sales.refresh()
    await redis.flushdb()
    await publish(redis, a_sale("show"))
    await sales.refresh()
    assert not await redis.exists(EventKeys(SHOW).epoch)


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


async def test_a_start_that_was_cut_short_before_the_line_began_is_finished_later(
    sales: Sales, redis: Redis, pool: Pool
) -> None:
    sale = a_sale("show")
    await publish(redis, sale)
    await SheetArchive(pool).adopt(sale)
    await sales.refresh()
    assert await redis.hget(EventKeys(SHOW).epoch, "epoch") == b"1"
    assert await pool.fetchval("SELECT founded_at IS NOT NULL FROM events")


async def test_a_lane_serves_its_event_alone(redis: Redis, pool: Pool) -> None:
    lane = Sales(SheetSource(redis), SheetArchive(pool), only=SHOW)
    await publish(redis, a_sale("show"))
    await publish(redis, a_sale("other"))
    await lane.refresh()
    await lane.refresh()
    assert list(lane.all()) == [SHOW]
