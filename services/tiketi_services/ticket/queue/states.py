"""``States``: the state message of each line, built at most once in an interval and the same for everybody."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import state_content, to_ms
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.sales.conditional import tag_of


@dataclass(frozen=True, slots=True)
class StateMessage:
    """A state as it is sent."""

    body: bytes
    """JSON."""
    tag: str
    """Entity tag of the content: equal tags mean that buyers have nothing new to hear."""
    version: int
    """ms; grows with every change of the content."""
    server_time: datetime


class States:
    """Reads each line once in ``interval``, however many ask."""

    def __init__(self, lines: Lines, interval: timedelta) -> None:
        self._lines = lines
        self._interval = interval.total_seconds()
        self._known: dict[tuple[EventId, Line], tuple[float, StateMessage]] = {}
        self._locks: dict[tuple[EventId, Line], asyncio.Lock] = {}

    async def current(self, sale: SaleSheet, line: LineSheet) -> StateMessage:
        """The state, at most one interval old. Raises Recovering."""
        key = (sale.event, line.name)
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known.get(key)
            if known is not None and time.monotonic() - known[0] < self._interval:
                return known[1]
            return await self._read(sale, line)

    async def fresh(self, sale: SaleSheet, line: LineSheet) -> StateMessage:
        """The state as it is now. Raises Recovering."""
        async with self._locks.setdefault((sale.event, line.name), asyncio.Lock()):
            return await self._read(sale, line)

    async def _read(self, sale: SaleSheet, line: LineSheet) -> StateMessage:
        key = (sale.event, line.name)
        state = await self._lines.state(*key)
        metrics.WAITING.labels(*key).set(state.waiting)
        metrics.ACTIVE.labels(sale.event).set(state.active)
        content = state_content(sale, line, state)
        tag, version = tag_of(content), to_ms(state.now)
        if (known := self._known.get(key)) is not None and known[1].tag == tag:
            version = known[1].version
        message = StateMessage(_encode(content, version, state.now), tag, version, state.now)
        self._known[key] = (time.monotonic(), message)
        return message


def _encode(content: dict[str, Any], version: int, now: datetime) -> bytes:
    return msgspec.json.encode({**content, "version": version, "serverTime": now})
