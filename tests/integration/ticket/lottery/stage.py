"""A sale whose order is drawn, on real stores, with as many pods as a test likes."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from tests.integration.ticket.sales.a_sale import a_sale

from tiketi_local.beacon import Simulator
from tiketi_runtime.contracts.beacon import known_chains, round_after
from tiketi_runtime.contracts.draw import Draw, DrawKey, entry_leaf, hole_leaf
from tiketi_runtime.contracts.draw_file import DrawNotice, SignedFacts
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import BeaconSheet, LineSheet, SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.queue.lottery.beacon import Beacons
from tiketi_services.ticket.queue.lottery.drawing import Drawing
from tiketi_services.ticket.queue.lottery.draws import DrawArchive, DrawRecord, Draws, Entries

DRAW_KEY = DrawKey(bytes(range(32)))


@dataclass
class Sheets:
    """The sheets in force."""

    sheets: dict[EventId, SaleSheet] = field(default_factory=dict)

    def all(self) -> Mapping[EventId, SaleSheet]:
        return self.sheets


@dataclass
class Pod:
    """One process' view of the draws."""

    draws: Draws
    drawing: Drawing

    async def step(self) -> None:
        await self.drawing.step()


@dataclass
class Stage:
    """One event."""

    redis: Redis
    pool: Pool
    signer: TokenSigner
    http: aiohttp.ClientSession
    simulator: Simulator
    event: EventId
    relays: list[str] = field(default_factory=list)
    sales: Sheets = field(default_factory=Sheets)

    @property
    def keys(self) -> EventKeys:
        return EventKeys(self.event)

    @property
    def line(self) -> LineSheet:
        return self.sales.sheets[self.event].lines[0]

    def announce(
        self, *, draw_in: timedelta = timedelta(seconds=-1), version: int = 1, beacon: BeaconSheet | None = None
    ) -> None:
        """The organiser's sheet: a lottery whose entries close in ``draw_in``."""
        now = datetime.now(UTC)
        opens_at = now + max(draw_in, timedelta(0)) + timedelta(seconds=30)
        line = {
            "name": "public",
            "opensAt": opens_at,
            "closesAt": opens_at + timedelta(hours=1),
            "sections": ["A"],
            "drawAt": now + draw_in,
            "beacon": beacon,
        }
        name = self.event.partition("/")[2]
        self.sales.sheets[self.event] = a_sale(name, version=version, lines=[line], queue={"method": "lottery"})

    def next_round(self, after: timedelta = timedelta(0)) -> BeaconSheet:
        """The first round that is published later than ``after`` from now."""
        number = round_after(self.simulator.chain, datetime.now(UTC) + after)
        return BeaconSheet(chain=self.simulator.chain.hash, round=number)

    def pod(
        self,
        key: DrawKey = DRAW_KEY,
        archive: DrawArchive | None = None,
        entries: Entries | None = None,
        patience: timedelta = timedelta(seconds=20),
    ) -> Pod:
        archive = archive or DrawArchive(self.pool)
        draws = Draws(archive, key)
        beacons = Beacons(self.http, self.relays, known_chains([self.simulator.info()]))
        drawing = Drawing(self.sales, draws, archive, entries or Entries(self.redis), beacons, self.signer, patience)
        return Pod(draws, drawing)

    async def begin(self, epoch: int = 1) -> None:
        """What a recovery leaves behind."""
        server = await self.redis.info("server")
        await self.redis.hset(self.keys.epoch, mapping={"epoch": epoch, "run_id": server["run_id"]})

    async def join(self, *buyers: str, since: int = 0) -> None:
        """Buyers of the numbers after ``since``."""
        names = self.keys.line(PUBLIC)
        for number, buyer in enumerate(buyers, start=since + 1):
            await self.redis.hset(names.places, buyer, number)
            await self.redis.zadd(names.waiting, {buyer: number})
        await self.redis.set(names.seq, since + len(buyers))

    async def lose_redis(self) -> None:
        """All of the event's memory, and nothing else."""
        await self.redis.delete(*[key async for key in self.redis.scan_iter(self.keys.pattern)])

    async def notice(self) -> DrawNotice:
        """What Redis shows of the draw."""
        document = await self.redis.hget(self.keys.draws, "public")
        assert document is not None
        return DrawNotice.of_json(document)

    async def latch(self) -> dict[bytes | str, bytes | str]:
        """What scripts see of the draw."""
        return await self.redis.hgetall(self.keys.line(PUBLIC).draw)

    async def record(self) -> DrawRecord:
        [record] = await DrawArchive(self.pool).records([self.event])
        return record

    async def facts(self) -> SignedFacts:
        facts = (await self.record()).facts
        assert facts is not None
        return facts

    async def leaves(self, n: int) -> list[bytes]:
        return await DrawArchive(self.pool).leaves(self.event, PUBLIC, 0, max(1, n))

    def leaf(self, seq: int, buyer: str | None) -> bytes:
        number = Seq(seq)
        if buyer is None:
            return hole_leaf(self.event, PUBLIC, number)
        nonce = DRAW_KEY.nonce(self.event, PUBLIC, number, BuyerId(buyer))
        return entry_leaf(self.event, PUBLIC, number, BuyerId(buyer), nonce)


def order_of(draw: Draw | None) -> list[int]:
    """All numbers by place."""
    assert draw is not None
    return list(draw.order())


def names(count: int) -> list[str]:
    return [str(uuid.UUID(int=number)) for number in range(1, count + 1)]


class Crash(Exception):
    """The process ends here."""


class Crashing:
    """Hands on every call until the ``fatal``-th, which it does not begin, or begins and never answers."""

    def __init__(self, fatal: int, *, after: bool) -> None:
        self.calls = 0
        self._fatal = fatal
        self._after = after

    def wrap(self, store: Any) -> Any:
        for name in dir(type(store)):
            method = getattr(store, name)
            if not name.startswith("_") and callable(method) and name != "turn":
                setattr(store, name, self._wrapped(method))
        return store

    def _wrapped(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > self._fatal or (self.calls == self._fatal and not self._after):
                raise Crash
            answer = await method(*args, **kwargs)
            if self.calls == self._fatal:
                raise Crash
            return answer

        return call
