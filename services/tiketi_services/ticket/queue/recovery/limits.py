"""``Limits``: how far a line's numbers and its horizon may go. PostgreSQL notes each block before Redis uses it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import LineSheet
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.ticket.queue.recovery.marks import BLOCK, PACKAGE, Marks
from tiketi_services.ticket.queue.recovery.rebuild import decide
from tiketi_services.ticket.queue.terms import may_serve, may_wait
from tiketi_services.ticket.sales.sales import Sales

_AHEAD: Final = BLOCK // 2
"""A new block is noted when fewer numbers than these are left."""
_LIVING_INTERVAL: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a line is, and how far it may go."""

    seq: int
    seq_limit: int
    horizon: int
    serving_limit: int
    waiting: int
    is_returning: bool
    """Whether buyers whom Redis lost are still coming back."""
    is_drawn: bool


class Limits:
    """Keeps the marks of all lines ahead of need."""

    def __init__(self, redis: Redis, marks: Marks, sales: Sales) -> None:
        self._marks = marks
        self._sales = sales
        scripts = load_scripts(redis, PACKAGE)
        self._read, self._raise = scripts["read_marks"], scripts["raise_limits"]
        self._raising: dict[tuple[EventId, Line], asyncio.Lock] = {}
        self._living: dict[tuple[EventId, Line], int] = {}
        self._living_at = datetime.min.replace(tzinfo=UTC)

    async def raise_seq(self, event: EventId, line: Line) -> None:
        """Let the line give out more numbers, now. Raises Recovering."""
        async with self._raising.setdefault((event, line), asyncio.Lock()):
            reach = await self._reach(event, line)
            if reach.seq >= reach.seq_limit:
                await self._raise_to(event, line, reach.seq_limit + BLOCK, reach.serving_limit)

    async def keep_ahead(self) -> None:
        """Raise what is nearly used up, and note how many wait every few seconds. Raises Recovering."""
        now = datetime.now(UTC)
        lines = [
            (sale.event, line)
            for sale in self._sales.all().values()
            for line in sale.lines
            if may_wait(sale, line, now)
        ]
        results = await asyncio.gather(
            *(self._keep_line(event, line, now) for event, line in lines), return_exceptions=True
        )
        if now - self._living_at >= _LIVING_INTERVAL and self._living:
            await self._marks.keep_living(self._living)
            self._living, self._living_at = {}, now
        for error in results:
            if isinstance(error, BaseException):
                raise error

    async def _keep_line(self, event: EventId, line: LineSheet, now: datetime) -> None:
        reach = await self._reach(event, line.name)
        if not reach.is_returning:
            self._living[event, line.name] = reach.waiting
        # A horizon that nobody needs yet must not be skipped by a loss: buyers of a later draw would all be behind it.
        is_served = may_serve(line, now) and (line.draw_at is None or reach.is_drawn)
        seq_limit = reach.seq_limit + BLOCK * (reach.seq_limit - reach.seq < _AHEAD)
        serving_limit = reach.serving_limit + BLOCK * (is_served and reach.serving_limit - reach.horizon < _AHEAD)
        if (seq_limit, serving_limit) != (reach.seq_limit, reach.serving_limit):
            await self._raise_to(event, line.name, seq_limit, serving_limit)

    async def _raise_to(self, event: EventId, line: Line, seq_limit: int, serving_limit: int) -> None:
        """PostgreSQL first: Redis never uses what it could use again after a loss."""
        await self._marks.raise_to(event, line, seq_limit, serving_limit)
        keys = EventKeys(event)
        await decide(self._raise, [keys.epoch, keys.line(line).limits], [seq_limit, serving_limit])

    async def _reach(self, event: EventId, line: Line) -> Reach:
        keys = EventKeys(event)
        names = keys.line(line)
        seq, seq_limit, horizon, serving_limit, waiting, is_returning, is_drawn = await decide(
            self._read,
            [
                keys.epoch,
                keys.clock,
                names.seq,
                names.serving,
                names.limits,
                names.waiting,
                names.returning,
                names.draw,
            ],
        )
        return Reach(seq, seq_limit, horizon, serving_limit, waiting, bool(is_returning), bool(is_drawn))
