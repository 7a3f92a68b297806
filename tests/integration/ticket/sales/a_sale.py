"""A sale as the operator publishes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from tests.sale_sheets import sale_sheet

from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.contracts.redis_keys import DELETED_EVENTS, EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import Redis


def a_sale(name: str, *, version: int = 1, opens_in: timedelta = timedelta(seconds=-60), **changes: Any) -> SaleSheet:
    """A public sale of 100 standing places that is open for an hour."""
    event = changes.pop("event", event_id("demo", name))
    return sale_sheet(event, datetime.now(UTC) + opens_in, version=version, **changes)


async def publish(redis: Redis, sale: SaleSheet) -> None:
    """What the operator does."""
    keys = EventKeys(sale.event)
    await redis.set(keys.sheet, sale.model_dump_json(by_alias=True))
    await redis.set(keys.sheet_version, sale.version)
    await redis.hdel(DELETED_EVENTS, sale.event)
    await redis.sadd(EVENTS, sale.event)


async def delete(redis: Redis, event: EventId) -> None:
    """What the operator does when the TicketEvent is deleted."""
    keys = EventKeys(event)
    await redis.hset(DELETED_EVENTS, event, await redis.get(keys.sheet_version) or 0)
    await redis.srem(EVENTS, event)
    swept = [key async for key in redis.scan_iter(keys.pattern)]
    if swept:
        await redis.delete(*swept)


async def build_memory(redis: Redis, event: EventId, epoch: int = 1) -> None:
    """What a recovery does at its end. The server is the one that has the event, also in a cluster."""
    script = "return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
    key = EventKeys(event).epoch
    run_id = cast(bytes, await redis.eval(script, 1, key))
    await redis.hset(key, mapping={"epoch": epoch, "run_id": run_id})
