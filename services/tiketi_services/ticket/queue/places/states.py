"""``States``: what everybody in a line is told, read at most once in an interval and the same for a whole group.

The message has a common part, and a part for each group of 64 places from which its buyers find their own position.
Both are JSON of their own, put together as bytes: one reading serves any number of groups.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import DrawnOrder, LineState, to_ms
from tiketi_services.ticket.queue.places.outlook import Gate, Pace, Reach, Stock, pace_of, reach_of
from tiketi_services.ticket.queue.places.positions import Positions, Standings
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.queue.terms import terms_of
from tiketi_services.ticket.sales.conditional import tag_of
from tiketi_services.ticket.sales.domain import is_cancelled, phase_of

_LOOK_UPS_PER_TURN: Final = 5_000
"""Other work gets its turn after so many drawn places."""

_PAUSE: Final = 0.02
"""Seconds at least between two readings for those who have just taken a place: however many join, a line is read 50
times a second for them, and none waits longer for an answer that has the place."""

_IDLE: Final = 30
"""Seconds after which a line that nobody here asks for is forgotten."""

Key = tuple[EventId, Line]


class Orders(Protocol):
    """The draws, as far as this process has learned them."""

    def of(self, event: EventId, line: Line) -> DrawnOrder | None:
        """The order of a line; None while it is not drawn."""
        ...


@dataclass(frozen=True, slots=True)
class StateMessage:
    """A state as it is sent."""

    body: bytes
    """JSON."""
    tag: str
    """Entity tag of the content: equal tags mean that there is nothing new to hear."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A line at one moment."""

    line: LineState
    order: DrawnOrder | None
    """The drawn order that places follow; None while it is unknown, and where there is none."""
    standings: Standings | None
    """None while places are still to be drawn."""
    common: bytes
    """JSON of what all are told."""
    common_tag: str
    """Entity tag of the common part. It says nothing of version and server time."""
    version: int
    """ms; grows with every change."""
    read_at: float
    """time.monotonic() just before: a state looks older than it is, never newer."""

    def place(self, seq: int) -> int | None:
        """The place of a number of joining; None while it is to be drawn."""
        if self.standings is None:
            return None
        return seq if self.order is None else self.order.place(seq)

    def tag(self, group: int | None) -> str:
        """Entity tag of what a group is told."""
        if group is None or self.standings is None:
            return self.common_tag
        part = self.standings.of(group)
        return f'{self.common_tag[:-1]}-{part.ahead:x}-{part.alive:x}"'

    def body(self, group: int | None) -> bytes:
        """JSON of what a group is told; None: somebody without a place."""
        if group is None or self.standings is None:
            return self.common
        part = self.standings.of(group)
        return b'%b,"group":%d,"ahead":%d,"alive":"%016x"}' % (self.common[:-1], group, part.ahead, part.alive)


class _Turn:
    """The next reading of a line, and all who wait for it: one future each is cheaper than to queue for a lock."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Reading] | None = None
        self.began_at: float | None = None
        """time.monotonic(); None while it is only to come."""
        self._waiting: list[asyncio.Future[Reading]] = []

    def result(self) -> asyncio.Future[Reading]:
        """The reading to come, or what prevented it."""
        result: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        self._waiting.append(result)
        return result

    def end(self, task: asyncio.Task[Reading]) -> None:
        """Tell all who still wait."""
        error = None if task.cancelled() else task.exception()
        for result in self._waiting:
            if result.done():  # who waited has gone
                continue
            if task.cancelled():
                result.cancel()
            elif error is not None:
                result.set_exception(error)
            else:
                result.set_result(task.result())


class States:
    """Reads each line once in ``interval``, however many ask."""

    def __init__(self, lines: Lines, orders: Orders, interval: timedelta) -> None:
        self._lines = lines
        self._orders = orders
        self._interval = interval.total_seconds()
        self._known: dict[Key, Reading] = {}
        self._positions: dict[Key, Positions] = {}
        self._locks: dict[Key, asyncio.Lock] = {}
        self._turns: dict[Key, _Turn] = {}

    async def current(self, sale: SaleSheet, line: LineSheet, group: int | None = None) -> StateMessage:
        """What a group of places is told, at most one interval old. Raises Recovering."""
        reading = await self.reading(sale, line)
        return StateMessage(reading.body(group), reading.tag(group))

    async def reading(self, sale: SaleSheet, line: LineSheet, since: datetime | None = None) -> Reading:
        """The line, as it was at most one interval ago. Raises Recovering.

        ``since``: when a place was taken (time of the event), which the reading is to show. All who took one before it
        is made share it.
        """
        key, asked_at = (sale.event, line.name), time.monotonic()
        known = self._known.get(key)
        if known is not None and self._serves(known, since, asked_at):
            return known
        while True:
            turn = self._turns.get(key) or self._take_turn(sale, line)
            is_too_early = turn.began_at is not None and turn.began_at < asked_at
            reading = await turn.result()
            if not is_too_early or self._serves(reading, since, asked_at):
                return reading

    def _take_turn(self, sale: SaleSheet, line: LineSheet) -> _Turn:
        key = (sale.event, line.name)
        turn = self._turns[key] = _Turn()

        async def read() -> Reading:
            async with self._lock(key):
                if (known := self._known.get(key)) is not None:
                    await asyncio.sleep(max(0, known.read_at + _PAUSE - time.monotonic()))
                turn.began_at = time.monotonic()
                return await self._read(sale, line)

        def end(task: asyncio.Task[Reading]) -> None:
            self._turns.pop(key, None)
            turn.end(task)

        turn.task = asyncio.create_task(read())
        turn.task.add_done_callback(end)
        return turn

    def unread(self, sale: SaleSheet, line: LineSheet, now: datetime) -> StateMessage:
        """What can be told of a line that cannot be read: its schedule and message, and nobody in it."""
        nobody = LineState(
            now=now,
            epoch=0,
            horizon=0,
            entries=None,
            is_drawn=False,
            waiting=0,
            offered=0,
            active=0,
            sold=0,
            taken={},
            per_minute=None,
            no_shows=0.0,
            pace={},
            crowded={},
            living=b"",
        )
        content = {**content_of(sale, line, nobody, is_drawn=False), "pace": None}
        body = msgspec.json.encode({**content, "version": to_ms(now), "serverTime": now})
        return StateMessage(body, tag_of(content))

    async def fresh(self, sale: SaleSheet, line: LineSheet) -> Reading:
        """The line as it is now. Raises Recovering."""
        async with self._lock((sale.event, line.name)):
            return await self._read(sale, line)

    async def forget_idle(self) -> None:
        """Forget lines that nobody here has asked for lately: they are over, or deleted, or nobody listens here.

        Their gauges go too. What they said would stand for ever, and be taken for the most any process knows.
        """
        for key in [key for key, known in self._known.items() if time.monotonic() - known.read_at > _IDLE]:
            if not self._lock(key).locked():
                del self._known[key], self._locks[key]
                self._positions.pop(key, None)
                metrics.forget(metrics.OF_READING, *key)
                if all(event != key[0] for event, _ in self._known):
                    metrics.forget([metrics.ACTIVE], key[0])

    def _lock(self, key: Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _serves(self, known: Reading, since: datetime | None, asked_at: float) -> bool:
        """Redis counts in ms: within the one in which the place was taken it cannot be told which came first."""
        if since is not None and known.line.now <= since and known.read_at < asked_at:
            return False
        return time.monotonic() - known.read_at < self._interval

    async def _read(self, sale: SaleSheet, line: LineSheet) -> Reading:
        key = (sale.event, line.name)
        read_at = time.monotonic()
        state = await self._lines.state(terms_of(sale, line))
        metrics.WAITING.labels(*key).set(state.waiting)
        metrics.ACTIVE.labels(sale.event).set(state.active)
        metrics.NO_SHOW_SHARE.labels(*key).set(state.no_shows)
        order = self._orders.of(*key) if state.is_drawn else None
        is_ordered = order is not None or line.draw_at is None
        standings = await self._stand(key, state.living, order) if is_ordered else None
        content = content_of(sale, line, state, is_drawn=order is not None)
        tag = tag_of(content)
        version = to_ms(state.now)
        if (known := self._known.get(key)) is not None and (known.common_tag, known.standings) == (tag, standings):
            version = known.version
        common = msgspec.json.encode({**content, "version": version, "serverTime": state.now})
        reading = Reading(state, order, standings, common, tag, version, read_at)
        self._known[key] = reading
        return reading

    async def _stand(self, key: Key, living: bytes, order: DrawnOrder | None) -> Standings:
        positions = self._positions.setdefault(key, Positions())
        standings = positions.update(living, order, most=_LOOK_UPS_PER_TURN)
        while standings is None:
            await asyncio.sleep(0)  # not waiting: letting others work
            standings = positions.update(living, order, most=_LOOK_UPS_PER_TURN)
        return standings


def content_of(sale: SaleSheet, line: LineSheet, state: LineState, *, is_drawn: bool) -> dict[str, Any]:
    """The common part but ``version`` and ``serverTime``: what decides whether buyers have to hear of it."""
    terms = terms_of(sale, line)
    per_minute = terms.per_minute if state.per_minute is None else state.per_minute
    stock = stock_of(sale, terms.stock, state)
    gate = Gate(
        opens_at=line.opens_at,
        per_minute=per_minute,
        slots=terms.slots,
        session=sale.queue.session_duration,
        active=state.active,
        claim_window=sale.queue.claim_window,
        show_share=1 - state.no_shows,
        is_paused=terms.is_paused,
        waiting=state.waiting,
        room=room_of(terms.slots, stock, state),
    )
    pace = pace_of(state.pace, state.crowded, state.now, gate)
    return {
        "event": sale.event,
        "line": line.name,
        "epoch": state.epoch,
        "phase": phase_of(sale, state.now, sold=state.sold),
        "opensAt": line.opens_at,
        "closesAt": line.closes_at,
        "drawAt": line.draw_at,
        "entries": state.entries,
        "drawn": is_drawn,
        "horizon": state.horizon,
        "waiting": state.waiting,
        "offered": state.offered,
        "active": state.active,
        "ratePerMinute": per_minute,
        "pace": _pace_view(pace),
        "remaining": max(0, sale.capacity - state.sold),
        "free": stock.free,
        "reach": None
        if is_cancelled(sale)
        else _reach_view(reach_of(stock, 1 - state.no_shows, pace, line.closes_at - state.now)),
        "message": sale.message,
        "admission": sale.admission,
    }


def room_of(slots: int, stock: Stock, state: LineState) -> float:
    """How many more buyers slots and places leave room for now, beside those to whom a slot is offered already."""
    browsing = max(0, stock.active - stock.holding)
    return max(0.0, min(slots - state.active, stock.free - browsing) - state.offered * (1 - state.no_shows))


def stock_of(sale: SaleSheet, size: int, state: LineState) -> Stock:
    """The ``size`` places of the line's sections, and what became of them.

    What is sold is counted for all sections: a presale of few of them is taken to have sold what is taken there.
    """
    taken = sum(state.taken.values())
    sold = min(state.sold, taken)
    return Stock(
        free=max(0, size - taken),
        held=taken - sold,
        sold=sold,
        active=state.active,
        holding=state.holding,
        admitted=state.admitted,
        most_per_buyer=sale.max_tickets_per_buyer,
    )


def _pace_view(pace: Pace | None) -> Mapping[str, float] | None:
    """Three digits: a line of one slot may move by 0.07 a minute."""
    return None if pace is None else {"low": float(f"{pace.low:.3g}"), "high": float(f"{pace.high:.3g}")}


def _reach_view(reach: Reach) -> Mapping[str, int]:
    return {"likely": reach.likely, "doubtful": reach.doubtful}
