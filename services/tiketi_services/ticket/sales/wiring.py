"""Brings the sale sheets up and keeps them fresh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tiketi_runtime.background import running
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Prepare, Sales
from tiketi_services.ticket.settings import TicketSettings

PACKAGE: Final = "tiketi_services.ticket.sales"
"""Whose migrations this module needs."""


@asynccontextmanager
async def open_sales(settings: TicketSettings, pool: Pool, redis: Redis, prepare: Prepare) -> AsyncIterator[Sales]:
    """The sales this process serves, begun from PostgreSQL and refreshed from Redis while the block runs."""
    only = None if settings.event is None else EventId(settings.event)
    sales = Sales(SheetSource(redis), SheetArchive(pool), only=only, prepare=prepare)
    await sales.restore()
    async with running(sales.run(settings.sheet_interval)):
        yield sales
