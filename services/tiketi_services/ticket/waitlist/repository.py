"""Where those who wait are kept. Sole caller of sql/."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, SeatId
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.contracts.seating import Section
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_services.ticket.waitlist.domain import Entry, EntryId, EntryState, Offer, Offering, Waiting

PACKAGE: Final = "tiketi_services.ticket.waitlist"
_REFUSED: Final = "TK001"
"""SQLSTATE of the SQL function ``refuse`` of ticket/orders."""


@dataclass(frozen=True, slots=True)
class Joining:
    """What PostgreSQL decided about who wants to wait."""

    outcome: str
    entry: Entry | None
    free: Sequence[str]
    """Sections with seats for everybody."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What became of a place that was given up, and of the seats that were offered."""

    outcome: str
    hold: HoldId | None
    freed: Sequence[SeatId]


@dataclass(frozen=True, slots=True)
class Offered:
    """What PostgreSQL decided about an offer. Only ``held`` has changed anything."""

    outcome: str
    until: datetime | None
    buyer: BuyerId | None


class Waitlists:
    """Those who wait, of all events. Every method is one statement: it happens whole or not at all."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def join(
        self,
        sale: SaleSheet,
        line: LineSheet,
        buyer: BuyerId,
        entry: EntryId,
        sections: Sequence[Section],
        quantity: int,
    ) -> Joining:
        """Add an entry at the end, if the sections are sold out and the buyer does not wait yet."""
        row = await self._pool.fetchrow(
            self._sql["join"],
            sale.event,
            sale.version,
            line.opens_at,
            line.closes_at,
            buyer,
            entry,
            [section.name for section in sections],
            [section.size for section in sections],
            quantity,
        )
        if row is None:
            raise LookupError("a function has one row")
        return Joining(row["outcome"], _entry(row) if row["id"] else None, row["free"] or ())

    async def find(self, event: EventId, buyer: BuyerId) -> Entry | None:
        """The buyer's last entry, with what is offered; None if there never was one."""
        row = await self._pool.fetchrow(self._sql["entry"], event, buyer)
        if row is None:
            return None
        offer = None
        if row["offered"] is not None:
            offer = Offer(HoldId(str(row["offered"])), tuple(map(SeatId, row["seats"])), row["until"])
        return _entry(row, row["before"], offer)

    async def change_quantity(self, event: EventId, buyer: BuyerId, quantity: int) -> bool:
        """Wait for so many seats at the same place; False if the buyer does not wait, or has an offer."""
        return await self._pool.fetchval(self._sql["change_quantity"], event, buyer, quantity) is not None

    async def leave(self, event: EventId, buyer: BuyerId) -> Leaving:
        """Give up the place, and the seats that are offered."""
        row = await self._pool.fetchrow(self._sql["leave"], event, buyer)
        if row is None:
            raise LookupError("a function has one row")
        return Leaving(row["outcome"], HoldId(str(row["hold"])) if row["hold"] else None, row["freed"] or ())

    @asynccontextmanager
    async def turn(self, event: EventId) -> AsyncIterator[bool]:
        """Whether it is this process that makes offers for an event, during the block."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield bool(await connection.fetchval(self._sql["take_turn"], event))

    async def waited_for(self, events: Sequence[EventId]) -> list[EventId]:
        """Those of the events that somebody waits for."""
        return [EventId(row["event"]) for row in await self._pool.fetch(self._sql["events"], events)]

    async def note_served(self, served: Mapping[EventId, Sequence[str]]) -> None:
        """These sections of these events are looked after: their seats are kept for those who wait, for a while."""
        sections = [" ".join(names) for names in served.values()]
        await self._pool.execute(self._sql["note_served"], list(served), sections)

    async def settle(self, event: EventId, rest: timedelta, most_lapses: int) -> list[tuple[EntryId, EntryState]]:
        """See what became of offers that are over: the entries' new states."""
        rows = await self._pool.fetch(self._sql["settle_offers"], event, rest, most_lapses)
        return [(EntryId(str(row["entry"])), EntryState(row["became"])) for row in rows]

    async def wake(self, event: EventId) -> None:
        """Who has rested long enough waits again."""
        await self._pool.execute(self._sql["wake"], event)

    async def vacancies(self, event: EventId, sections: Sequence[Section]) -> list[str]:
        """Sections that somebody waits for and that have free seats."""
        names, sizes = [section.name for section in sections], [section.size for section in sections]
        return [row["section"] for row in await self._pool.fetch(self._sql["vacancies"], event, names, sizes)]

    async def taken_in(self, event: EventId, sections: Sequence[str]) -> Sequence[SeatId]:
        """Seats of some sections that somebody has."""
        seats: Sequence[SeatId] = await self._pool.fetchval(self._sql["taken_in"], event, sections)
        return seats

    async def waiting(self, event: EventId, sections: Sequence[str], most: int) -> list[Waiting]:
        """The first who wait for one of the sections, in order of their places."""
        return [
            Waiting(
                id=EntryId(str(row["id"])),
                sections=tuple(row["sections"]),
                quantity=row["quantity"],
                live=row["live"],
                passes=row["passed_over"],
                is_gathered=bool(row["is_gathered"]),
            )
            for row in await self._pool.fetch(self._sql["waiting"], event, sections, most)
        ]

    async def offer(
        self, sale: SaleSheet, line: LineSheet, offering: Offering, hold: HoldId, window: timedelta
    ) -> Offered:
        """Hold seats for an entry, if both are still as they were planned with."""
        try:
            row = await self._pool.fetchrow(
                self._sql["offer"],
                offering.entry,
                sale.event,
                sale.version,
                line.opens_at,
                line.closes_at,
                sale.max_tickets_per_buyer,
                window,
                hold,
                offering.seats,
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate != _REFUSED:
                raise
            return Offered("seat-lost", None, None)
        if row is None:
            raise LookupError("a function has one row")
        return Offered(row["outcome"], row["until"], row["buyer"])

    async def note_shortage(self, short: Mapping[EntryId, int], gathering: timedelta) -> None:
        """There were too few free seats for these entries, which were passed over so often."""
        await self._pool.execute(self._sql["note_shortage"], list(short), list(short.values()), gathering)

    async def rest(self, entry: EntryId, rest: timedelta) -> None:
        """Offer an entry nothing for a while."""
        await self._pool.execute(self._sql["rest"], entry, rest)

    async def free_returning(self, event: EventId, refund: str) -> None:
        """Let those who wait have the seats of a refund before they are free for everybody."""
        await self._pool.execute(self._sql["free_returning"], event, refund)


def _entry(row: Mapping[str, Any], before: int | None = None, offer: Offer | None = None) -> Entry:
    return Entry(
        id=EntryId(str(row["id"])),
        event=EventId(row["event"]),
        sections=tuple(row["sections"]),
        quantity=row["quantity"],
        state=EntryState(row["state"]),
        joined_at=row["joined_at"],
        lapses=row["lapses"],
        rests_until=row["rests_until"],
        reason=row["reason"],
        before=before,
        offer=offer,
    )
