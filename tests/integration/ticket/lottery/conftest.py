"""An event with a lottery for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.lottery.stage import Stage

from tiketi_local.beacon import Simulator
from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.queue.lottery.draws import PACKAGE

_numbers = count(1)


@pytest.fixture(scope="module")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with runtime_redis.connect(redis_url) as client:
        yield client


@pytest.fixture(scope="module")
async def pool(database: MakeDatabase) -> AsyncIterator[Pool]:
    """One connection: no step may need two at a time."""
    url = await database("ticket")
    for package in ("tiketi_services.ticket.sales", PACKAGE):
        await postgres.migrate(url, package)
    async with await postgres.connect(url, 1) as pool:
        yield pool


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def stage(redis: Redis, pool: Pool, http: aiohttp.ClientSession) -> Stage:
    """A lottery whose entries have just closed."""
    simulator = Simulator(b"a seed for tests only, 32 bytes.", period=timedelta(seconds=1))
    signer = TokenSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)), "tiketi-ticket")
    stage = Stage(redis, pool, signer, http, simulator, event_id("demo", f"show-{next(_numbers)}"))
    stage.announce()
    await stage.begin()
    return stage
