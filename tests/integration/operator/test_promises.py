"""Operator and ticket service together: an event that is deleted and made again keeps what its buyers were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from tests.integration.conftest import MakeDatabase
from tests.integration.operator.stage import Stage, until

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.background import running
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.queue.lottery.promises import PACKAGE, Promises
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Sales

pytestmark = pytest.mark.usefixtures("operator")

BY_LOT = {"queueingMethod": "lottery", "prequeue": {"opensBefore": "2h"}, "lottery": {"drawBefore": "30s"}}
IN_ORDER = {"prequeue": {"opensBefore": "2h"}}
WEEK = timedelta(days=7).total_seconds()


@pytest.fixture(scope="module")
def operator_settings() -> dict[str, str]:
    return {"TIKETI_OPERATOR_LONGEST_SLEEP": "1"}


@pytest.fixture(scope="module")
async def sales(redis_url: str, database: MakeDatabase) -> AsyncIterator[Sales]:
    """What of the ticket service takes over sheets."""
    url = await database("ticket")
    for package in ("tiketi_services.ticket.sales", PACKAGE):
        await postgres.migrate(url, package)
    async with await postgres.connect(url, 2) as pool, runtime_redis.connect(redis_url) as store:
        sales = Sales(SheetSource(store), SheetArchive(pool), prepare=Promises(store, pool).are_kept)
        async with running(sales.run(timedelta(milliseconds=100))):
            yield sales


async def test_an_event_made_again_is_drawn_only_as_its_buyers_were_told(
    stage: Stage, sales: Sales, redis: Redis
) -> None:
    await stage.policy("again", **IN_ORDER)
    name = await stage.event(queuePolicyRef={"name": "again"})
    event = event_id(stage.namespace, name)

    async def served() -> SaleSheet | None:
        return sales.all().get(event)

    joined = (await until(served, "the sale is served")).lines[0]
    await stage.annotate(name, confirm_delete="to begin anew")
    await stage.delete(name)
    await stage.until_gone(name)
    await until(lambda: asyncio.sleep(0, event not in sales.all()), "the sale is not served any more")
    assert await redis.exists(EventKeys(event).sheet) == 0

    await stage.policy("again", **BY_LOT)
    await stage.event(name, opens_in=WEEK, queuePolicyRef={"name": "again"})
    stalled = await stage.until_condition(name, "Stalled", "True", "DrawTooLate")
    assert "with another name" in stalled["message"]
    again = (await until(served, "the sale is served again")).lines[0]
    assert again.draw_at is None
    assert again.opens_at > joined.opens_at
    assert again.joined_from == joined.opens_at - timedelta(hours=2)

    # It stays so: the operator remembers, and writes no sheet that is refused.
    version = (await until(served, "the sale is served")).version
    await asyncio.sleep(3)
    assert (await until(served, "the sale is served")).version == version
