"""A line of its own for every test; and the whole service, once for a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.conftest import MakeDatabase
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.lines import Scene, open_terms, redis_now
from tests.integration.ticket.queue.service import Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.sales.repository import SheetSource

_numbers = count(1)


@pytest.fixture(scope="module")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with runtime_redis.connect(redis_url) as client:
        yield client


@pytest.fixture
async def scene(redis: Redis) -> Scene:
    """An open line that ticket has begun on this Redis."""
    event = event_id("demo", f"show-{next(_numbers)}")
    await redis.set(EventKeys(event).sheet, "{}")
    await SheetSource(redis).found(event, 1)
    return Scene(redis, Lines(redis), open_terms(event, await redis_now(redis)))


@pytest.fixture(scope="module")
async def database_url(database: MakeDatabase) -> str:
    return await database("ticket")


@pytest.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with await postgres.connect(database_url, 2) as pool:
        yield pool


@pytest.fixture(scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, redis: Redis, redis_url: str, database_url: str, amqp_url: str
) -> AsyncIterator[Service]:
    folder: Path = tmp_path_factory.mktemp("keys")
    auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    for sale in (
        a_sale("show"),
        a_sale("small", queue={"totalActiveUsers": 1}),
        a_sale("later", opens_in=timedelta(hours=2)),
        a_sale("over", opens_in=timedelta(hours=-2)),
        a_sale("draining", admission="Drain"),
        a_sale("rejecting", queue={"method": "reject"}),
        a_sale("drawn", queue={"method": "lottery"}),
        a_sale("free", queue={"method": "passthrough", "totalActiveUsers": 1, "newUsersPerMinute": 1}),
    ):
        await publish(redis, sale)
    settings = settings_for(folder, auth, redis_url=redis_url, database_url=database_url, amqp_url=amqp_url)
    async with serve_app(build_app(settings)) as url, aiohttp.ClientSession() as http:
        started = Service(url, http, redis, auth)
        await started.until_served("small")  # the last by name
        yield started
