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
from tests.integration.redis_servers import cluster_url, redis_cluster
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.lines import Scene, begin, open_terms, redis_now
from tests.integration.ticket.queue.pods import Pods, two_pods
from tests.integration.ticket.queue.service import Page, Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app
from tiketi_services.ticket.queue.repository import PACKAGE as QUEUE
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.sales.repository import PACKAGE as SALES

_numbers = count(1)


@pytest.fixture(scope="module")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with runtime_redis.connect(redis_url) as client:
        yield client


@pytest.fixture(scope="session")
async def cluster_redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A Redis Cluster of three nodes, for the whole run."""
    async with redis_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield cluster_url(servers)


@pytest.fixture(scope="module", params=["one-server", "cluster"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """One server, then a cluster: a line behaves the same on both."""
    url: str = request.getfixturevalue("redis_url" if request.param == "one-server" else "cluster_redis_url")
    return url


@pytest.fixture
async def scene(any_redis_url: str) -> AsyncIterator[Scene]:
    """An open line that ticket has begun on this Redis."""
    event = event_id("demo", f"show-{next(_numbers)}")
    async with runtime_redis.connect(any_redis_url) as redis:
        await begin(redis, event, PUBLIC)
        yield Scene(redis, Lines(redis), open_terms(event, await redis_now(redis)))


@pytest.fixture(scope="module")
async def database_url(database: MakeDatabase) -> str:
    return await database("ticket")


@pytest.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with await postgres.connect(database_url, 2) as pool:
        yield pool


@pytest.fixture(scope="module")
async def tables(database: MakeDatabase) -> AsyncIterator[Pool]:
    """A database of the module's own with the tables of sales and queue."""
    url = await database("ticket")
    for package in (SALES, QUEUE):
        await postgres.migrate(url, package)
    async with await postgres.connect(url, 4) as pool:
        yield pool


@pytest.fixture(scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, redis: Redis, redis_url: str, database_url: str, amqp_url: str
) -> AsyncIterator[Service]:
    folder: Path = tmp_path_factory.mktemp("keys")
    auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    sales = (
        a_sale("show"),
        a_sale("small", queue={"totalActiveUsers": 1}),
        a_sale("later", opens_in=timedelta(hours=2)),
        a_sale("over", opens_in=timedelta(hours=-2)),
        a_sale("draining", admission="Drain"),
        a_sale("rejecting", queue={"method": "reject"}),
        a_sale("drawn", queue={"method": "lottery"}),
        a_sale("free", queue={"method": "passthrough", "totalActiveUsers": 1, "newUsersPerMinute": 1}),
    )
    for sale in sales:
        await publish(redis, sale)
    settings = settings_for(folder, auth, redis_url=redis_url, database_url=database_url, amqp_url=amqp_url)
    async with serve_app(build_app(settings)) as url, aiohttp.ClientSession() as http:
        started = Service(url, http, redis, auth)
        for sale in sales:  # they are begun a few at a time, in no order
            await started.until_served(sale.event.partition("/")[2])
        yield started


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    page = Page()
    yield page
    await page.close()


@pytest.fixture
async def pods(tmp_path: Path, redis: Redis, redis_url: str, database_url: str, amqp_url: str) -> AsyncIterator[Pods]:
    async with two_pods(tmp_path, redis, redis_url=redis_url, database_url=database_url, amqp_url=amqp_url) as pods:
        yield pods
