"""``Recoveries``: any pod builds the memory of an event that Redis does not have, once; nobody else has to be up.

A new event, a recreated object and a loss of Redis are the same thing here. PostgreSQL says who does it and numbers the
attempts (epochs); Redis refuses every step of an attempt that is not the newest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from typing import Final, TypeAlias

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.outages import is_outage
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import DrawnOrder
from tiketi_services.ticket.queue.recovery.marks import Entry, Fenced, Marks
from tiketi_services.ticket.queue.recovery.rebuild import Rebuild, Superseded
from tiketi_services.ticket.sales.sales import Sales

_LEASE: Final = timedelta(seconds=3)
"""After which another pod takes over from one that died, or failed."""
_FIRST_EPOCH: Final = 1
"""Of an event that was never in Redis before."""
_AT_ONCE: Final = 4
_LOOKS: Final = 2
"""Events looked at in each step although nobody complained: those that nobody visits are found in the end, too."""

_RECEIPTS_AT_ONCE: Final = 500
"""Redis serves nobody else while it takes them in."""

OrderOf: TypeAlias = Callable[[EventId, Line], DrawnOrder | None]
"""The drawn order of a line; None while it is not known."""

log = logging.getLogger(__name__)


class Recoveries:
    """Watches over the events of this process."""

    def __init__(self, rebuild: Rebuild, marks: Marks, sales: Sales, order_of: OrderOf) -> None:
        self._rebuild = rebuild
        self._marks = marks
        self._sales = sales
        self._order_of = order_of
        self._suspects: dict[EventId, float] = {}
        self._open: set[EventId] = set()
        self._looked_at = 0
        self.on_recovered: Callable[[EventId], Awaitable[None]] | None = None
        """Repaints what others keep of the event in Redis before the line opens. Not set: nothing is recovered."""

    def noticed(self, event: EventId) -> None:
        """A script answered that this is not the server on which the event's memory was built."""
        self._suspects.setdefault(event, time.monotonic())

    async def represent(self, event: EventId, line: Line, receipts: Iterable[tuple[BuyerId, Seq]]) -> int:
        """Right after a recovery: present the receipts of buyers who are connected, for them. Answers how many places
        were brought back. The receipts must have been checked. Raises Recovering.
        """
        order = self._order_of(event, line)
        places = ((buyer, seq, 0 if order is None else order.place(seq)) for buyer, seq in receipts)
        back = 0
        while batch := list(islice(places, _RECEIPTS_AT_ONCE)):
            back += await self._rebuild.bring_back(event, line, batch)
        return back

    async def step(self) -> None:
        """Recover what was noticed, what is new, and what turns out to be lost among a few others.

        An event that cannot be recovered now does not keep the others. Raises the last outage met.
        """
        if self.on_recovered is None:
            return
        known = self._sales.all()
        self._open &= known.keys()
        for event in known.keys() - self._open:
            self.noticed(event)
        self._suspects = {event: since for event, since in self._suspects.items() if event in known}
        turns = asyncio.Semaphore(_AT_ONCE)
        outages: list[Exception] = []

        async def take_turn(event: EventId) -> None:
            async with turns:
                try:
                    await self._look_after(event)
                except Exception as error:
                    metrics.RECOVERIES.labels("failed").inc()
                    if is_outage(error):
                        outages.append(error)
                    else:
                        log.exception("event not recovered", extra={"event": event})

        await asyncio.gather(*map(take_turn, dict.fromkeys([*self._suspects, *self._next_few()])))
        if outages:
            raise outages[-1]

    def _next_few(self) -> list[EventId]:
        known = list(self._sales.all())
        first = self._looked_at % len(known) if known else 0
        self._looked_at = first + _LOOKS
        return known[first : first + _LOOKS]

    async def _look_after(self, event: EventId) -> None:
        if (await self._rebuild.look(event)).is_open:
            self._is_open(event)
            return
        self.noticed(event)
        entry = await self._marks.entry(event)
        if entry is None or entry.is_taken:
            return
        # Once more: who opened it before the epoch was read is seen here, who does so later changes the epoch.
        look = await self._rebuild.look(event)
        if look.is_open:
            self._is_open(event)
        elif await self._sales.stands(event):
            epoch = await self._marks.take(event, entry.epoch, look.epoch, _LEASE)
            if epoch is not None:
                await self._recover(event, entry, epoch)

    def _is_open(self, event: EventId) -> None:
        self._suspects.pop(event, None)
        self._open.add(event)

    async def _recover(self, event: EventId, entry: Entry, epoch: int) -> None:
        since = self._suspects[event]
        try:
            async with self._renewing(event, epoch):
                await self._build(event, entry, epoch, since)
        except Superseded as reason:
            metrics.RECOVERIES.labels("superseded").inc()
            log.warning("recovery ended by another", extra={"event": event, "epoch": epoch, "reason": str(reason)})
            await self._marks.finish(event, epoch)
            return
        except asyncio.CancelledError:
            # We are stopping: somebody else need not wait for the lease to end.
            await self._marks.finish(event, epoch)
            raise
        self._is_open(event)
        await self._marks.finish(event, epoch)
        if epoch == _FIRST_EPOCH:
            metrics.RECOVERIES.labels("begun").inc()
            log.info("lines of a new event begun", extra={"event": event})
            return
        seconds = time.monotonic() - since
        metrics.RECOVERIES.labels("rebuilt").inc()
        metrics.RECOVERY_SECONDS.observe(seconds)
        log.warning("event recovered", extra={"event": event, "epoch": epoch, "seconds": round(seconds, 3)})

    async def _build(self, event: EventId, entry: Entry, epoch: int, since: float) -> None:
        """The order matters. PostgreSQL is read after the old memory was forgotten and claims under way are refused; so
        nothing is missed, and an older attempt cannot read later. The line opens last.
        """
        await self._rebuild.begin(event, epoch, entry.lines)
        lines = await self._marks.fence(event, epoch)
        if not lines:
            raise Superseded("taken over, or the event was deleted")
        spent = sum([await self._load(event, epoch, line) for line in lines])
        sheet = await self._marks.sheet(event)
        await self._rebuild.sheet(event, epoch, sheet)
        draws = await self._marks.draws(event)
        for line in lines:
            await self._rebuild.line(event, epoch, line, draws.get(line.line))
        if self.on_recovered is not None:
            await self.on_recovered(event)
        if not (await self._sales.stands(event) and await self._marks.open(event, epoch)):
            raise Superseded("taken over, or the event was deleted")
        note = _note(epoch, spent, time.monotonic() - since)
        await self._rebuild.open(event, epoch, sheet.version, lines, note)

    async def _load(self, event: EventId, epoch: int, line: Fenced) -> int:
        spent = 0
        async for places in self._marks.spent(event, line.line):
            await self._rebuild.spend(event, epoch, line.line, places)
            spent += len(places)
        return spent

    @asynccontextmanager
    async def _renewing(self, event: EventId, epoch: int) -> AsyncIterator[None]:
        """Keep the lease during the block. Losing it ends nothing: Redis refuses the steps of an older epoch."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(_LEASE.total_seconds() / 3)
                await self._marks.renew(event, epoch, _LEASE)

        renewal = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)


def _note(epoch: int, spent: int, seconds: float) -> str:
    if epoch == _FIRST_EPOCH:
        return ""
    return (
        f"Redis had lost this event. It was rebuilt from PostgreSQL in {seconds:.1f} s (epoch {epoch}, {spent} places "
        "spent); waiting buyers get their places back by themselves."
    )
