"""P14: how many requests a second this machine answers in time."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator
from itertools import count
from typing import Final

from tests.load.load import Reply, request_bytes
from tests.load.orders.shop import Buyer, Counter, Refused, Shop, a_house, open_shop, percentile
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand

_IN_TIME: Final = 0.2
_SECONDS: Final = 3
_FIRST: Final = 400
_STEP: Final = 1.25
_REQUESTS: Final = 10
"""Of one visit."""
_ROWS: Final = 300

ROWS: Final = (
    Row(
        "P14",
        "requests a second of buyers who look and buy, p99 within 200 ms",
        unit="/s",
        must=1_000,
        aim=3_000,
        more_is_better=True,
        load=f"wall clock, open loop, {_SECONDS} s each try; a visit is {_REQUESTS} requests: join, twice the state of "
        "the line and the seat map, hold, order, attempt, confirm, the order; visits come by chance, none waits for "
        "another; a 503 is an answer that came too late; "
        "2 ticket processes, payment, stats, all stores, the vendor's simulator and the buyers on the same cores; "
        "books checked",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """Faster and faster until it is too fast, then between the last two."""
    sale = a_house("visits", _ROWS)
    seats = iter([seat for section in sale.sections for seat in section.seats()])
    names = (f"visitor-{number}" for number in count())
    async with open_shop(stand, [sale], processes=2) as shop:
        rate = float(_FIRST)
        for _ in range(stand.rounds):
            best, failed, tries = 0.0, 0.0, 0
            while not failed or (best and failed / best > 1.1 and tries < 7):
                tries += 1
                reached = await _try(shop, rate, seats, names)
                best, failed = (max(best, reached), failed) if reached else (best, rate)
                if not best:
                    failed, rate = 0.0, rate / _STEP
                else:
                    rate = (best + failed) / 2 if failed else rate * _STEP
            rate = best / _STEP
            yield {"P14": Sample(best)}
        await shop.at_rest(await shop.sold())
        await shop.check()


async def _try(shop: Shop, rate: float, seats: Iterator[str], names: Iterator[str]) -> float:
    """Requests a second that were answered in time; 0 if they were not."""
    visits = round(rate * _SECONDS / _REQUESTS)
    buyers = await shop.admit("visits", [next(names) for _ in range(visits)])
    chance = random.Random(visits)
    took: list[float] = []
    async with Counter.open(shop, "visits", 128) as counter:

        async def visit(buyer: Buyer, seat: str, after: float) -> None:
            await asyncio.sleep(after)
            try:
                took.extend(reply.seconds for reply in await _visit(counter, buyer, seat))
            except Refused as refusal:
                if refusal.reply.status != 503:
                    raise
                took.append(math.inf)  # told to come again: that was no answer in time

        due = [chance.random() * _SECONDS for _ in buyers]
        began = time.perf_counter()
        await asyncio.gather(*(visit(buyer, next(seats), after) for buyer, after in zip(buyers, due, strict=True)))
        seconds = time.perf_counter() - began
    await shop.at_rest(await shop.sold())
    return len(took) / seconds if percentile(took, 0.99) <= _IN_TIME else 0.0


async def _visit(counter: Counter, buyer: Buyer, seat: str) -> list[Reply]:
    """The answers. Raises Refused."""
    event, ticket = f"/events/demo/{counter.event}", counter.ticket(buyer)
    looks = [request_bytes("GET", path) for path in (f"{event}/queue/public/state", f"{event}/seat-map")]
    replies = [await ticket.send(request_bytes("POST", f"{event}/queue/public/join", buyer.token))]
    replies += [await ticket.send(look) for look in (*looks, *looks)]
    held = await counter.hold(buyer, {"seats": [seat]})
    if held.status != 201:
        raise Refused("hold", held)
    replies += [held, *await counter.buy(buyer, held.body)]
    replies.append(await counter.look(buyer, replies[-3]))
    for reply in replies:
        if reply.status not in (200, 201):
            raise Refused("visit", reply)
    return replies
