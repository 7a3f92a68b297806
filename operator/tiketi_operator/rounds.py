"""Which events need looking at, and when each was last looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tiketi_operator.metrics import EVENTS
from tiketi_runtime.contracts.identity import EventId, namespace_and_name


@dataclass
class Round:
    """One event's place in the rounds."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held during a visit: an event is visited by one at a time."""
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    last_visit: datetime | None = None
    """Up to when the event's timeline has been acted on."""
    begun: float = field(default_factory=time.monotonic)
    """Monotonic time at which a visit was last begun."""


class Rounds:
    """The rounds over all events this operator looks after."""

    def __init__(self) -> None:
        self._rounds: dict[EventId, Round] = {}

    def of(self, event: EventId) -> Round:
        """The event's place; new events get one."""
        found = self._rounds.setdefault(event, Round())
        EVENTS.set(len(self._rounds))
        return found

    def wake(self, event: EventId) -> None:
        """Have the event visited now. One that is not in the rounds is new, and visited anyway, or gone."""
        found = self._rounds.get(event)
        if found is not None:
            found.bell.set()

    def wake_namespace(self, namespace: str) -> None:
        """Have every event of an organiser's namespace visited now."""
        for event, found in self._rounds.items():
            if namespace_and_name(event)[0] == namespace:
                found.bell.set()

    def forget(self, event: EventId) -> None:
        """The event is gone."""
        self._rounds.pop(event, None)
        EVENTS.set(len(self._rounds))

    async def sleep(self, event: EventId, duration: timedelta, stopped: Awaitable[Any]) -> None:
        """Until the time is over, somebody wakes the event, or ``stopped`` comes true."""
        bell = self.of(event).bell
        naps = [asyncio.ensure_future(bell.wait()), asyncio.ensure_future(stopped)]
        try:
            await asyncio.wait(naps, timeout=duration.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for nap in naps:
                nap.cancel()
        bell.clear()

    def longest_silence(self) -> timedelta:
        """Time since a visit to the event that has waited longest was begun; nothing while there are no events."""
        now = time.monotonic()
        return timedelta(seconds=now - min((found.begun for found in self._rounds.values()), default=now))
