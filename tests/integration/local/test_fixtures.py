"""The fixtures other tests stand on give real, empty, separate stores."""

import aio_pika
import aiormq.exceptions
import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from tiketi_local.world import World


async def test_a_module_gets_an_empty_redis_database_of_its_own(redis_url: str, world: World) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("x", 1)
    async with Redis.from_url(world.admin_redis_url) as client:
        assert not await client.exists("x")


async def test_each_database_is_new_and_owned_by_its_service(database) -> None:  # type: ignore[no-untyped-def]
    first, second = await database("ticket"), await database("ticket")
    assert first != second
    connection = await asyncpg.connect(first)
    await connection.execute("CREATE TABLE t (x int)")
    assert await connection.fetchval("SELECT current_user") == "ticket"
    await connection.close()


async def test_a_service_cannot_connect_to_the_database_of_another(world: World) -> None:
    url = world.site.database_url("stats", database="payment")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url)


async def test_a_service_may_use_queues_of_its_own_name_only(world: World, vhost: str) -> None:
    async with await aio_pika.connect(world.amqp_url("payment", vhost)) as connection:
        async with connection.channel() as channel:
            await channel.declare_exchange("tiketi", aio_pika.ExchangeType.TOPIC, durable=True)
            await channel.declare_queue("payment.orders", durable=True, arguments={"x-queue-type": "quorum"})
        with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
            async with connection.channel() as channel:
                await channel.declare_queue("ticket.payments", durable=True)


async def test_stats_may_read_the_line_in_redis_but_not_write_it(world: World) -> None:
    async with Redis.from_url(world.redis_url("stats")) as client:
        assert await client.get("tiketi:nothing") is None
        assert await client.eval_ro("return redis.call('GET', KEYS[1])", 1, "tiketi:nothing") is None
        with pytest.raises(NoPermissionError):
            await client.set("tiketi:x", 1)
        with pytest.raises(NoPermissionError):
            await client.get("tiketi-auth:session:1")


async def test_a_ticket_script_may_read_the_run_id_and_write_the_line(world: World) -> None:
    script = "redis.call('SET', KEYS[1], '1', 'PX', 10) return redis.call('INFO', 'server')"
    async with Redis.from_url(world.redis_url("ticket")) as client:
        assert b"run_id" in await client.eval(script, 1, "tiketi:{a.b}:x")
        with pytest.raises(NoPermissionError):
            await client.set("tiketi-auth:x", 1)
        with pytest.raises(NoPermissionError):
            await client.flushall()
