"""Tells those who are shopping how the seats change, on their live connections.

docs/seat-map.md has the client's part.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final, Protocol

from prometheus_client import Counter, Histogram

from tiketi_runtime.contracts.identity import EventId
from tiketi_services.ticket.orders.public_maps import PublicMaps
from tiketi_services.ticket.orders.seat_format import SeatMap
from tiketi_services.ticket.queue.each import for_each
from tiketi_services.ticket.sales.sales import Sales

TOPIC: Final = "seats"
STEP: Final = timedelta(milliseconds=50)
"""How often it is checked whether some event is due: the most that is added to the age of a map."""
_REASSURANCE: Final = 10.0
"""Seconds without a change after which everybody is told the version: whatever was lost on the way comes to light."""
_RETRY: Final = 0.5
"""Seconds until an event is looked at again whose seats could not be read."""

TOLD = Counter("tiketi_seat_changes_told_total", "Changes of seat maps handed to connections.")
TOLD_BYTES = Counter("tiketi_seat_changes_told_bytes_total", "Bytes of those.")
AGE_SECONDS = Histogram(
    "tiketi_seat_map_age_seconds",
    "Age of the seats in a change when all listeners of this process have been told.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5),
)


class Listeners(Protocol):
    """Those who listen to one topic."""

    def events(self) -> list[EventId]:
        """Events that somebody listens for."""

    async def tell(self, event: EventId, words: bytes) -> int:
        """Tell everybody; returns how many were told."""

    def remind(self, event: EventId, words: bytes) -> None:
        """Tell those who missed something."""


class SeatFeed:
    """What was told of each event, and what is to be told next.

    A change leads from the map that was told last to the present one, whatever other processes told in between: a
    version is the same map everywhere.
    """

    def __init__(self, maps: PublicMaps, sales: Sales, listeners: Listeners) -> None:
        self._maps = maps
        self._sales = sales
        self._listeners = listeners
        self._told: dict[EventId, SeatMap] = {}
        self._told_at: dict[EventId, float] = {}
        self._due: dict[EventId, float] = {}

    def greet(self, event: EventId) -> bytes | None:
        """The version that the next change leads on from; None: it is about to be told."""
        told = self._told.get(event)
        return None if told is None else told.notice

    async def step(self) -> None:
        """Tell what has changed where somebody listens. Raises the first trouble, once all events were tried."""
        events, now = self._listeners.events(), time.monotonic()
        for event in self._told.keys() - set(events):
            del self._told[event], self._told_at[event]
        self._due = {event: self._due.get(event, 0.0) for event in events}
        await for_each(self._tell, [event for event, due in self._due.items() if due <= now])

    async def _tell(self, event: EventId) -> None:
        self._due[event] = time.monotonic() + _RETRY
        sale = self._sales.all().get(event)
        if sale is None:
            return
        shown = await self._maps.look(sale)
        self._due[event] = shown.next_look
        before, after = self._told.get(event), shown.map
        if before is not None and before.version >= after.version:
            if time.monotonic() - self._told_at[event] < _REASSURANCE:
                self._listeners.remind(event, before.notice)
                return
            before = None
        if after.version == 0:
            return
        # Before anybody hears of it: who comes now is greeted with it.
        self._told[event], self._told_at[event] = after, time.monotonic()
        words = after.notice if before is None else after.change_since(before)
        count = await self._listeners.tell(event, words)
        TOLD.inc(count)
        TOLD_BYTES.inc(count * len(words))
        AGE_SECONDS.observe(time.monotonic() - shown.read_at)
