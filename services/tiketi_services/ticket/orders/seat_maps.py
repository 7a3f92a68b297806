"""The house of each sale as this process knows it: read from PostgreSQL at most once a second, whoever asks.

It is for choosing seats. What buyers are shown is the public map (``PublicMaps``), the same in every process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.orders.house import House, Plans
from tiketi_services.ticket.orders.repository import OrderBook


@dataclass(frozen=True, slots=True)
class SeatReading:
    """One reading of a house."""

    house: House
    """Also marked by this process as it gives seats away, so that its buyers do not run into each other."""
    sale_version: int
    read_at: float
    """Monotonic seconds."""


class SeatMaps:
    """Houses of all sales."""

    def __init__(self, book: OrderBook, max_age: timedelta) -> None:
        self._book = book
        self._max_age = max_age
        self._readings: dict[EventId, SeatReading] = {}
        self._plans = Plans()
        self._locks: dict[EventId, asyncio.Lock] = {}

    async def current(self, sale: SaleSheet, max_age: timedelta | None = None) -> SeatReading:
        """The house of a sale, as of at most ``max_age`` ago (the usual age, if not given)."""
        age = self._max_age if max_age is None else min(self._max_age, max_age)
        if (known := self._fresh(sale, age)) is not None:
            return known
        async with self._locks.setdefault(sale.event, asyncio.Lock()):
            if (known := self._fresh(sale, age)) is None:
                known = self._readings[sale.event] = await self._read(sale)
            return known

    async def at_hand(self, sale: SaleSheet) -> SeatReading:
        """The house without waiting for anybody's reading: as it was a moment longer ago, while one is being made.

        For those who only look. In a rush they are so many that one of them reads and nobody else is kept waiting.
        """
        known = self._readings.get(sale.event)
        if known is not None and known.sale_version == sale.version and self._is_reading(sale.event):
            return known
        return await self.current(sale)

    def mark(self, sale: SaleSheet, seats: Iterable[SeatId]) -> None:
        """These seats were given away by this process."""
        if (known := self._readings.get(sale.event)) is not None:
            known.house.take(seats)

    def _is_reading(self, event: EventId) -> bool:
        lock = self._locks.get(event)
        return lock is not None and lock.locked()

    def _fresh(self, sale: SaleSheet, age: timedelta) -> SeatReading | None:
        known = self._readings.get(sale.event)
        if known is None or known.sale_version != sale.version:
            return None
        return known if time.monotonic() - known.read_at < age.total_seconds() else None

    async def _read(self, sale: SaleSheet) -> SeatReading:
        read_at = time.monotonic()
        house = House(self._plans.of(sale), *await self._book.house(sale.event))
        return SeatReading(house, sale.version, read_at)
