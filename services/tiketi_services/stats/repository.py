"""Where figures come from: the orders that messages told about, and the line as Redis shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from datetime import UTC, datetime
from typing import cast

from tiketi_runtime.contracts.answer_times import KEPT, WINDOW, window_of
from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.messages import AnyMessage
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.outbox import DUPLICATES
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis
from tiketi_services.stats.domain import Fact, OrderState, Reading, Totals, is_held, p95_of

_SEATS_PER_READ = 1000
"""Fields asked for at a time: Redis serves nobody else meanwhile."""


class Orders:
    """Orders of all events, as told by messages. This service's own database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(__package__)

    async def record_once(self, message: AnyMessage, fact: Fact) -> bool:
        """Record the fact unless its message was applied before. Returns whether it was recorded."""
        if await self._pool.fetchval(self._sql["record_fact"], *astuple(fact), message.id) is not None:
            return True
        DUPLICATES.labels(message.key).inc()
        return False

    async def totals(self, events: Iterable[EventId]) -> Mapping[EventId, Totals]:
        """Sums of each event; an event without orders has empty ones."""
        wanted = list(events)
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            groups = await connection.fetch(self._sql["totals"], wanted)
            seats = await connection.fetch(self._sql["open_seats"], wanted)
        open_seats = {row["event"]: frozenset(map(SeatId, row["seats"])) for row in seats}
        by_event: dict[EventId, dict[OrderState, tuple[int, int, int, int]]] = defaultdict(dict)
        for event, state, *sums in groups:
            by_event[event][OrderState(state)] = tuple(sums)
        return {event: _totals(by_event[event], open_seats.get(event, frozenset())) for event in wanted}


_NO_ORDERS = (0, 0, 0, 0)


def _totals(states: Mapping[OrderState, tuple[int, int, int, int]], open_seats: frozenset[SeatId]) -> Totals:
    """Values of ``states``: orders, tickets, amount, refusals."""
    issued, paid = states.get(OrderState.ISSUED, _NO_ORDERS), states.get(OrderState.PAID, _NO_ORDERS)
    return Totals(
        sold=issued[1],
        revenue=issued[2] + paid[2],
        orders={state: states.get(state, _NO_ORDERS)[0] for state in OrderState},
        refusals=sum(sums[3] for sums in states.values()),
        open_seats=open_seats,
    )


class LiveSales:
    """Registered events as Redis shows them. Reads only."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def events(self) -> list[EventId]:
        """Every registered event."""
        members = cast(set[bytes], await self._redis.smembers(EVENTS))
        return sorted(EventId(member.decode()) for member in members)

    async def read(self, event: EventId) -> Reading | None:
        """One event now; None while it has no sale sheet. Raises pydantic.ValidationError for a sheet that is none."""
        keys = EventKeys(event)
        document = await self._redis.get(keys.sheet)
        if document is None:
            return None
        sheet = SaleSheet.model_validate_json(document)
        now = await self._now()
        latest = window_of(now)
        windows = range(latest - KEPT // WINDOW + 1, latest + 1)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.counts, "admitted")
            pipe.zcount(keys.active, f"({_ms(now)}", "+inf")
            for line in (keys.line(line.name) for line in sheet.lines):
                pipe.zcard(line.waiting)
                pipe.zcard(line.returning)
            for window in windows:
                pipe.hgetall(keys.samples(window))
            admitted, active, *found = await pipe.execute()
        waiting, counted = found[: -len(windows)], found[-len(windows) :]
        held = await self._held(keys, now)
        return Reading(now, sheet, sum(waiting), active, held, admitted=int(admitted or 0), p95_ms=p95_of(counted))

    async def _held(self, keys: EventKeys, now: datetime) -> frozenset[SeatId]:
        paints = self._redis.hscan_iter(keys.seats, count=_SEATS_PER_READ)
        return frozenset([SeatId(seat.decode()) async for seat, paint in paints if is_held(paint, now)])

    async def _now(self) -> datetime:
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
