"""A contest: very many tries to hold few seats at once, by ticket's own statements, while connections are ended.

Nothing of HTTP is in it, so that a million tries take minutes. Who wins a seat holds it for a blink, orders it now and
then, and sometimes gives it back: the same seats are fought for over and over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from random import Random
from uuid import uuid4

import asyncpg
from tests.faults.stage import EVENT, Stage
from tests.invariants import violations

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.outages import is_outage
from tiketi_services.ticket.orders.domain import SeatLost
from tiketi_services.ticket.orders.repository import OrderBook

FIGHTERS = 16
SEATS = 12
BLINK = timedelta(milliseconds=200)
ENDED_EVERY = 0.5
"""Seconds between two times that some connections are ended."""
LOOKED_EVERY = 40
"""After so many of these the invariants are looked at."""


async def contest(stage: Stage, tries: int, seed: int) -> tuple[Counter[str], list[str]]:
    """``tries`` in all; what came of them, and what was wrong at any of the looks in between."""
    content = await stage.ticket_database.fetchval(
        "SELECT content::text FROM sale_sheets WHERE event = $1 ORDER BY version DESC LIMIT 1", EVENT
    )
    sale = SaleSheet.model_validate_json(content).model_copy(update={"hold_duration": BLINK})
    ends, wrong, left = Counter[str](), list[str](), iter(range(tries))
    async with await postgres.connect(stage.site.database_url("ticket"), FIGHTERS) as pool:
        book = OrderBook(pool)
        async with asyncio.TaskGroup() as group:
            harm = group.create_task(_end_connections(stage, wrong))
            fighters = [
                group.create_task(_fight(book, sale, Random(f"{seed} {n}"), left, ends)) for n in range(FIGHTERS)
            ]
            await asyncio.wait(fighters)
            harm.cancel()
    return ends, wrong


async def _fight(book: OrderBook, sale: SaleSheet, chance: Random, left: Iterator[int], ends: Counter[str]) -> None:
    for _ in left:
        buyer, hold = BuyerId(str(uuid4())), HoldId(str(uuid4()))
        first, section = chance.randrange(SEATS), sale.sections[-1].name
        seats = [SeatId(f"{section}-40-{1 + (first + at) % SEATS:02d}") for at in range(chance.randint(1, 3))]
        try:
            verdict = await book.hold(sale, sale.lines[0], buyer, hold, sorted(seats))
            ends[verdict.outcome] += 1
            if verdict.outcome == "held" and chance.random() < 0.3:
                await book.release(EventId(EVENT), buyer, hold)
            elif verdict.outcome == "held" and chance.random() < 0.02:
                await book.place(sale, buyer, hold, OrderId(str(uuid4())), str(uuid4()), None)
        except SeatLost:
            ends["lost the race"] += 1
        except asyncpg.CheckViolationError:  # so short a hold was over before its seats were ours
            ends["over at once"] += 1
        except Exception as error:
            if not is_outage(error):
                raise
            ends["unknown"] += 1


async def _end_connections(stage: Stage, wrong: list[str]) -> None:
    for turn in count():
        await asyncio.sleep(ENDED_EVERY)
        with suppress(asyncpg.PostgresError, OSError):
            await stage.ticket_database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ticket' AND random() < 0.2"
            )
        if turn % LOOKED_EVERY == LOOKED_EVERY - 1:
            wrong += await violations(stage.ticket_database)
