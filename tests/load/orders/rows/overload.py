"""P8: what is left of the goodput when ten times as many come as can be served."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import count
from typing import Final

from tests.load.orders.quota import held_to
from tests.load.orders.shop import Buyer, Counter, Shop, a_house, open_shop, percentile
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand

_CORES: Final = 0.25
_AT_ONCE: Final = 12
_PEAK_SECONDS: Final = 4
_WARM_SECONDS: Final = 1
_SECONDS: Final = 4
_TIMES: Final = 10
_LOAD: Final = (
    f"wall clock; ticket, payment and stats are each held to {_CORES} of a core by {{how}}, stores and buyers are not; "
    f"the peak is what {_AT_ONCE} buyers at a time complete, one after the other; then {_TIMES} times as many a second "
    "come by chance (open loop): who is told 503 at the hold goes away, who has seats goes on; books checked"
)
_HOW: Final = "a quota of the kernel (cgroup, 20 ms)"

ROWS: Final = (
    Row(
        "P8",
        "completed purchases at 10 times the load of the peak, as a part of those at the peak",
        unit="x peak",
        must=0.85,
        aim=0.95,
        floor="completed purchases at the peak",
        floor_unit="/s",
        more_is_better=True,
        load=_LOAD.format(how=_HOW),
    ),
    Row("P8-p99", "the same: p99 of the answers to who was let in", unit="ms", must=200, aim=100, load="as P8"),
)


async def measure(stand: Stand) -> Rounds:
    """Each round the peak first, then the flood."""
    sale = a_house("flood", 300)
    seats = iter([seat for section in sale.sections for seat in section.seats()])
    names = (f"buyer-{number}" for number in count())
    async with open_shop(stand, [sale]) as shop:
        for _ in range(stand.rounds):
            peak = await _peak(shop, seats, names)
            goodput, took = await _flood(shop, peak, seats, names)
            await shop.at_rest(await shop.sold())
            yield {"P8": Sample(goodput / peak, peak), "P8-p99": Sample(percentile(took, 0.99) * 1e3)}
        await shop.check()


async def _peak(shop: Shop, seats: Iterator[str], names: Iterator[str]) -> float:
    """Purchases a second by buyers who come when another one leaves."""
    buyers = await shop.admit("flood", [next(names) for _ in range(400)])
    done = 0
    async with Counter.open(shop, "flood", 64) as counter:
        with held_to(_CORES, shop.pids):
            began = time.perf_counter()

            async def come() -> None:
                nonlocal done
                while buyers and time.perf_counter() - began < _PEAK_SECONDS:
                    held = await counter.hold(buyer := buyers.pop(), {"seats": [next(seats)]})
                    if held.status == 201:
                        await counter.buy(buyer, held.body)
                        done += 1

            await asyncio.gather(*(come() for _ in range(_AT_ONCE)))
            return done / (time.perf_counter() - began)


async def _flood(shop: Shop, peak: float, seats: Iterator[str], names: Iterator[str]) -> tuple[float, list[float]]:
    """Purchases a second while ten times as many come, and how long answers took to those who were let in."""
    seconds = _WARM_SECONDS + _SECONDS
    buyers = await shop.admit("flood", [next(names) for _ in range(round(peak * _TIMES * seconds))])
    chance = random.Random(8)
    took: list[float] = []
    ends: list[float] = []
    async with Counter.open(shop, "flood", 512) as counter:
        with held_to(_CORES, shop.pids):
            began = time.perf_counter()

            async def come(buyer: Buyer, seat: str) -> None:
                await asyncio.sleep(chance.random() * seconds)
                held = await counter.hold(buyer, {"seats": [seat]})
                if held.status == 503:
                    return
                assert held.status == 201, held
                let_in = time.perf_counter() - began
                replies = await counter.buy(buyer, held.body)
                ends.append(time.perf_counter() - began)
                if let_in > _WARM_SECONDS:
                    took.extend(reply.seconds for reply in (held, *replies))

            await asyncio.gather(*(come(buyer, next(seats)) for buyer in buyers))
    return sum(_WARM_SECONDS <= end < seconds for end in ends) / _SECONDS, took
