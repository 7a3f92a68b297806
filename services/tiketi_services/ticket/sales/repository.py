"""Where sale sheets come from (Redis) and where they are kept (PostgreSQL)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.redis_keys import EVENTS, EVENTS_KNOWN, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.ticket.sales.domain import Registry

PACKAGE = "tiketi_services.ticket.sales"

log = logging.getLogger(__name__)


class SheetSource:
    """The sheets the operator writes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        scripts = load_scripts(redis, PACKAGE)
        self._found = scripts["found"]
        self._confirm = scripts["confirm"]
        self._names: list[EventId] = []

    async def registry(self, only: EventId | None = None) -> Registry:
        """What is registered, in one round trip (a second one when the set of events has changed)."""
        asked = self._names
        names, trusted, facts = await self._read(asked)
        if names != asked:
            asked = names
            names, trusted, facts = await self._read(asked)
        self._names = names
        registered = {
            event: fact for event, fact in zip(asked, facts, strict=True) if event in names and only in (None, event)
        }
        return Registry(
            versions={event: version for event, (version, _) in registered.items()},
            sold={event: sold for event, (_, sold) in registered.items()},
            is_trusted=trusted,
        )

    async def sheets(self, events: Sequence[EventId]) -> list[SaleSheet]:
        """The newest sheets of these events. One that cannot be read is left out and logged."""
        if not events:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            pipeline.get(EventKeys(event).sheet)
        documents = await pipeline.execute()
        return [
            sheet
            for event, document in zip(events, documents, strict=True)
            if document is not None and (sheet := _read_sheet(event, document)) is not None
        ]

    async def found(self, event: EventId, epoch: int) -> int:
        """Begin the line of a new event on this Redis server; returns the epoch in force, 0 if the event is gone."""
        keys = EventKeys(event)
        return int(await self._found(keys=[keys.epoch, keys.sheet], args=[epoch]))

    async def confirm(self, event: EventId, version: int) -> None:
        """Tell the operator that this version is served."""
        keys = EventKeys(event)
        await self._confirm(keys=[keys.adopted, keys.sheet], args=[version])

    async def trust_registry(self) -> None:
        """Every event we know is registered: from now on a missing one was deleted."""
        await self._redis.set(EVENTS_KNOWN, 1)

    async def _read(self, events: Sequence[EventId]) -> tuple[list[EventId], bool, list[tuple[int, int]]]:
        """What is registered, whether that can be trusted, and (version, places sold) of each of ``events``."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.smembers(EVENTS)
        pipeline.exists(EVENTS_KNOWN)
        for event in events:
            pipeline.get(EventKeys(event).sheet_version)
            pipeline.hget(EventKeys(event).counts, "sold")
        registered, trusted, *facts = await pipeline.execute()
        return (
            sorted(EventId(name.decode()) for name in registered),
            bool(trusted),
            [(int(version or 0), int(sold or 0)) for version, sold in zip(facts[::2], facts[1::2], strict=True)],
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """What PostgreSQL knows of an event's line."""

    epoch: int
    is_founded: bool
    """False for a new event, or one that was deleted and made again: its line begins now."""


class SheetArchive:
    """Every sheet ever served, and the events themselves; rows of deleted events stay."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def restore(self, only: EventId | None = None) -> dict[EventId, SaleSheet]:
        """The newest sheet of every event that is not deleted and whose line has begun."""
        rows = await self._pool.fetch(self._sql["restore"], only)
        sheets = (_read_sheet(row["event"], row["content"]) for row in rows)
        return {sheet.event: sheet for sheet in sheets if sheet is not None}

    async def adopt(self, sheet: SaleSheet) -> Entry:
        """Keep the sheet, its event and its lines, in one transaction."""
        content = sheet.model_dump(mode="json", by_alias=True)
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(self._sql["adopt_event"], sheet.event, sheet.uid)
            await connection.execute(self._sql["adopt_sheet"], sheet.event, sheet.version, content)
            await connection.execute(
                self._sql["adopt_lines"], sheet.event, [line.name for line in sheet.lines], row["epoch"]
            )
        return Entry(row["epoch"], row["is_founded"])

    async def founded(self, event: EventId, epoch: int) -> None:
        """The line of the event has begun, with this epoch."""
        await self._pool.execute(self._sql["founded"], event, epoch)

    async def retire(self, event: EventId) -> None:
        """The event was deleted."""
        await self._pool.execute(self._sql["retire"], event)


def _read_sheet(event: EventId, document: object) -> SaleSheet | None:
    try:
        if isinstance(document, bytes):
            return SaleSheet.model_validate_json(document)
        return SaleSheet.model_validate(document)
    except ValidationError as error:
        log.error("sale sheet cannot be read", extra={"event": event, "error": str(error)})
        return None
