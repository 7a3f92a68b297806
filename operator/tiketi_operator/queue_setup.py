"""The event's place in Redis: its sale sheet, its name in the registry, and the sweep when it is gone.

Everything else under the event's keys is ticket's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleContent, SaleSheet
from tiketi_runtime.redis import Redis, load_scripts

_SWEEP_BATCH = 500


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

    async def provision(self, content: SaleContent) -> Provisioned:
        """Store the sheet if it is new, and register the event. Any number of times."""
        keys = EventKeys(content.event)
        version, adopted, is_begun_here, now = await self._provision(
            keys=[keys.sheet, keys.sheet_version, keys.adopted, keys.epoch],
            args=[content.model_dump_json(by_alias=True)],
        )
        # Not in the script: the registry is in another cluster slot than the event.
        await self._redis.sadd(EVENTS, content.event)
        return Provisioned(version, adopted, bool(is_begun_here), datetime.fromtimestamp(now / 1000, UTC))

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

        Registry, sheet and epoch go first: without them no script of ticket writes any more.
        """
        keys = EventKeys(event)
        await self._redis.srem(EVENTS, event)
        swept = int(await self._redis.unlink(keys.sheet, keys.sheet_version, keys.epoch, keys.adopted))
        batch: list[bytes] = []
        async for key in self._redis.scan_iter(match=keys.pattern, count=_SWEEP_BATCH):
            batch.append(key)
            if len(batch) >= _SWEEP_BATCH:
                swept += int(await self._redis.unlink(*batch))
                batch.clear()
        return swept + (int(await self._redis.unlink(*batch)) if batch else 0)
