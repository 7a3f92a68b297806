"""Pods of ticket around one line, and a Redis of their own that can be lost in every way there is."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

from redis.exceptions import RedisError
from tests.integration.redis_servers import (
    Endpoint,
    RedisServer,
    cluster_url,
    node_of,
    redis_cluster,
    redis_pair,
    redis_server,
    serves_all_slots,
    until,
)
from tests.integration.ticket.queue.lines import receipt_of
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys, LineKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.domain import Claim, Recovering, Standing
from tiketi_services.ticket.queue.recording import ClaimRecorder
from tiketi_services.ticket.queue.recovery.limits import Limits
from tiketi_services.ticket.queue.recovery.marks import Marks
from tiketi_services.ticket.queue.recovery.rebuild import Rebuild
from tiketi_services.ticket.queue.recovery.recoveries import Recoveries
from tiketi_services.ticket.queue.repository import ClaimArchive, Lines, Spent, UnrecordedClaims
from tiketi_services.ticket.queue.terms import LineTerms, terms_of
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Sales

_AT_ONCE: Final = 1000
CAPACITY: Final = 50_000
EVENT: Final = EventId("demo/show")


async def nothing_to_repaint(_: EventId) -> None:
    """Orders keep nothing of this event in Redis."""


@dataclass
class Pod:
    """What one process of ticket has of the queue, without its loops."""

    redis: Redis
    pool: Pool
    sales: Sales = field(init=False)
    marks: Marks = field(init=False)
    rebuild: Rebuild = field(init=False)
    recoveries: Recoveries = field(init=False)
    lines: Lines = field(init=False)
    limits: Limits = field(init=False)
    recorder: ClaimRecorder = field(init=False)

    def __post_init__(self) -> None:
        self.sales = Sales(SheetSource(self.redis), SheetArchive(self.pool))
        self.marks = Marks(self.pool)
        self.rebuild = Rebuild(self.redis)
        self.recoveries = Recoveries(self.rebuild, self.marks, self.sales, lambda event, line: None)
        self.recoveries.on_recovered = nothing_to_repaint
        self.lines = Lines(self.redis, on_loss=self.recoveries.noticed)
        self.limits = Limits(self.redis, self.marks, self.sales)
        self.recorder = ClaimRecorder(ClaimArchive(self.pool), UnrecordedClaims(self.redis), self.lines)


@dataclass
class Hall:
    """One event with its line, in a Redis of its own; and what its buyers remember."""

    redis: Redis
    pool: Pool
    pods: list[Pod]
    event: EventId
    seqs: dict[BuyerId, Seq] = field(default_factory=dict)
    """By the buyers' receipts."""
    sessions: dict[BuyerId, str] = field(default_factory=dict)
    """By the buyers' passes."""
    ended: set[BuyerId] = field(default_factory=set)
    """Who is done shopping."""

    @property
    def pod(self) -> Pod:
        return self.pods[0]

    @property
    def keys(self) -> EventKeys:
        return EventKeys(self.event)

    @property
    def line(self) -> LineKeys:
        return self.keys.line(PUBLIC)

    @property
    def terms(self) -> LineTerms:
        sale = self.pod.sales.all()[self.event]
        return terms_of(sale, sale.lines[0])

    @property
    def waiting(self) -> list[BuyerId]:
        """Who has a receipt and no pass, in order."""
        return sorted(self.seqs.keys() - self.sessions.keys(), key=self.seqs.__getitem__)

    @property
    def shopping(self) -> list[BuyerId]:
        """Who has a pass and is not done."""
        return sorted(self.sessions.keys() - self.ended, key=self.seqs.__getitem__)

    async def open(self) -> None:
        """The operator publishes the sale; every pod adopts it, one of them begins the line."""
        section = {"name": "A", "price": 99_000, "capacity": CAPACITY}
        queue = {"totalActiveUsers": CAPACITY, "newUsersPerMinute": 6_000_000, "ghostTimeout": timedelta(hours=1)}
        await publish(self.redis, a_sale("show", sections=[section], queue=queue))
        for pod in self.pods:
            await pod.sales.refresh()
        await self.recover()
        await self.pod.limits.keep_ahead()

    async def note_living(self) -> None:
        """How many wait is written to PostgreSQL now, as it is every few seconds."""
        await Limits(self.redis, self.pod.marks, self.pod.sales).keep_ahead()

    async def join(self, buyers: Iterable[BuyerId]) -> None:
        """Without receipts, as for the first time."""
        buyers = iter(buyers)
        while batch := list(islice(buyers, _AT_ONCE)):
            places = await asyncio.gather(*(self.pod.lines.join(self.terms, None, buyer) for buyer in batch))
            self.seqs |= {buyer: place.seq for buyer, place in zip(batch, places, strict=True) if place is not None}

    async def come_back(self, buyers: Sequence[BuyerId]) -> dict[BuyerId, Seq]:
        """With their receipts, one after another; answers the numbers they were told."""
        told: dict[BuyerId, Seq] = {}
        for at in range(0, len(buyers), _AT_ONCE):
            batch = buyers[at : at + _AT_ONCE]
            calls = (
                self.pod.lines.join(self.terms, None, buyer, receipt_of(self.terms, buyer, self.seqs[buyer]))
                for buyer in batch
            )
            places = await asyncio.gather(*calls)
            told |= {buyer: place.seq for buyer, place in zip(batch, places, strict=True) if place is not None}
        return told

    async def offered(self) -> set[BuyerId]:
        """Serve once; answers who has an offer."""
        await self.pod.lines.serve(self.terms)
        offers = cast(list[bytes], await self.redis.zrange(self.line.offers, 0, -1))
        return {BuyerId(buyer.decode()) for buyer in offers}

    async def claim(self, *buyers: BuyerId) -> None:
        """Spend places to which slots are offered."""
        await asyncio.gather(*map(self._claim, buyers))

    async def _claim(self, buyer: BuyerId) -> None:
        receipt = receipt_of(self.terms, buyer, self.seqs[buyer])
        turn = await self.pod.lines.claim(self.terms, None, buyer, receipt, str(uuid4()))
        assert turn.standing is Standing.ADMITTED
        assert turn.session is not None
        assert turn.until is not None
        claim = Claim(self.event, PUBLIC, turn.epoch, buyer, receipt.seq, turn.session, turn.now, turn.until)
        await self.pod.recorder.record(claim)
        self.sessions[buyer] = turn.session

    async def end(self, *buyers: BuyerId) -> None:
        """Done shopping."""
        for buyer in buyers:
            await self.pod.lines.end_session(self.event, buyer)
            await self.pod.recorder.end(self.event, buyer)
            self.ended.add(buyer)

    async def is_lost(self) -> bool:
        """Whether the next call of a buyer that reaches Redis is told so."""
        end = time.monotonic() + 10
        while True:
            try:
                await self.pod.lines.join(self.terms, None, next(iter(self.seqs), BuyerId("nobody")))
            except Recovering as error:
                return error.status == 503 and error.members["retryAfter"] > 0
            except RedisError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.05)
            else:
                return False

    async def recover(self) -> None:
        """All pods at once, each until it has reached Redis."""
        await asyncio.gather(*map(self._recover, self.pods))

    async def _recover(self, pod: Pod) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                return await pod.recoveries.step()
            except RedisError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.05)

    async def epoch(self) -> int:
        return int(await self.redis.hget(self.keys.epoch, "epoch") or 0)

    async def horizon(self) -> int:
        return await self.serving("horizon")

    async def serving(self, name: str) -> int:
        return int(await self.redis.hget(self.line.serving, name) or 0)

    async def is_shopping(self, buyer: BuyerId) -> bool:
        """Whether the buyer's pass is still good."""
        found = await self.pod.lines.session(self.event, PUBLIC, buyer, self.sessions[buyer])
        return found is not None and found.ends is not None

    async def is_spent(self, buyer: BuyerId) -> bool:
        """Whether the buyer's receipt gives no place any more."""
        receipt = receipt_of(self.terms, buyer, self.seqs[buyer])
        try:
            place = await self.pod.lines.join(self.terms, None, buyer, receipt)
        except Spent:
            return True
        return place is not None and place.standing is Standing.ADMITTED

    async def places(self) -> dict[BuyerId, int]:
        """All numbers that Redis knows."""
        places = cast(dict[bytes, bytes], await self.redis.hgetall(self.line.places))
        return {BuyerId(buyer.decode()): int(seq) for buyer, seq in places.items()}

    async def sheet(self) -> SaleSheet:
        return SaleSheet.model_validate_json(cast(bytes, await self.redis.get(self.keys.sheet)))

    async def last_seq(self) -> int:
        return int(cast(bytes, await self.redis.get(self.line.seq)))


@asynccontextmanager
async def hall(url: str, pool: Pool, *, pods: int = 2) -> AsyncIterator[Hall]:
    """A hall whose line has begun. Whatever was in the database is gone."""
    await pool.execute("TRUNCATE events, lines, line_losses, sale_sheets, claims, draws")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(runtime_redis.connect(url)) for _ in range(pods)]
        made = Hall(clients[0], pool, [Pod(client, pool) for client in clients], EVENT)
        await made.open()
        yield made


class Store(ABC):
    """A private Redis, and one way to lose it."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.url = server.url

    async def remember(self) -> None:  # noqa: B027 - most ways of losing need no preparation
        """What happens after this may be lost."""

    @abstractmethod
    async def lose(self) -> None:
        """Make Redis forget, or remember too little."""


class Flushed(Store):
    async def lose(self) -> None:
        await self.server.client.flushall()


class Emptied(Store):
    async def lose(self) -> None:
        await self.server.kill()
        self.server.forget()
        await self.server.start()


class Stale(Store):
    async def remember(self) -> None:
        await self.server.client.save()

    async def lose(self) -> None:
        await self.server.kill()
        await self.server.start()


class FailedOver(Store):
    def __init__(self, primary: RedisServer, replica: RedisServer, endpoint: Endpoint) -> None:
        super().__init__(primary)
        self._replica = replica
        self._endpoint = endpoint
        self.url = endpoint.url

    async def remember(self) -> None:
        await self.server.client.wait(1, 5000)
        await self._replica.part_from_primary()

    async def lose(self) -> None:
        await self.server.kill()
        await self._replica.promote()
        self._endpoint.lead_to(self._replica)


class OneOfThree(Store):
    """A cluster loses one of its nodes, and all that was there."""

    def __init__(self, servers: list[RedisServer]) -> None:
        super().__init__(servers[0])
        self._servers = servers
        self.url = cluster_url(servers)

    async def lose(self) -> None:
        node = await node_of(self._servers, EventKeys(EVENT).epoch)
        await node.kill()
        await node.start()
        await until(partial(serves_all_slots, self._servers))


@asynccontextmanager
async def store(kind: type[Store], folder: Path) -> AsyncIterator[Store]:
    """A store of this kind, empty."""
    if kind is FailedOver:
        async with redis_pair(folder) as (primary, replica), Endpoint(primary).listening() as endpoint:
            yield FailedOver(primary, replica, endpoint)
    elif kind is OneOfThree:
        async with redis_cluster(folder) as servers:
            yield OneOfThree(servers)
    else:
        async with redis_server(folder) as server:
            yield kind(server)
