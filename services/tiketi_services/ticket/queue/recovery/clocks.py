"""``Clocks``: watches the time of events beside the clock of their Redis server.

An event's time never goes back. So when the server's clock jumps ahead and is set right again, the event's time stands
still until the clock has caught up: nobody is offered a slot, no session ends. Somebody has to hear of it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import from_ms
from tiketi_services.ticket.queue.each import for_each
from tiketi_services.ticket.queue.notes import PACKAGE, Notes
from tiketi_services.ticket.queue.recovery.rebuild import SMALL_STEP
from tiketi_services.ticket.queue.terms import may_wait
from tiketi_services.ticket.sales.sales import Sales

STEP: Final = timedelta(seconds=1)
"""How often ``Clocks.step`` is to be called."""
_REASON: Final = "ClockSetBack"
DATABASE_STEP: Final = timedelta(seconds=10)
"""How often ``Clocks.step_databases`` is to be called."""
_DATABASE_REASON: Final = "DatabaseClockAhead"

log = logging.getLogger(__name__)


class Clocks:
    """Watches the events whose lines take buyers."""

    def __init__(self, redis: Redis, sales: Sales, notes: Notes, pool: Pool) -> None:
        self._read = load_scripts(redis, PACKAGE)["read_clock"]
        self._database_time = load_queries(PACKAGE)["database_time"]
        self._pool = pool
        self._sales = sales
        self._notes = notes
        self._watched: set[EventId] = set()
        self._standing: set[EventId] = set()
        """Events whose time stands still for long, as this process has logged."""

    async def step(self) -> None:
        """Compare the clocks of all events that may have buyers. Raises the first fault once all were tried."""
        now, sales = datetime.now(UTC), self._sales.all().values()
        events = {sale.event for sale in sales if any(may_wait(sale, line, now) for line in sale.lines)}
        for event in self._watched - events:
            metrics.forget(metrics.OF_CLOCK, event)
        self._watched, self._standing = events, self._standing & events
        await for_each(self._compare, events)

    async def step_databases(self) -> None:
        """Compare PostgreSQL's clock with the events' times: by it a session is over (``record_claims.sql``)."""
        await for_each(self._compare_database, self._watched)

    async def _compare_database(self, event: EventId) -> None:
        """PostgreSQL is asked first: a slow answer makes it look behind, never ahead."""
        database: datetime = await self._pool.fetchval(self._database_time)
        _, event_ms = await self._read(keys=[EventKeys(event).clock])
        ahead = database - from_ms(event_ms)
        metrics.DATABASE_CLOCK_AHEAD.labels(event).set(ahead.total_seconds())
        if ahead > SMALL_STEP:
            hour, message = f"{database:%Y-%m-%dT%H}", database_message(ahead)
            await self._notes.warn_once(event, "database-clock", hour, _DATABASE_REASON, message)

    async def _compare(self, event: EventId) -> None:
        server_ms, event_ms = await self._read(keys=[EventKeys(event).clock])
        now, latest = from_ms(server_ms), from_ms(event_ms)
        metrics.CLOCK_AHEAD.labels(event).set((latest - now).total_seconds())
        metrics.CLOCK_SKEW.labels(event).set((now - datetime.now(UTC)).total_seconds())
        if latest - now <= SMALL_STEP:
            self._standing.discard(event)
            return
        message = message_of(now, latest)
        if event not in self._standing:
            self._standing.add(event)
            log.warning("the event's time stands still", extra={"event": event, "why": message})
        await self._notes.warn_once(event, "clock", str(event_ms), _REASON, message)


def message_of(now: datetime, latest: datetime) -> str:
    """What the organiser and whoever runs Redis have to know."""
    return (
        f"Redis' clock was set back by {(latest - now).total_seconds():.0f} s. This event's time stands still until "
        f"{latest:%Y-%m-%dT%H:%M:%SZ}: nobody is offered a slot and no session ends. Rebuilding the event ends that; "
        "docs/losses.md says how."
    )


def database_message(ahead: timedelta) -> str:
    """What whoever runs PostgreSQL has to know."""
    return (
        f"PostgreSQL's clock is {ahead.total_seconds():.0f} s ahead of this event's time: every session is as much "
        "shorter, and once that is a whole session nobody is admitted. Set both servers' clocks right; docs/losses.md "
        "says how."
    )
