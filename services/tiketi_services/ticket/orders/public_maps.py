"""The seat maps that anybody may see: one version at a time, the same in every process.

Some process reads an event's seats when the last reading is half a second old, and only while somebody wants to know;
all others show what it found. Who reads is settled by turns that PostgreSQL gives out (see the migration seat_maps),
so no process has to be alive, and no reading can be shown in the wrong order.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.errors import Unavailable
from tiketi_services.ticket.orders.house import HELD, SOLD, Plans
from tiketi_services.ticket.orders.map_store import MapStore
from tiketi_services.ticket.orders.repository import OrderBook
from tiketi_services.ticket.orders.seat_format import SeatMap, layout_of

_MOMENT: Final = 0.1
"""Seconds until it is worth looking again while another process reads."""
_LEAST_PAUSE: Final = 0.02
"""Seconds between two looks for the same caller."""
_PATIENCE: Final = 3.0
"""Seconds after which somebody who asks for a map hears that there is none: much longer than a turn takes to lapse."""
_SEATS_PER_TURN: Final = 5_000
"""Other work gets its turn after so many seats."""
_NOTHING: Final = SeatMap(0, "", b"")


@dataclass(frozen=True, slots=True)
class Shown:
    """The public map as this process knows it."""

    map: SeatMap
    read_at: float
    """Monotonic seconds: not later than the reading began."""
    looked_at: float
    """Monotonic seconds: there was no newer version then."""
    next_look: float
    """Monotonic seconds: nothing new is to be expected before."""


class PublicMaps:
    """The public seat map of each sale."""

    def __init__(self, book: OrderBook, store: MapStore, *, interval: timedelta, max_age: timedelta) -> None:
        """``interval``: between two readings of an event's seats; the least time between two versions."""
        self._book = book
        self._store = store
        self._interval = interval
        self._max_age = max_age.total_seconds()
        self._plans = Plans()
        self._shown: dict[EventId, Shown] = {}
        self._locks: defaultdict[EventId, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def current(self, sale: SaleSheet, at_least: int = 0) -> SeatMap:
        """The map, at most ``max_age`` old. Raises Unavailable.

        ``at_least``: a version that is known to exist. If this process has not seen it yet, it looks.
        """
        asked_at = time.monotonic()
        while True:
            shown = self._shown.get(sale.event)
            if shown is not None and self._serves(shown, asked_at, at_least):
                return shown.map
            if time.monotonic() - asked_at > _PATIENCE:
                raise Unavailable("The seats cannot be read just now; try again.", retryAfter=1)
            if shown is not None and shown.looked_at >= asked_at:
                await asyncio.sleep(min(_MOMENT, max(_LEAST_PAUSE, shown.next_look - time.monotonic())))
            await self.look(sale, newer_than=asked_at if shown is None else max(asked_at, shown.looked_at))

    async def look(self, sale: SaleSheet, newer_than: float | None = None) -> Shown:
        """See what the others found, or read the seats if it is this process' turn. The map's version may be 0.

        ``newer_than``: a look that was made after this instant, for somebody else, is as good.
        """
        async with self._locks[sale.event]:
            shown = self._shown.get(sale.event)
            if shown is None or newer_than is None or shown.looked_at <= newer_than:
                shown = self._shown[sale.event] = await self._look(sale)
            return shown

    def _serves(self, shown: Shown, asked_at: float, at_least: int) -> bool:
        if shown.map.version < at_least and shown.looked_at < asked_at:
            return False
        is_fresh = shown.read_at >= asked_at or time.monotonic() - shown.read_at < self._max_age
        return is_fresh and shown.map.version > 0

    async def _look(self, sale: SaleSheet) -> Shown:
        began = time.monotonic()
        known = _NOTHING if (before := self._shown.get(sale.event)) is None else before.map
        seen = await self._store.look(sale, known.version, self._interval)
        public = known if seen.map is None else seen.map
        shown = Shown(public, began - seen.age, began, began + (_MOMENT if seen.is_being_read else seen.due))
        if seen.turn is None:
            return shown
        found = await self._read(sale)
        version: int | None = public.version
        is_new = (found.layout, found.states) != (public.layout, public.states)
        if not is_new and public.version >= known.version:  # an older version than known: the database was restored
            is_mine = await self._store.confirm(sale, seen.turn)
        else:
            version = await self._store.publish(sale, seen.turn, found)
            is_mine, public = version is not None, replace(found, version=version or 0)
        if not is_mine:
            return shown
        return Shown(public, began, began, began + self._interval.total_seconds())

    async def _read(self, sale: SaleSheet) -> SeatMap:
        held, sold, kept = await self._book.house(sale.event)
        plan = self._plans.of(sale)
        states = plan.empty(kept)
        for seats, state in ((held, HELD), (sold, SOLD)):
            for begin in range(0, len(seats), _SEATS_PER_TURN):
                for seat in seats[begin : begin + _SEATS_PER_TURN]:
                    if (place := plan.places.get(seat)) is not None:  # else of a section that was removed
                        states[place] = state
                await asyncio.sleep(0)
        return SeatMap(0, layout_of(sale), bytes(states))
