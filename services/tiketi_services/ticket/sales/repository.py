"""Where sale sheets come from (Redis) and where they are kept (PostgreSQL)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.redis_keys import DELETED_EVENTS, EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.ticket.sales.domain import Registered, Registry

PACKAGE = "tiketi_services.ticket.sales"

log = logging.getLogger(__name__)


class SheetSource:
    """The sheets the operator writes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._confirm = load_scripts(redis, PACKAGE)["confirm"]
        self._names: list[EventId] = []

    async def registry(self, only: EventId | None = None) -> Registry:
        """What is registered, in one round trip (a second one when the set of events has changed)."""
        asked = self._names
        names, deleted, facts = await self._read(asked)
        if names != asked:
            asked = names
            names, deleted, facts = await self._read(asked)
        self._names = names
        return Registry(
            events={
                event: fact
                for event, fact in zip(asked, facts, strict=True)
                if event in names and only in (None, event)
            },
            deleted=deleted,
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

    async def confirm(self, event: EventId, version: int) -> None:
        """Tell the operator that this version is served, once the event's memory is built."""
        keys = EventKeys(event)
        await self._confirm(keys=[keys.adopted, keys.sheet, keys.epoch], args=[version])

    async def deleted_up_to(self, event: EventId) -> int:
        """Version up to which the event's sheets are void, because its object was deleted; 0 if it was not."""
        return int(await self._redis.hget(DELETED_EVENTS, event) or 0)

    async def register(self, events: Iterable[EventId]) -> None:
        """Put back events that Redis lost."""
        await self._redis.sadd(EVENTS, *events)

    async def _read(self, events: Sequence[EventId]) -> tuple[list[EventId], dict[EventId, int], list[Registered]]:
        """What is registered, what was deleted, and what Redis says of each of ``events``.

        In this order: the operator notes a deletion before it takes the event out of the registry.
        """
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.smembers(EVENTS)
        pipeline.hgetall(DELETED_EVENTS)
        for event in events:
            keys = EventKeys(event)
            pipeline.get(keys.sheet_version)
            pipeline.get(keys.adopted)
            pipeline.hget(keys.counts, "sold")
        registered, deleted, *facts = await pipeline.execute()
        return (
            sorted(EventId(name.decode()) for name in registered),
            {EventId(name.decode()): int(version) for name, version in deleted.items()},
            [
                Registered(int(version or 0), int(adopted or 0), int(sold or 0))
                for version, adopted, sold in zip(facts[::3], facts[1::3], facts[2::3], strict=True)
            ],
        )


class SheetArchive:
    """Every sheet ever served, and the events themselves; rows of deleted events stay."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def restore(self, only: EventId | None = None) -> dict[EventId, SaleSheet]:
        """The newest sheet of every event that is not deleted."""
        rows = await self._pool.fetch(self._sql["restore"], only)
        sheets = (_read_sheet(row["event"], row["content"]) for row in rows)
        return {sheet.event: sheet for sheet in sheets if sheet is not None}

    async def stopped(self) -> Mapping[EventId, bool]:
        """Events whose sale was stopped; whether because they are cancelled, or else its books do not agree."""
        return {EventId(row["event"]): row["is_cancelled"] for row in await self._pool.fetch(self._sql["stopped"])}

    async def is_known(self, event: EventId) -> bool:
        """Whether the event was ever on sale, deleted or not."""
        return bool(await self._pool.fetchval(self._sql["is_known"], event))

    async def adopt(self, sheet: SaleSheet) -> bool:
        """Keep the sheet, its event and its lines, in one transaction; False if the event was deleted since."""
        content = sheet.model_dump(mode="json", by_alias=True)
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchrow(self._sql["adopt_event"], sheet.event, sheet.uid, sheet.version) is None:
                return False
            await connection.execute(self._sql["adopt_sheet"], sheet.event, sheet.version, content)
            await connection.execute(self._sql["adopt_lines"], sheet.event, [line.name for line in sheet.lines])
        return True

    async def standing(self, events: Iterable[EventId]) -> list[EventId]:
        """Which of these are not deleted."""
        return [row["event"] for row in await self._pool.fetch(self._sql["standing"], list(events))]

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
