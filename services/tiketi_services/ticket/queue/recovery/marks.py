"""``Marks``: what PostgreSQL keeps so that Redis' memory of an event can be built anew. No write for a join."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool, load_queries

PACKAGE: Final = "tiketi_services.ticket.queue"
BLOCK: Final = 20_000
"""Numbers noted at once: one UPDATE for as many joins, and as many numbers skipped after a loss."""
_CLAIMS_AT_ONCE: Final = 1000
"""Redis serves nobody else while it takes them in."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event before its recovery."""

    epoch: int
    is_taken: bool
    """Whether somebody recovers it just now."""
    lines: list[Line]
    """All it ever had."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """Where a line goes on after a loss: beyond everything that may have been given out."""

    line: Line
    seq: Seq
    horizon: int
    seq_limit: int
    serving_limit: int
    living: int
    """How many waited, as noted last."""


@dataclass(frozen=True, slots=True)
class SpentPlace:
    """A claim that stands."""

    buyer: BuyerId
    seq: Seq
    session: str
    ends_at: datetime | None
    """When the session ends by itself; None if it was ended before."""


@dataclass(frozen=True, slots=True)
class ClosedDraw:
    """The entries of a line, once they are closed."""

    n: int
    closed_at: datetime
    is_drawn: bool


class Marks:
    """Epochs, leases and high-water marks of all events; and what else a recovery reads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def entry(self, event: EventId) -> Entry | None:
        """The event as it is now; None if it is not known or was deleted."""
        row = await self._pool.fetchrow(self._sql["recovery_entry"], event)
        return None if row is None else Entry(**dict(row))

    async def take(self, event: EventId, epoch: int, seen: int, lease: timedelta) -> int | None:
        """Become the one who recovers the event; None if it was taken since ``epoch`` was read.

        ``seen`` is the epoch that Redis still shows: the new one is above both.
        """
        taken: int | None = await self._pool.fetchval(self._sql["take_recovery"], event, epoch, seen, lease)
        return taken

    async def renew(self, event: EventId, epoch: int, lease: timedelta) -> bool:
        """Go on recovering; False if somebody else took over, or the event was deleted."""
        return await self._pool.fetchval(self._sql["renew_recovery"], event, epoch, lease) is not None

    async def finish(self, event: EventId, epoch: int) -> None:
        """Recover the event no longer."""
        await self._pool.execute(self._sql["finish_recovery"], event, epoch)

    async def fence(self, event: EventId, epoch: int) -> list[Fenced]:
        """Close the past: no claim of an earlier epoch is kept from here on. Empty if the epoch is no longer ours."""
        rows = await self._pool.fetch(self._sql["fence_lines"], event, epoch, BLOCK)
        return [Fenced(**dict(row)) for row in rows]

    async def open(self, event: EventId, epoch: int) -> bool:
        """Allow the marks to be used; False if the epoch is no longer ours."""
        return await self._pool.fetchval(self._sql["open_lines"], event, epoch) is not None

    async def spent(self, event: EventId, line: Line) -> AsyncIterator[list[SpentPlace]]:
        """All spent places of a line, in batches."""
        after = 0
        while True:
            rows = await self._pool.fetch(self._sql["claims_after"], event, line, after, _CLAIMS_AT_ONCE)
            if not rows:
                return
            yield [SpentPlace(**dict(row)) for row in rows]
            after = rows[-1]["seq"]

    async def sheet(self, event: EventId) -> SaleSheet:
        """The newest sale sheet. Raises LookupError if there is none: no event is known without one."""
        content = await self._pool.fetchval(self._sql["newest_sheet"], event)
        if content is None:
            raise LookupError(f"no sale sheet of {event}")
        return SaleSheet.model_validate(content)

    async def draws(self, event: EventId) -> Mapping[Line, ClosedDraw]:
        """Draws whose entries are closed, by line."""
        rows = await self._pool.fetch(self._sql["closed_draws"], event)
        return {row["line"]: ClosedDraw(row["n"], row["closed_at"], row["is_drawn"]) for row in rows}

    async def raise_to(self, event: EventId, line: Line, seq_limit: int, serving_limit: int) -> None:
        """Let the line go on at least so far."""
        await self._pool.execute(self._sql["raise_marks"], event, line, seq_limit, serving_limit)

    async def keep_living(self, living: Mapping[tuple[EventId, Line], int]) -> None:
        """Note how many wait."""
        events = [event for event, _ in living]
        lines = [line for _, line in living]
        await self._pool.execute(self._sql["keep_living"], events, lines, list(living.values()))
