"""The real line beside the model: what others than the line's own scripts write to Redis, taken from the model."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from tests.integration.ticket.queue.lines import Scene, begin, receipt_of
from tests.integration.ticket.queue.model import HOLD, ModelLine

from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId
from tiketi_services.ticket.queue.domain import LineState, Place, Turn
from tiketi_services.ticket.queue.repository import Candidates, Lines, Served
from tiketi_services.ticket.queue.terms import LineTerms


class RealLine:
    """Scripts asked as the services ask them, in the terms that the model has at that moment."""

    def __init__(self, model: ModelLine) -> None:
        self.model = model
        self._open = AsyncExitStack()

    async def begin(self, url: str) -> None:
        """Connect, and begin as after a recovery."""
        self.redis = await self._open.enter_async_context(runtime_redis.connect(url))
        self.scene = Scene(self.redis, Lines(self.redis), self.terms)
        await begin(self.redis, self.terms.event, PUBLIC)
        await self.raise_marks()
        await self.set_clock()

    async def end(self) -> None:
        """Leave nothing behind."""
        await self._forget()
        await self._open.aclose()

    @property
    def terms(self) -> LineTerms:
        return self.model.terms

    async def join(self, buyer: BuyerId, receipt: tuple[int, int] | None, *, is_new_welcome: bool) -> Place | None:
        carried = None if receipt is None else receipt_of(self.terms, buyer, *receipt)
        return await self.scene.lines.join(self.terms, self.model.order, buyer, carried, is_new_welcome=is_new_welcome)

    async def claim(self, buyer: BuyerId, seq: int, epoch: int) -> Turn:
        receipt = receipt_of(self.terms, buyer, seq, epoch)
        return await self.scene.lines.claim(self.terms, self.model.order, buyer, receipt, f"session-{buyer}")

    async def serve(self) -> Served:
        """As the admitter does: the places from the horizon on are told."""
        order, first = self.model.order, self.model.horizon + 1
        seqs = [] if order is None else order.seqs(first, max(0, order.n - first + 1))
        return await self.scene.lines.serve(self.terms, Candidates(first, seqs))

    async def sweep(self) -> int:
        return await self.scene.lines.sweep(self.terms)

    async def end_session(self, buyer: BuyerId) -> None:
        await self.scene.lines.end_session(self.terms.event, buyer)

    async def look(self) -> tuple[LineState, list[dict[str, float]]]:
        """The state; and the sorted sets waiting, returning, alive, offers, active."""
        line = self.scene.line
        pipeline = self.redis.pipeline(transaction=False)
        for key in (line.waiting, line.returning, line.alive, line.offers, self.scene.keys.active):
            pipeline.zrange(key, 0, -1, withscores=True)
        sets = [{member.decode(): score for member, score in found} for found in await pipeline.execute()]
        return await self.scene.lines.state(self.terms), sets

    # --- What others write

    async def set_clock(self) -> None:
        """The event's clock, ahead of Redis' own."""
        await self.redis.set(self.scene.keys.clock, self.model.now)

    async def tell_seats(self) -> None:
        """What orders' scripts do."""
        await self.redis.hset(self.scene.keys.counts, "taken:A", self.model.taken)
        await self.redis.delete(self.scene.keys.holding)
        if self.model.holding:
            holding: dict[Any, Any] = {**self.model.holding}
            await self.redis.zadd(self.scene.keys.holding, holding)

    async def raise_marks(self) -> None:
        limits: dict[Any, Any] = {"seq": self.model.seq_limit, "serving": self.model.serving_limit}
        await self.redis.hset(self.scene.line.limits, mapping=limits)

    async def set_rate(self) -> None:
        """What adaptive admission does."""
        if self.model.rate is None:
            await self.redis.delete(self.scene.keys.rate)
        else:
            await self.redis.hset(self.scene.keys.rate, "perMinute", self.model.rate)

    async def show_draw(self) -> None:
        if self.model.entries is not None:
            drawn: dict[Any, Any] = {"n": self.model.entries, "ready": int(self.model.order is not None)}
            await self.redis.hset(self.scene.line.draw, mapping=drawn)

    async def be_rebuilt(self, living: int) -> None:
        """What a loss and a recovery leave behind: marks, claims, sessions, draw and seats, as PostgreSQL has them."""
        await self._forget()
        await self.set_clock()
        keys, line, model = self.scene.keys, self.scene.line, self.model
        await begin(self.redis, keys.event, PUBLIC, epoch=model.epoch)
        await self.redis.set(line.seq, model.last)
        serving: dict[Any, Any] = {"horizon": model.horizon, "tokens": 0, "at": model.now}
        if living:
            serving |= {"hold_until": model.now + HOLD, "hold_living": living}
        await self.redis.hset(line.serving, mapping=serving)
        for buyer, seq in model.claimed.items():
            await self.redis.hset(line.places, buyer, seq)
            await self.redis.hset(line.claimed, buyer, f"session-{buyer}")
            if model.is_shopping(buyer):
                await self.redis.zadd(keys.active, {buyer: model.active[buyer]})
                await self.redis.hset(keys.sessions, buyer, f"session-{buyer}")
        await self.raise_marks()
        await self.show_draw()
        await self.set_rate()
        await self.tell_seats()

    async def _forget(self) -> None:
        await self.redis.delete(*[key async for key in self.redis.scan_iter(self.scene.keys.pattern)])
