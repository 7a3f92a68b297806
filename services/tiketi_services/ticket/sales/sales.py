"""``Sales``: every sale this process serves, kept fresh in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from tiketi_runtime.background import every
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.sales.domain import UnknownEvent, changed, vanished
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource

log = logging.getLogger(__name__)


class Sales:
    """The sale sheets in force. A sheet is served only after PostgreSQL has it, so that any pod can restore it.

    While Redis is away or has lost its memory, the last known sheets stay in force.
    """

    def __init__(self, source: SheetSource, archive: SheetArchive, *, only: EventId | None = None) -> None:
        """``only``: the one event of a lane."""
        self._source = source
        self._archive = archive
        self._only = only
        self._sheets: dict[EventId, SaleSheet] = {}
        self._sold: Mapping[EventId, int] = {}

    async def sheet(self, event: EventId) -> SaleSheet:
        """The sheet in force. Raises UnknownEvent."""
        try:
            return self._sheets[event]
        except KeyError:
            raise UnknownEvent(f"There is no event {event}.") from None

    def all(self) -> Mapping[EventId, SaleSheet]:
        """Every sheet in force, by event."""
        return MappingProxyType(self._sheets)

    def sold(self, event: EventId) -> int:
        """Places sold, as Redis showed them a moment ago. To show, never to decide."""
        return self._sold.get(event, 0)

    async def restore(self) -> None:
        """Begin with what PostgreSQL holds. Raises OSError or PostgresError when it is away."""
        self._sheets = await self._archive.restore(self._only)

    async def run(self, interval: timedelta) -> None:
        """Refresh until cancelled; a store that is away is waited for."""
        await every(interval, "sale sheets", self.refresh)

    async def refresh(self) -> None:
        """Adopt every new sheet and forget deleted events."""
        registry = await self._source.registry(self._only)
        self._sold = registry.sold
        for event in vanished(registry, list(self._sheets)):
            await self._archive.retire(event)
            del self._sheets[event]
            log.info("event is gone", extra={"event": event})
        sheets = await self._source.sheets(changed(registry, self._sheets))
        for sheet in sheets:
            await self._adopt(sheet)
        if self._only is None and not registry.is_trusted and self._sheets.keys() <= registry.versions.keys():
            await self._source.trust_registry()

    async def _adopt(self, sheet: SaleSheet) -> None:
        """PostgreSQL first, then the epoch of a new line, then service, then the operator hears of it."""
        entry = await self._archive.adopt(sheet)
        if not entry.is_founded:
            epoch = await self._source.found(sheet.event, entry.epoch)
            if not epoch:
                return
            await self._archive.founded(sheet.event, epoch)
        self._sheets[sheet.event] = sheet
        await self._source.confirm(sheet.event, sheet.version)
        log.info("sale sheet adopted", extra={"event": sheet.event, "version": sheet.version})
