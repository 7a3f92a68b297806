"""``Sales``: every sale this process serves, kept fresh in memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from tiketi_runtime.background import every
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.sales.domain import (
    Registry,
    UnknownEvent,
    as_served,
    changed,
    missing,
    overtaken,
    unconfirmed,
    vanished,
)
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource

_BORNE_SECONDS: Final = 5.0
"""How long a process goes on by what it last heard, when it hears nothing new or cannot take it over."""

log = logging.getLogger(__name__)


Prepare = Callable[[SaleSheet], Awaitable[bool]]
"""What has to be done before a new sheet is kept and served; False: not yet, ask again."""


async def at_once(_: SaleSheet) -> bool:
    """Nothing has to be prepared."""
    return True


class Sales:
    """The sale sheets in force. A sheet is served only after PostgreSQL has it, so that any pod can restore it.

    A sale goes out of service only when the operator says that its object was deleted. Whatever else is missing in
    Redis was lost there, and is put back.

    A sale that was stopped (``sale_stops``) is served as one that is paused, because its books do not agree, or as a
    ``CancelledSale``.
    """

    def __init__(
        self,
        source: SheetSource,
        archive: SheetArchive,
        *,
        only: EventId | None = None,
        prepare: Prepare = at_once,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``only``: the one event of a lane. ``clock``: seconds, monotonic."""
        self._clock = clock
        self._source = source
        self._archive = archive
        self._only = only
        self._sheets: dict[EventId, SaleSheet] = {}
        self._stopped: Mapping[EventId, bool] = {}
        self._paused: dict[EventId, SaleSheet] = {}
        self._refused: dict[EventId, int] = {}
        self._registry = Registry({}, {})
        self._read_at = clock()
        self._behind: dict[EventId, float] = {}
        """Since when another process serves a newer sheet than this one (monotonic)."""
        self._prepare = prepare

    async def sheet(self, event: EventId) -> SaleSheet:
        """The sheet in force. Raises UnknownEvent."""
        try:
            return self._in_force(self._sheets[event])
        except KeyError:
            raise UnknownEvent(f"There is no event {event}.") from None

    def all(self) -> Mapping[EventId, SaleSheet]:
        """Every sheet in force, by event."""
        if not self._stopped:
            return MappingProxyType(self._sheets)
        return {event: self._in_force(sheet) for event, sheet in self._sheets.items()}

    async def require_known(self, event: EventId) -> None:
        """Raises UnknownEvent if the event never was on sale here. One that was deleted is known."""
        if event not in self._sheets and not await self._archive.is_known(event):
            raise UnknownEvent(f"There is no event {event}, and there never was.")

    def is_cancelled(self, event: EventId) -> bool:
        """Whether the event does not take place, as far as this process has heard."""
        return self._stopped.get(event, False)

    def sold(self, event: EventId) -> int:
        """Places sold, as Redis showed them a moment ago. To show, never to decide."""
        found = self._registry.events.get(event)
        return 0 if found is None else found.sold

    def is_behind(self, event: EventId) -> bool:
        """Whether others may have gone on to another sheet seconds ago, and this process cannot.

        By an old sheet nobody new may join: what it says of the draw may not hold any more (``sale_sheet.BEHIND``).
        """
        now = self._clock()
        return now - min(self._read_at, self._behind.get(event, now)) > _BORNE_SECONDS

    async def stands(self, event: EventId) -> bool:
        """Whether the event is served, and its object was not deleted a moment ago."""
        sheet = self._sheets.get(event)
        return sheet is not None and sheet.version > await self._source.deleted_up_to(event)

    async def restore(self) -> None:
        """Begin with what PostgreSQL holds. Raises OSError or PostgresError when it is away."""
        self._sheets = await self._archive.restore(self._only)
        await self.refresh_stops()

    async def run(self, interval: timedelta) -> None:
        """Refresh until cancelled; a store that is away is waited for, and keeps nobody from asking the other."""
        await asyncio.gather(
            every(interval, "sale sheets", self.refresh), every(interval, "stopped sales", self.refresh_stops)
        )

    async def refresh_stops(self) -> None:
        """Learn which sales are stopped. To spare work and admit nobody: PostgreSQL judges every hold by itself."""
        stopped = await self._archive.stopped()
        for event in stopped.keys() ^ self._stopped.keys():
            log.warning("sale stopped" if event in stopped else "sale goes on", extra={"event": event})
        self._paused = {
            event: sheet for event, sheet in self._paused.items() if stopped.get(event) == self._stopped.get(event)
        }
        self._stopped = stopped

    async def refresh(self) -> None:
        """Adopt every new sheet, forget deleted events, put back what Redis lost."""
        read_at = self._clock()
        self._registry = registry = await self._source.registry(self._only)
        self._read_at, self._behind = read_at, overtaken(registry, self._versions(), self._behind, read_at)
        for event in vanished(registry, self._versions()):
            await self._archive.retire(event)
            del self._sheets[event]
            log.info("event is gone", extra={"event": event})
        for sheet in await self._source.sheets(changed(registry, {**self._versions(), **self._refused})):
            await self._adopt(sheet)
        if lost := missing(registry, self._versions()):
            await self._register(lost)
        for event in unconfirmed(registry, self._versions()):
            await self._source.confirm(event, self._sheets[event].version)

    def _in_force(self, sheet: SaleSheet) -> SaleSheet:
        """The sheet as it is served: always the same object, for what is compiled from it."""
        if sheet.event not in self._stopped:
            return sheet
        paused = self._paused.get(sheet.event)
        if paused is None or paused.version != sheet.version:
            paused = self._paused[sheet.event] = as_served(sheet, is_cancelled=self._stopped[sheet.event])
        return paused

    def _versions(self) -> dict[EventId, int]:
        return {event: sheet.version for event, sheet in self._sheets.items()}

    async def _adopt(self, sheet: SaleSheet) -> None:
        """PostgreSQL first, then service, then the operator hears of it."""
        if not await self._prepare(sheet):
            return
        if not await self._archive.adopt(sheet):
            self._refused[sheet.event] = sheet.version
            log.warning("sheet of a deleted event left alone", extra={"event": sheet.event, "version": sheet.version})
            return
        self._sheets[sheet.event] = sheet
        self._behind.pop(sheet.event, None)
        self._refused.pop(sheet.event, None)
        await self._source.confirm(sheet.event, sheet.version)
        log.info("sale sheet adopted", extra={"event": sheet.event, "version": sheet.version})

    async def _register(self, lost: list[EventId]) -> None:
        """Another process may have seen a deletion of which Redis knows nothing any more."""
        standing = await self._archive.standing(lost)
        for event in set(lost).difference(standing):
            del self._sheets[event]
        if standing:
            await self._source.register(standing)
            log.warning("events registered anew: Redis had lost them", extra={"events": standing})
