"""P6: a rush on the same few seats."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any, Final

from tests.load.orders.shop import Buyer, Counter, Shop, a_house, open_shop
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand

_BUYERS: Final = 10_000
_SEATS: Final = 2_000
_QUIET: Final = 500
_CONNECTIONS: Final = 64
_AT_ONCE: Final = 16
_FRONT: Final = 100
_TRIES: Final = 20

ROWS: Final = (
    Row(
        "P6",
        "10,000 buyers, 2,000 seats, everybody wants the front: time to the last sold",
        unit="x quiet",
        must=1.5,
        aim=1.1,
        floor="the same house sold by the same processes, each buyer wanting a seat of their own: seats by rate",
        floor_unit="s",
        load=f"wall clock; 2 ticket processes, {_CONNECTIONS} connections to each service; all come at once, have been "
        f"let in, and want section A ({_SEATS:,} of {_BUYERS:,} seats): half of them ask for its best one, "
        f"half for one of the first {_FRONT}; who loses takes one of those the 409 names; sold is when payment has "
        "confirmed; "
        f"the quiet rate is that of {_QUIET} buyers, {_AT_ONCE} at a time; books checked",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """Each round is another house, quiet first."""
    for number in range(stand.rounds):
        quiet, loud = f"quiet-{number}", f"loud-{number}"
        sales = [a_house(quiet, _QUIET // 50, 50), a_house(loud, _SEATS // 50, 50, behind=(_BUYERS - _SEATS) // 50)]
        async with open_shop(stand, sales, processes=2) as shop:
            seconds = await _quiet_seconds(shop, quiet) * _SEATS / _QUIET
            buyers = await shop.admit(loud, [f"{number}-{index}" for index in range(_BUYERS)])
            rush = await _rush_seconds(shop, loud, buyers)
            await shop.at_rest(_QUIET + _SEATS)
            await shop.check()
            yield {"P6": Sample(rush / seconds, seconds)}


async def _quiet_seconds(shop: Shop, event: str) -> float:
    """To sell all seats of a house, each to somebody who wants just that one."""
    buyers = await shop.admit(event, [f"{event}-{index}" for index in range(_QUIET)])
    seats = [seat for section in a_house(event, _QUIET // 50, 50).sections for seat in section.seats()]
    async with Counter.open(shop, event, _CONNECTIONS) as counter:
        began = time.perf_counter()
        turns = asyncio.Semaphore(_AT_ONCE)

        async def buy(buyer: Buyer, seat: str) -> None:
            async with turns:
                await counter.purchase(buyer, {"seats": [seat]})

        await asyncio.gather(*(buy(buyer, seat) for buyer, seat in zip(buyers, seats, strict=True)))
        return time.perf_counter() - began


async def _rush_seconds(shop: Shop, event: str, buyers: list[Buyer]) -> float:
    """Until the last seat is paid for."""
    front = [seat for section in a_house(event, _SEATS // 50, 50).sections for seat in section.seats()][:_FRONT]
    sold, began = 0, time.perf_counter()
    last = began
    async with Counter.open(shop, event, _CONNECTIONS) as counter:

        async def come(index: int, buyer: Buyer) -> None:
            nonlocal sold, last
            chance = random.Random(index)
            wish: dict[str, Any] = {"section": "A", "quantity": 1} if index % 2 else {"seats": [chance.choice(front)]}
            for _ in range(_TRIES):
                if sold == _SEATS:
                    return
                held = await counter.hold(buyer, wish)
                if held.status == 201:
                    await counter.buy(buyer, held.body)
                    sold, last = sold + 1, time.perf_counter()
                    return
                told = json.loads(held.body)
                if held.status == 503:
                    await asyncio.sleep(chance.random() * 2 * told.get("retryAfter", 1))
                elif told["code"] != "seat-taken":
                    return
                elif others := [seats for seats in told["alternatives"] if seats[0].startswith("A-")]:
                    wish = {"seats": chance.choice(others)}
                else:
                    return

        await asyncio.gather(*(come(index, buyer) for index, buyer in enumerate(buyers)))
    assert sold == _SEATS, f"only {sold} seats sold"
    return last - began
