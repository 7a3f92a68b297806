"""The sale that most tests are about; each says only what it changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import SaleSheet


def sale_sheet(event: EventId, opens_at: datetime, **changes: Any) -> SaleSheet:
    """A public sale of 100 standing places that is open for an hour.

    ``changes``: fields as in the sheet's JSON; those of ``queue`` are changed one by one.
    """
    closes_at = opens_at + timedelta(hours=1)
    queue = {
        "method": "fifo",
        "totalActiveUsers": 50,
        "newUsersPerMinute": 6_000,
        "sessionDuration": timedelta(minutes=10),
        "ghostTimeout": timedelta(seconds=30),
        "claimWindow": timedelta(seconds=60),
        **changes.pop("queue", {}),
    }
    document: dict[str, Any] = {
        "event": event,
        "uid": "uid-1",
        "version": 1,
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
    }
    return SaleSheet.model_validate({**document, **changes, "queue": queue})
