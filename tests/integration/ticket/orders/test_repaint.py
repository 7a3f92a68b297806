"""A line that was lost opens with its seats painted and counted, or not yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from redis.exceptions import RedisError
from tests.integration.redis_servers import until
from tests.integration.ticket.queue.losses import Flushed, Hall, Store, hall, store

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId
from tiketi_runtime.postgres import Pool
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.repository import OrderBook, SeatPaint
from tiketi_services.ticket.orders.usecases import BoxOffice

HOLD = HoldId("11111111-0000-4000-8000-000000000000")


@pytest.fixture
async def lossy(tmp_path: Path) -> AsyncIterator[Store]:
    async with store(Flushed, tmp_path) as lossy:
        yield lossy


@pytest.fixture
async def show(lossy: Store, pool: Pool) -> AsyncIterator[Hall]:
    """One place is held; Redis shows it."""
    async with hall(lossy.url, pool, pods=1) as show:
        book, sale = OrderBook(pool), show.pod.sales.all()[show.event]
        seat = next(sale.sections[0].seats())
        verdict = await book.hold(sale, sale.lines[0], BuyerId("anna"), HOLD, [seat])
        assert verdict.outcome == "held"
        yield show


async def test_a_line_does_not_open_before_its_seats_could_be_painted(show: Hall, lossy: Store, pool: Pool) -> None:
    office = cast(BoxOffice, SimpleNamespace(paint=SeatPaint(show.redis), book=OrderBook(pool)))
    tries = 0

    async def repaint(event: EventId) -> None:
        """Redis takes nothing in just when it comes to the seats, at the first try."""
        nonlocal tries
        tries += 1
        await lossy.server.client.config_set("maxmemory", 1 if tries == 1 else 0)
        try:
            await usecases.repaint(office, event)
        finally:
            await lossy.server.client.config_set("maxmemory", 0)

    show.pod.recoveries.on_recovered = repaint
    await lossy.lose()
    with pytest.raises(RedisError):
        await show.pod.recoveries.step()
    assert await show.is_lost(), "it did not open"

    async def is_open() -> bool:
        await show.pod.recoveries.step()
        return await show.epoch() > 1

    await until(is_open)  # when the lease of the failed attempt is over
    assert tries == 2
    assert await show.redis.hget(show.keys.counts, "taken:A") == b"1"
