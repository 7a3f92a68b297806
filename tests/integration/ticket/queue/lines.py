"""One line of one event on a real Redis, as tests use it: small numbers, short times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from tests.integration.ticket.sales.a_sale import build_memory

from tiketi_runtime.contracts.draw import Draw
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys, LineKeys
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.domain import LineState, Place, Receipt, Turn
from tiketi_services.ticket.queue.repository import Candidates, Lines, Served
from tiketi_services.ticket.queue.terms import LineTerms

HOUR = 3_600_000
FAR = 1_000_000
"""A mark that no test reaches."""
ANNA, BORIS, CARLA, DORA = (BuyerId(name) for name in ("anna", "boris", "carla", "dora"))


def open_terms(event: EventId, now: int, **changes: Any) -> LineTerms:
    """A line that opened a minute ago, for an hour, with no limit that matters."""
    terms = LineTerms(
        event=event,
        line=PUBLIC,
        lines=(PUBLIC,),
        joins_from=now - 120_000,
        draw_at=0,
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


async def begin(redis: Redis, event: EventId, *lines: Line, epoch: int = 1, seq: int = FAR, serving: int = FAR) -> None:
    """What a recovery leaves behind: an event that goes on here, with room up to these marks."""
    keys = EventKeys(event)
    await build_memory(redis, event, epoch)
    for line in lines:
        await redis.hset(keys.line(line).limits, mapping={"seq": seq, "serving": serving})


def receipt_of(terms: LineTerms, buyer: BuyerId, seq: int, epoch: int = 1) -> Receipt:
    return Receipt(terms.event, terms.line, epoch, Seq(seq), buyer, "nonce", 0)


@dataclass
class Scene:
    """A line with its terms; ``change`` alters them, as the organiser would."""

    redis: Redis
    lines: Lines
    terms: LineTerms
    places: dict[BuyerId, Place] = field(default_factory=dict)
    order: Draw | None = None
    """The order that was drawn, once this process knows it."""

    @property
    def keys(self) -> EventKeys:
        return EventKeys(self.terms.event)

    @property
    def line(self) -> LineKeys:
        return self.keys.line(self.terms.line)

    def change(self, **changes: Any) -> None:
        self.terms = replace(self.terms, **changes)

    async def join(self, *buyers: BuyerId) -> Place:
        """Let them join one after another; answers the last one's place."""
        for buyer in buyers:
            place = await self.lines.join(self.terms, self.order, buyer)
            assert place is not None
            self.places[buyer] = place
        return self.places[buyers[-1]]

    async def present(self, buyer: BuyerId, seq: int, epoch: int = 1) -> Place | None:
        """Join with a receipt and nothing else: no new place is given."""
        receipt = receipt_of(self.terms, buyer, seq, epoch)
        place = await self.lines.join(self.terms, self.order, buyer, receipt, is_new_welcome=False)
        if place is not None:
            self.places[buyer] = place
        return place

    async def serve(self) -> int:
        """Serve once, a moment after whatever was before; answers how many slots were offered."""
        return (await self.serve_with(Candidates())).offered

    async def serve_with(self, candidates: Candidates) -> Served:
        await until_redis_time_passes(self.redis, 1)
        return await self.lines.serve(self.terms, candidates)

    async def claim(self, buyer: BuyerId, session: str | None = None) -> Turn:
        place = self.places[buyer]
        receipt = receipt_of(self.terms, buyer, place.seq, place.epoch)
        return await self.lines.claim(self.terms, self.order, buyer, receipt, session or f"session-of-{buyer}")

    async def state(self) -> LineState:
        return await self.lines.state(self.terms)

    async def horizon(self) -> int:
        return (await self.state()).horizon

    async def leave(self, buyer: BuyerId) -> bool:
        return (await self.lines.leave(self.terms.event, self.terms.line, buyer)).was_there

    async def beat(self, *buyers: BuyerId) -> list[BuyerId]:
        shown = [(buyer, Seq(0)) for buyer in buyers]
        return list((await self.lines.heartbeat(self.terms.event, self.terms.line, shown)).absent)

    async def count(self, name: str) -> int:
        return int(await self.redis.hget(self.keys.counts, name) or 0)

    async def living(self) -> set[int]:
        """Seqs of those who wait, as positions are counted from them."""
        return bits_of((await self.state()).living)


def bits_of(bitmap: bytes) -> set[int]:
    return {8 * at + bit for at, byte in enumerate(bitmap) for bit in range(8) if byte & 0x80 >> bit}


async def redis_now(redis: Redis) -> int:
    """ms"""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def later(scene: Scene, ms: int) -> None:
    """Let time of the event go on at once: no script sees less than this any more."""
    latest = int(await scene.redis.get(scene.keys.clock) or 0)
    await scene.redis.set(scene.keys.clock, max(latest, await redis_now(scene.redis)) + ms)


async def until_redis_time_passes(redis: Redis, ms: int) -> None:
    """Wait until Redis' clock has moved on by more than ``ms``."""
    left = ms
    end = await redis_now(redis) + ms
    while left >= 0:
        await asyncio.sleep(left / 1000 + 0.001)
        left = end - await redis_now(redis)


async def offer(scene: Scene, *buyers: BuyerId) -> None:
    """Offer slots to exactly these, whatever rate and slots say; the horizon goes up to the last of them."""
    for buyer in buyers:
        seq = scene.places[buyer].seq
        await scene.redis.zrem(scene.line.waiting, buyer)
        await scene.redis.zadd(scene.line.offers, {buyer: await redis_now(scene.redis) + scene.terms.claim_window})
        await scene.redis.setbit(scene.line.living, seq, 0)
        await scene.redis.hset(scene.line.serving, mapping={"horizon": seq, "at": await redis_now(scene.redis)})


async def pretend_last_service_was(scene: Scene, ms: int) -> None:
    await scene.redis.hset(scene.line.serving, "at", await redis_now(scene.redis) - ms)


async def allow(scene: Scene, number: int) -> None:
    """Let so many slots be offered and claimed next, and no more for a while."""
    scene.change(per_minute=30 * number)  # both buckets hold what comes in two seconds
    now = await redis_now(scene.redis)
    await scene.redis.hset(scene.line.serving, mapping={"tokens": number, "claims": number, "at": now})
