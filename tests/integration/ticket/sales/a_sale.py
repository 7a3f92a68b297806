"""A sale as the operator publishes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import Redis


def a_sale(name: str, *, version: int = 1, opens_in: timedelta = timedelta(seconds=-60), **changes: Any) -> SaleSheet:
    """A public sale of 100 standing places that is open for an hour."""
    opens_at = datetime.now(UTC) + opens_in
    closes_at = opens_at + timedelta(hours=1)
    document: dict[str, Any] = {
        "event": event_id("demo", name),
        "uid": "uid-1",
        "version": version,
        "generation": 1,
        "title": "First Night",
        "venue": {"name": "Hall", "timeZone": "Asia/Seoul"},
        "startsAt": closes_at + timedelta(days=1),
        "currency": "KRW",
        "armAt": opens_at - timedelta(minutes=15),
        "opensAt": opens_at,
        "closesAt": closes_at,
        "maxTicketsPerBuyer": 4,
        "holdDuration": timedelta(minutes=10),
        "lines": [{"name": "public", "opensAt": opens_at, "closesAt": closes_at, "sections": ["A"]}],
        "sections": [{"name": "A", "price": 99_000, "capacity": 100}],
        "queue": {
            "method": "fifo",
            "totalActiveUsers": 50,
            "newUsersPerMinute": 6_000,
            "sessionDuration": timedelta(minutes=10),
            "ghostTimeout": timedelta(seconds=30),
            "claimWindow": timedelta(seconds=60),
        },
    }
    queue = {**document["queue"], **changes.pop("queue", {})}
    return SaleSheet.model_validate({**document, "queue": queue, **changes})


async def publish(redis: Redis, sale: SaleSheet) -> None:
    """What the operator does."""
    keys = EventKeys(sale.event)
    await redis.set(keys.sheet, sale.model_dump_json(by_alias=True))
    await redis.set(keys.sheet_version, sale.version)
    await redis.sadd(EVENTS, sale.event)


async def delete(redis: Redis, event: EventId) -> None:
    """What the operator does when the TicketEvent is deleted."""
    await redis.srem(EVENTS, event)
    keys = [key async for key in redis.scan_iter(EventKeys(event).pattern)]
    if keys:
        await redis.delete(*keys)
