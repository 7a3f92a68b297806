"""Sales for tests: an example event with its times moved, a crowd, and what must be true afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tiketi_local.crowd.buyer import Step
from tiketi_local.crowd.client import SaleAddress
from tiketi_local.crowd.crowd import Crowd
from tiketi_local.demo import EXAMPLE, Pace, apply_sale
from tiketi_local.world import World
from tiketi_runtime.kubernetes import Cluster, Manifest

NAMESPACE = "demo"
SMALL_HOUSE = {
    "seating": {
        "sections": [
            {"name": "A", "price": 50_000, "rows": 5, "seatsPerRow": 12},
            {"name": "ST", "price": 30_000, "capacity": 60},
        ]
    }
}
SECTIONS = ["A", "ST"]
UNHURRIED = Pace(hold="15s", session="30s")
CAPACITY = 120
ENDS = {Step.BOUGHT, Step.LEFT, Step.EXPIRED, Step.REFUSED, Step.TOO_LATE, Step.TOO_SLOW}


async def put_on_sale(cluster: Cluster, name: str, lead: timedelta) -> datetime:
    """Apply a small event that opens after ``lead``; returns the on-sale instant."""
    opens_at = (datetime.now(UTC) + lead).replace(microsecond=0)
    await apply_sale(cluster, EXAMPLE, name, opens_at, UNHURRIED, SMALL_HOUSE)
    return opens_at


def crowd_for(world: World, name: str, size: int) -> Crowd:
    """Buyers of that event."""
    return Crowd(SaleAddress(world.url("front"), NAMESPACE, name), world.url("toss"), world.url("mail"), size)


def assert_well_served(crowd: Crowd) -> None:
    """Every buyer got to an end; no answer was a 500, or a 503 that did not say when to come again.

    Such a 503 comes of a store that takes longer than its timeout (2 s for Redis): a slow disk is enough. Any other
    reason to put a buyer off, such as a line that recovers, has no place in a sale in which nothing was lost.
    """
    assert crowd.faults() == []
    unfinished = [buyer.step for buyer in crowd.buyers if buyer.step not in ENDS]
    assert unfinished == []
    assert crowd.timings.server_errors == {}
    assert {code for _, code in crowd.timings.put_off} <= {"unavailable"}, crowd.timings.put_off


async def event_of(cluster: Cluster, name: str) -> Manifest:
    """The event as stored."""
    event = await cluster.get("tiketi.dev/v1alpha1", "TicketEvent", name, NAMESPACE)
    assert event is not None
    return event


async def condition(cluster: Cluster, name: str, kind: str) -> dict[str, Any]:
    """One condition of the event; empty while it is not written."""
    conditions = (await event_of(cluster, name)).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = 30) -> None:
    """Wait until it holds; fails with ``what`` when it does not come."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, f"after {seconds:.0f} s still not: {what}"
        await asyncio.sleep(0.2)


async def sleep_until(moment: datetime) -> None:
    """Sleep to an instant of the wall clock."""
    await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
