"""The event's place in Redis: its sale sheet, presale codes, its name in the registry, and the sweep when it is gone.

Everything else under the event's keys is ticket's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.redis_keys import DELETED_EVENTS, EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleContent, SaleSheet
from tiketi_runtime.redis import Redis, load_scripts

_SWEEP_BATCH = 500
_NO_BOOKS: Final[Mapping[Line, CodeBook]] = MappingProxyType({})


@dataclass(frozen=True)
class Provisioned:
    """A stored sheet and who serves it, as of ``now``."""

    version: int
    adopted: int
    """Version that ticket serves; 0 while it serves none."""
    is_begun_here: bool
    """Whether the event's line was begun on the Redis server that answers."""
    now: datetime

    @property
    def is_adopted(self) -> bool:
        """Whether ticket serves exactly this version."""
        return self.version == self.adopted

    @property
    def is_recovering(self) -> bool:
        """Whether ticket serves the event but turns buyers away, because Redis lost the line it had begun."""
        return self.adopted > 0 and not self.is_begun_here

    @property
    def since(self) -> datetime:
        """When this version was written: versions are times in ms."""
        return datetime.fromtimestamp(self.version / 1000, UTC)


@dataclass(frozen=True)
class Stored:
    """A sheet as it was found."""

    sale: SaleContent
    provisioned: Provisioned


class SaleSheets:
    """Sale sheets of all events, in Redis. Methods raise RedisError when it is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        scripts = load_scripts(redis, "tiketi_operator")
        self._provision, self._stored = scripts["provision"], scripts["stored"]

    async def now(self) -> datetime:
        """The clock that the event's scripts go by."""
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds + microseconds / 1_000_000, UTC)

    async def provision(self, content: SaleContent, books: Mapping[Line, CodeBook] = _NO_BOOKS) -> Provisioned:
        """Store codes and sheet if they are new, and register the event. Any number of times.

        Codes go first: whoever reads a sheet finds the codes that it names, or newer ones.
        """
        keys = EventKeys(content.event)
        for line, book in books.items():
            await self._store_codes(keys.line(line).codes, book)
        version, adopted, is_begun_here, now = await self._provision(
            keys=[keys.sheet, keys.sheet_version, keys.adopted, keys.epoch],
            args=[content.model_dump_json(by_alias=True)],
        )
        # Not in the script: the registry is in another cluster slot than the event.
        await self._redis.hdel(DELETED_EVENTS, content.event)
        await self._redis.sadd(EVENTS, content.event)
        return Provisioned(version, adopted, bool(is_begun_here), datetime.fromtimestamp(now / 1000, UTC))

    async def _store_codes(self, key: str, book: CodeBook) -> None:
        version = bytes.fromhex(book.version)
        if await self._redis.getrange(key, 0, len(version) - 1) != version:
            await self._redis.set(key, book.to_bytes())

    async def stored(self, event: EventId) -> Stored | None:
        """What the services were last told to sell by; None if nothing."""
        keys = EventKeys(event)
        sheet, adopted, is_begun_here, now = await self._stored(keys=[keys.sheet, keys.adopted, keys.epoch])
        if sheet is None:
            return None
        read = SaleSheet.model_validate_json(sheet)
        at = datetime.fromtimestamp(now / 1000, UTC)
        return Stored(read.content(), Provisioned(read.version, adopted, bool(is_begun_here), at))

    async def sweep(self, event: EventId) -> int:
        """Forget the event; returns how many keys there were.

        That it was deleted is noted first: ticket puts back an event that is merely missing. Then registry, sheet and
        epoch go: without them no script of ticket writes any more.
        """
        keys = EventKeys(event)
        version = int(await self._redis.get(keys.sheet_version) or 0)
        now = round((await self.now()).timestamp() * 1000)
        await self._redis.hset(DELETED_EVENTS, event, str(max(version, now)))
        await self._redis.srem(EVENTS, event)
        swept = int(await self._redis.unlink(keys.sheet, keys.sheet_version, keys.epoch, keys.adopted))
        batch: list[bytes] = []
        async for key in self._redis.scan_iter(match=keys.pattern, count=_SWEEP_BATCH):
            batch.append(key)
            if len(batch) >= _SWEEP_BATCH:
                swept += int(await self._redis.unlink(*batch))
                batch.clear()
        return swept + (int(await self._redis.unlink(*batch)) if batch else 0)
