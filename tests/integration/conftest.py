"""Real stores for tests: those of the world named by TIKETI_WORLD, brought up when it is not up yet."""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from tiketi_local import postgres, rabbitmq
from tiketi_local import redis as local_redis
from tiketi_local.world import World

MakeDatabase = Callable[[str], Awaitable[str]]
"""From a service's name to the URL of a fresh, empty database which that service owns."""


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    """The test world with its stores up. Taken down at the end unless it was there before."""
    found = World.named(os.environ.get("TIKETI_WORLD", "test"))
    was_there = found.exists
    try:
        await found.up("stores")
        yield found
    finally:
        if not was_there:
            await found.down()


@pytest.fixture(scope="session")
async def kubeconfig(world: World) -> Path:
    """Administrator's kubeconfig of a real API server with the project's CRDs and RBAC applied."""
    await world.up("kubernetes")
    return world.kubeconfig


@pytest.fixture(scope="module")
async def redis_url(world: World) -> AsyncIterator[str]:
    """Redis with every right, in a database that is this module's own and empty."""
    async with Redis.from_url(world.admin_redis_url) as registry:
        number = await _take_redis_database(registry)
        url = f"{world.admin_redis_url.rpartition('/')[0]}/{number}"
        async with Redis.from_url(url) as client:
            await client.flushdb()
            yield url
            await client.flushdb()
        await registry.delete(_redis_claim(number))


async def _take_redis_database(registry: Redis) -> int:
    """A number nobody else has: several test runs may share one world."""
    for number in range(1, local_redis.DATABASES):
        if await registry.set(_redis_claim(number), os.getpid(), nx=True, ex=3600):
            return number
    raise LookupError("all Redis databases are taken by other test runs")


def _redis_claim(number: int) -> str:
    return f"test-database:{number}"


@pytest.fixture(scope="session")
async def database(world: World) -> AsyncIterator[MakeDatabase]:
    """Makes fresh databases; all are dropped when the test run ends."""
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(world.database_url("postgres"))
        stack.push_async_callback(admin.close)

        async def make(service: str) -> str:
            name = f"{service}_{secrets.token_hex(4)}"
            await postgres.create_database(admin, name, owner=service)
            stack.push_async_callback(admin.execute, f'DROP DATABASE "{name}" WITH (FORCE)')
            return world.site.database_url(service, name)

        yield make


@pytest.fixture(scope="module")
async def vhost(world: World) -> AsyncIterator[str]:
    """A RabbitMQ virtual host that is this module's own and empty; ``world.amqp_url(service, vhost)`` uses it."""
    name = f"test-{secrets.token_hex(4)}"
    await rabbitmq.make_vhost(world.site, name)
    yield name
    await rabbitmq.delete_vhost(world.site, name)


@pytest.fixture(scope="module")
def amqp_url(world: World, vhost: str) -> str:
    """RabbitMQ with every right in the module's own virtual host."""
    return world.amqp_url("admin", vhost)
