"""The auditor beside the service: databases that come later, and go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import asyncpg
from tests.integration.conftest import MakeDatabase

from tiketi_local.world import World
from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import EventId
from tiketi_services.stats.audits import Audits
from tiketi_services.stats.settings import StatsSettings

EVENT = EventId("demo/first-sale")


async def reported(audits: Audits, *, orders: int) -> None:
    async with asyncio.timeout(30):
        while (report := audits.report(EVENT)) is None or report.orders != orders:  # noqa: ASYNC110 (a loop of the service)
            await asyncio.sleep(0.05)


async def test_it_waits_for_tables_and_goes_on_when_its_sessions_were_killed(
    world: World, database: MakeDatabase
) -> None:
    urls = {name: await database(name) for name in ("ticket", "payment")}
    names = {name: url.rpartition("/")[2] for name, url in urls.items()}
    audits = Audits(
        StatsSettings(
            database_url="",
            redis_url="",
            amqp_url="",
            auth_jwks_url="",
            ticket_database_url=world.site.database_url("auditor", names["ticket"]),
            payment_database_url=world.site.database_url("auditor", names["payment"]),
            audit_interval=timedelta(milliseconds=20),
        )
    )
    work = asyncio.create_task(audits.run())
    admin = await asyncpg.connect(world.database_url("postgres"))
    try:
        await asyncio.sleep(0.5)
        assert audits.report(EVENT) is None
        for package in ("sales", "queue", "orders", "tickets", "refunds"):
            await postgres.migrate(urls["ticket"], f"tiketi_services.ticket.{package}")
        await postgres.migrate(urls["payment"], "tiketi_services.payment")
        await reported(audits, orders=0)
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auditor'")
        owner = await asyncpg.connect(urls["payment"])
        await owner.execute(
            "INSERT INTO orders (order_id, event, buyer, amount, currency, order_name, pay_by)"
            " VALUES (gen_random_uuid(), $1, 'anna', 1, 'KRW', 'n', now())",
            EVENT,
        )
        await owner.close()
        await reported(audits, orders=1)
        report = audits.report(EVENT)
        assert report is not None
        assert (report.under_way, report.mismatches, report.stopped) == (1, 0, False)
    finally:
        await admin.close()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def test_without_the_two_databases_nothing_is_audited(world: World) -> None:
    audits = Audits(StatsSettings(database_url="", redis_url="", amqp_url="", auth_jwks_url=""))
    work = asyncio.create_task(audits.run())
    await asyncio.sleep(0.05)
    assert not work.done()
    assert audits.report(EVENT) is None
    work.cancel()
