"""Redis, and a PostgreSQL with the queue's tables, for a module's presales."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.integration.conftest import MakeDatabase

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.gates.codes import PACKAGE


@pytest.fixture(scope="module")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with runtime_redis.connect(redis_url) as client:
        yield client


@pytest.fixture(scope="module")
async def pool(database: MakeDatabase) -> AsyncIterator[Pool]:
    url = await database("ticket")
    await postgres.migrate(url, PACKAGE)
    async with await postgres.connect(url, 8) as pool:
        yield pool
