"""P15: how soon who comes too late is told so."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from tests.load.orders.shop import Counter, a_house, open_shop, percentile
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand

_BUYERS: Final = 1_000
_RATE: Final = 200
_SEATS: Final = 40

ROWS: Final = (
    Row(
        "P15",
        "lost race: p99 of the 409 that names seats which are free",
        unit="ms",
        must=20,
        aim=5,
        load=f"wall clock; {_BUYERS:,} buyers a round, {_RATE} a second by chance (open loop), want one of {_SEATS} "
        "seats that are held, in a house of 2,000; one ticket process, its stores and the buyers on the same cores",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """The same buyers lose in every round."""
    chance = random.Random(15)
    sale = a_house("race", 20)
    seats = [seat for section in sale.sections for seat in section.seats()][:_SEATS]
    async with open_shop(stand, [sale]) as shop, Counter.open(shop, "race", 64) as counter:
        losers = await shop.admit("race", [f"loser-{number}" for number in range(_BUYERS)])
        for number, winner in enumerate(await shop.admit("race", [f"winner-{number}" for number in range(_SEATS)])):
            held = await counter.hold(winner, {"seats": [seats[number]]})
            assert held.status == 201, held

        async def lose(number: int, after: float) -> float:
            await asyncio.sleep(after)
            reply = await counter.hold(losers[number], {"seats": [seats[number % _SEATS]]})
            assert reply.status in (409, 503), reply
            return reply.seconds if reply.status == 409 else 0.0

        for _ in range(stand.rounds):
            due = [chance.random() * _BUYERS / _RATE for _ in range(_BUYERS)]
            took = await asyncio.gather(*(lose(number, after) for number, after in enumerate(due)))
            told = [seconds for seconds in took if seconds]
            assert len(told) >= 0.9 * _BUYERS, f"only {len(told)} were told; the others were to come again (503)"
            yield {"P15": Sample(percentile(told, 0.99) * 1e3)}
        await shop.check()
