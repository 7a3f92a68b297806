"""Where the public seat maps are kept: one row of PostgreSQL an event, the same for every process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_services.ticket.orders.seat_format import SeatMap, unpack

PACKAGE = "tiketi_services.ticket.orders"


@dataclass(frozen=True, slots=True)
class Look:
    """The public map as it is kept, and whose turn it is to read the seats."""

    map: SeatMap | None
    """None: the caller has this version already, or the seats were never read."""
    age: float
    """Seconds since the reading began that the map was made from."""
    turn: int | None
    """The turn, if it is the caller's: to be finished, or to lapse."""
    is_being_read: bool
    """Somebody's turn is not finished: a newer map may be there in a moment."""
    due: float
    """Seconds until the next turn."""


class MapStore:
    """The public seat maps of all events. Every method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def look(self, sale: SaleSheet, known: int, interval: timedelta) -> Look:
        """See the map, if it is not the ``known`` version; take the turn if the last one began ``interval`` ago."""
        arguments = (sale.event, sale.version, known, interval)
        row = await self._pool.fetchrow(self._sql["look_at_map"], *arguments)
        while row is None:
            await self._pool.execute(self._sql["begin_map"], sale.event)
            row = await self._pool.fetchrow(self._sql["look_at_map"], *arguments)
        new = None
        if row["states"] is not None:
            new = SeatMap(row["version"], row["layout"], unpack(row["states"], row["seats"]))
        return Look(new, row["age"], row["turn"], row["is_being_read"], row["due"])

    async def confirm(self, sale: SaleSheet, turn: int) -> bool:
        """End a turn in which nothing new was found. False if it was too slow, and another one has begun."""
        return await self._finish(sale, turn, None, None, None) is not None

    async def publish(self, sale: SaleSheet, turn: int, found: SeatMap) -> int | None:
        """End a turn with a new map; gives its version. None if the turn was too slow, and another one has begun."""
        return await self._finish(sale, turn, found.layout, len(found.states), found.packed)

    async def _finish(self, sale: SaleSheet, turn: int, *found: object) -> int | None:
        version: int | None = await self._pool.fetchval(self._sql["finish_map"], sale.event, turn, sale.version, *found)
        return version
