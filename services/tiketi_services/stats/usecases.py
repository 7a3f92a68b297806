"""What stats does: applies messages, and keeps the newest figures of every event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta

from pydantic import ValidationError

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.messages import AnyMessage
from tiketi_runtime.errors import NotFound
from tiketi_runtime.outages import is_outage
from tiketi_services.stats.domain import AdmissionRate, Figures, Reading, fact_of, figures_of
from tiketi_services.stats.repository import LiveSales, Orders

log = logging.getLogger(__name__)


class UnknownEvent(NotFound):
    """No event of this name is registered."""

    code, title = "unknown-event", "Unknown event"


async def record(orders: Orders, message: AnyMessage) -> None:
    """Apply a message once, however often and in whatever sequence messages arrive."""
    await orders.record_once(message, fact_of(message))


class Board:
    """The newest figures of every registered event. Taken at intervals, so that no question costs a reading."""

    def __init__(self, live: LiveSales, orders: Orders, interval: timedelta) -> None:
        self._live = live
        self._orders = orders
        self._interval = interval.total_seconds()
        self._rates: dict[EventId, AdmissionRate] = {}
        self._figures: Mapping[EventId, Figures] = {}

    @property
    def figures(self) -> Mapping[EventId, Figures]:
        """All events, as last taken."""
        return self._figures

    def of(self, event: EventId) -> Figures:
        """One event, as last taken. Raises UnknownEvent."""
        try:
            return self._figures[event]
        except KeyError:
            raise UnknownEvent(f"There is no event {event}.") from None

    async def run(self) -> None:
        """Take figures until cancelled. The last ones stay, with their time, while a store is away."""
        while True:
            try:
                await self.take()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("figures not taken", extra={"error": str(error)})
            await asyncio.sleep(self._interval)

    async def take(self) -> None:
        """Take the figures of all events now."""
        readings = {event: reading for event in await self._live.events() if (reading := await self._read(event))}
        totals = await self._orders.totals(readings)
        self._rates = {event: self._rates.get(event) or AdmissionRate() for event in readings}
        self._figures = {
            event: figures_of(reading, totals[event], self._rates[event].observe(reading.at, reading.admitted))
            for event, reading in readings.items()
        }

    async def _read(self, event: EventId) -> Reading | None:
        try:
            return await self._live.read(event)
        except ValidationError as error:
            log.error("sale sheet cannot be read", extra={"event": event, "error": str(error)})
            return None
