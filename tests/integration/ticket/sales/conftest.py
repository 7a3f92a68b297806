"""Redis and PostgreSQL that are empty for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.integration.conftest import MakeDatabase

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Sales
from tiketi_services.ticket.sales.wiring import PACKAGE


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with runtime_redis.connect(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def pool(database: MakeDatabase) -> AsyncIterator[Pool]:
    url = await database("ticket")
    await postgres.migrate(url, PACKAGE)
    async with await postgres.connect(url, 2) as pool:
        yield pool


@pytest.fixture
def sales(redis: Redis, pool: Pool) -> Sales:
    return Sales(SheetSource(redis), SheetArchive(pool))
