"""One line of one event on a real Redis, as tests use it: small numbers, short times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.domain import LineTerms, Place, Turn
from tiketi_services.ticket.queue.repository import Lines

HOUR = 3_600_000
ANNA, BORIS, CARLA, DORA = (BuyerId(name) for name in ("anna", "boris", "carla", "dora"))


def open_terms(event: EventId, now: int, **changes: Any) -> LineTerms:
    """A line that opened a minute ago, for an hour, with no limit that matters."""
    terms = LineTerms(
        event=event,
        line=PUBLIC,
        lines=(PUBLIC,),
        joins_from=now - 120_000,
        opens=now - 60_000,
        closes=now + HOUR,
        per_minute=6_000_000,
        slots=1000,
        stock=1000,
        sections=("A",),
        session=HOUR,
        claim_window=HOUR,
        ghost_timeout=HOUR,
        is_paused=False,
        takes_new=True,
    )
    return replace(terms, **changes)


@dataclass
class Scene:
    """A line with its terms; ``change`` alters them, as the organiser would."""

    redis: Redis
    lines: Lines
    terms: LineTerms
    places: dict[BuyerId, Place] = field(default_factory=dict)

    @property
    def keys(self) -> EventKeys:
        return EventKeys(self.terms.event)

    def change(self, **changes: Any) -> None:
        self.terms = replace(self.terms, **changes)

    async def join(self, *buyers: BuyerId) -> Place:
        """Let them join one after another; answers the last one's place."""
        for buyer in buyers:
            self.places[buyer] = await self.lines.join(self.terms, buyer)
        return self.places[buyers[-1]]

    async def serve(self) -> int:
        """Serve once, a moment after whatever was before; answers how many slots were offered."""
        await until_redis_time_passes(self.redis, 1)
        return (await self.lines.serve(self.terms)).offered

    async def claim(self, buyer: BuyerId, session: str | None = None) -> Turn:
        place = self.places[buyer]
        return await self.lines.claim(self.terms, buyer, place.seq, place.epoch, session or f"session-of-{buyer}")

    async def horizon(self) -> Seq:
        return (await self.lines.state(self.terms.event, self.terms.line)).horizon

    async def leave(self, buyer: BuyerId) -> bool:
        return await self.lines.leave(self.terms.event, self.terms.line, buyer)

    async def beat(self, *buyers: BuyerId) -> list[BuyerId]:
        return await self.lines.heartbeat(self.terms.event, self.terms.line, buyers)

    async def count(self, name: str) -> int:
        return int(await self.redis.hget(self.keys.counts, name) or 0)


async def redis_now(redis: Redis) -> int:
    """ms"""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def until_redis_time_passes(redis: Redis, ms: int) -> None:
    """Wait until Redis' clock has moved on by more than ``ms``."""
    left = ms
    end = await redis_now(redis) + ms
    while left >= 0:
        await asyncio.sleep(left / 1000 + 0.001)
        left = end - await redis_now(redis)
