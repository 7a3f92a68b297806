"""P5 and P4: what one completed purchase costs, and what its transactions cost bare."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from tests.load.orders.bare import open_bare
from tests.load.orders.shop import Counter, Shop, a_house, open_shop
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand

_SLICES: Final = 2
_SLICE: Final = 150
_AT_ONCE: Final = 16
_IDLE_SECONDS: Final = 2
_ROWS: Final = 100
_SHOP, _BARE = "shop", "bare"
_LOAD: Final = (
    f"{_SLICES * _SLICE} purchases of one seat, {_AT_ONCE} at a time, from the hold to the last message about the "
    "tickets; CPU of ticket, payment, stats, PostgreSQL (fsync on), Redis and RabbitMQ beyond what they use without "
    "buyers; webhooks included, the simulated vendor not; books checked"
)

ROWS: Final = (
    Row(
        "P5",
        "a completed purchase: CPU of our processes and all stores",
        unit="x bare",
        must=3,
        aim=2,
        floor="the same statements and scripts by plain asyncpg and redis-py: PostgreSQL, Redis and their caller",
        floor_unit="ms",
        load=_LOAD,
    ),
    Row("P4", "a completed purchase: CPU of our processes and all stores", unit="ms", must=4, aim=1.5, load=_LOAD),
)


async def measure(stand: Stand) -> Rounds:
    """Each round measures both in slices, by turns."""
    sales = [a_house(name, _ROWS) for name in (_SHOP, _BARE)]
    async with open_shop(stand, sales) as shop, open_bare(shop, sales[1]) as plain:
        done = 0
        for number in range(stand.rounds + 1):
            ours = bare = 0.0
            idle, idle_stores = await _idle_shares(shop)
            for part in range(_SLICES):
                done += _SLICE
                ours += await _purchases_ms(shop, f"{number}-{part}", done, idle) / _SLICES
                bare += (await plain.purchases_ms(_SLICE, _AT_ONCE, idle_stores))[0] / _SLICES
            if number:  # the first one warms everything up
                yield {"P5": Sample(ours / bare, bare), "P4": Sample(ours)}
        await shop.check()


async def _idle_shares(shop: Shop) -> tuple[float, float]:
    """CPU seconds a second without buyers, of all and of PostgreSQL and Redis: they do not grow with purchases."""
    began, before, stores = time.monotonic(), await shop.cpu(), await shop.stores_cpu()
    await asyncio.sleep(_IDLE_SECONDS)
    seconds = time.monotonic() - began
    return (await shop.cpu() - before) / seconds, (await shop.stores_cpu() - stores) / seconds


async def _purchases_ms(shop: Shop, prefix: str, done: int, idle: float) -> float:
    """CPU (ms) for one purchase. ``done``: purchases there are after these."""
    seats = [seat for section in a_house(_SHOP, _ROWS).sections for seat in section.seats()]
    buyers = await shop.admit(_SHOP, [f"{prefix}-{index}" for index in range(_SLICE)])
    turns = asyncio.Semaphore(_AT_ONCE)
    async with Counter.open(shop, _SHOP, _AT_ONCE) as counter:

        async def buy(index: int) -> None:
            async with turns:
                await counter.purchase(buyers[index], {"seats": [seats[done - _SLICE + index]]})

        began, before = time.monotonic(), await shop.cpu()
        await asyncio.gather(*map(buy, range(_SLICE)))
        await shop.at_rest(done)
        spent = await shop.cpu() - before - idle * (time.monotonic() - began)
    return spent / _SLICE * 1e3
