"""The house of each sale as this process knows it: read from PostgreSQL at most once a second, whoever asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.orders.house import House, Plan
from tiketi_services.ticket.orders.repository import OrderBook
from tiketi_services.ticket.sales.conditional import tag_of


@dataclass(frozen=True, slots=True)
class SeatMap:
    """One reading of a house."""

    house: House
    """Also marked by this process as it gives seats away, so that its buyers do not run into each other."""
    document: bytes
    """JSON for buyers: the reading without later marks."""
    tag: str
    """Entity tag of the document."""
    sale_version: int
    read_at: float
    """Monotonic seconds."""


class SeatMaps:
    """Seat maps of all sales."""

    def __init__(self, book: OrderBook, max_age: timedelta) -> None:
        self._book = book
        self._max_age = max_age
        self._maps: dict[EventId, SeatMap] = {}
        self._plans: dict[EventId, tuple[int, Plan]] = {}
        self._locks: dict[EventId, asyncio.Lock] = {}

    async def current(self, sale: SaleSheet, max_age: timedelta | None = None) -> SeatMap:
        """The seat map of a sale, at most ``max_age`` old (the usual age, if not given)."""
        age = self._max_age if max_age is None else min(self._max_age, max_age)
        if (known := self._fresh(sale, age)) is not None:
            return known
        async with self._locks.setdefault(sale.event, asyncio.Lock()):
            if (known := self._fresh(sale, age)) is None:
                known = self._maps[sale.event] = await self._read(sale)
            return known

    def mark(self, sale: SaleSheet, seats: Iterable[SeatId]) -> None:
        """These seats were given away by this process."""
        if (known := self._maps.get(sale.event)) is not None:
            known.house.take(seats)

    def _fresh(self, sale: SaleSheet, age: timedelta) -> SeatMap | None:
        known = self._maps.get(sale.event)
        if known is None or known.sale_version != sale.version:
            return None
        return known if time.monotonic() - known.read_at < age.total_seconds() else None

    async def _read(self, sale: SaleSheet) -> SeatMap:
        read_at = time.monotonic()
        house = House(self._plan(sale), *await self._book.house(sale.event))
        content = {"event": sale.event, "saleVersion": sale.version, "sections": house.states()}
        return SeatMap(house, msgspec.json.encode(content), tag_of(content), sale.version, read_at)

    def _plan(self, sale: SaleSheet) -> Plan:
        version, plan = self._plans.get(sale.event, (0, None))
        if plan is None or version != sale.version:
            plan = Plan(sale.sections)
            self._plans[sale.event] = (sale.version, plan)
        return plan
