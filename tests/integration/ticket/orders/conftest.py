from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis as RedisClient
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.orders.box_office import (
    EveryoneAdmitted,
    PaymentOffice,
    Stage,
    new_signer,
    sale_sheet,
)
from tests.invariants import violations

from tiketi_runtime import postgres, redis
from tiketi_runtime.postgres import Pool
from tiketi_runtime.security import TokenVerifier
from tiketi_services.ticket.orders.payment import PaymentDesk
from tiketi_services.ticket.orders.repository import OrderBook, SeatPaint
from tiketi_services.ticket.orders.seat_maps import SeatMaps
from tiketi_services.ticket.orders.usecases import BoxOffice
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Sales

PACKAGES = ("tiketi_services.ticket.sales", "tiketi_services.ticket.queue", "tiketi_services.ticket.orders")


@pytest.fixture(scope="module")
async def database_url(database: MakeDatabase) -> str:
    url = await database("ticket")
    for package in PACKAGES:
        await postgres.migrate(url, package)
    return url


@pytest.fixture(scope="module")
async def shared_pool(database_url: str) -> AsyncIterator[Pool]:
    async with await postgres.connect(database_url, 16) as pool:
        yield pool


@pytest.fixture
async def pool(shared_pool: Pool) -> AsyncIterator[Pool]:
    """An empty database; at the end of the test every invariant holds in it."""
    yield shared_pool
    broken = await violations(shared_pool)
    tables = await shared_pool.fetchval(
        "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables"
        " WHERE schemaname = 'public' AND tablename <> 'schema_migrations'"
    )
    await shared_pool.execute(f"TRUNCATE {tables}")
    assert broken == []


@pytest.fixture
async def stage(pool: Pool, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """One sale, open, nobody has held anything."""
    payment_office = PaymentOffice()
    payment_signer, signer = new_signer("tiketi-payment"), new_signer("tiketi-ticket")
    (tmp_path / "payment.json").write_text(json.dumps(payment_signer.jwks()))
    async with RedisClient.from_url(redis_url) as admin:
        await admin.flushdb()
    client = redis.connect(redis_url)
    book = OrderBook(pool)
    admissions = EveryoneAdmitted()
    async with client, aiohttp.ClientSession() as session, payment_office.served() as payment_url:
        office = BoxOffice(
            sales=Sales(SheetSource(client), SheetArchive(pool)),
            admissions=admissions,  # type: ignore[arg-type]
            book=book,
            paint=SeatPaint(client),
            maps=SeatMaps(book, timedelta(milliseconds=50)),
            signer=signer,
            outcomes=TokenVerifier(f"file://{tmp_path}/payment.json"),
            payment=PaymentDesk(session, payment_url, signer),
        )
        stage = Stage(office, pool, client, admissions, payment_office, payment_signer)
        await stage.announce(sale_sheet())
        yield stage
