"""Ticket, payment and stats on their own databases, with nothing between them but a broker that may break."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import aio_pika
from tests.integration.runtime.messages import has_consumer
from tests.integration.ticket.orders.box_office import EVENT, Stage
from tests.invariants import undelivered

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, SeatId
from tiketi_runtime.contracts.messages import parse_message
from tiketi_runtime.outbox import OutboxRelay
from tiketi_runtime.postgres import Pool
from tiketi_runtime.rabbitmq import EXCHANGE, Broker
from tiketi_services.payment.consumers import consume as consume_in_payment
from tiketi_services.payment.domain import CloseStatus, Order, VendorCall, new_vendor_order_id
from tiketi_services.payment.refunds_book import RefundsBook
from tiketi_services.payment.repository import Payments
from tiketi_services.stats.consumers import consume as consume_in_stats
from tiketi_services.stats.repository import Orders
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.consumers import consume as consume_in_ticket
from tiketi_services.ticket.queue.pace.answers import Answers

TAP = "test.tap"
QUEUES = ("ticket.payments", "payment.orders", "stats.sales")
DRAINED_SECONDS = 60
RELAYS = 2
"""Of each service: as with two pods."""


@dataclass
class Circuit:
    """The three services, and what the tests do to them."""

    stage: Stage
    payment_pool: Pool
    stats_pool: Pool
    amqp_url: str
    seats: int = 0

    @property
    def payments(self) -> Payments:
        return Payments(self.payment_pool)

    @property
    def outboxes(self) -> Sequence[Pool]:
        return self.stage.pool, self.payment_pool

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        """All three apply what reaches them. Their queues are there: what was sent before, they would never hear."""
        async with AsyncExitStack() as stack:
            ticket, payment, stats = [
                await stack.enter_async_context(Broker(self.amqp_url, name)) for name in ("ticket", "payment", "stats")
            ]
            async with _running(
                consume_in_ticket(self.stage.office, Answers(), ticket),
                consume_in_payment(payment, self.payments, RefundsBook(self.payment_pool)),
                consume_in_stats(stats, Orders(self.stats_pool)),
            ):
                await self._until_bound()
                yield

    async def _until_bound(self) -> None:
        async with (
            asyncio.timeout(DRAINED_SECONDS),
            await aio_pika.connect(self.amqp_url) as connection,
            connection.channel() as channel,
        ):
            for queue in QUEUES:
                while not await has_consumer(channel, queue):  # noqa: ASYNC110 - the broker tells nobody
                    await asyncio.sleep(0.05)

    @asynccontextmanager
    async def relaying(self, amqp_url: str | None = None) -> AsyncIterator[list[Broker]]:
        """Both outboxes are emptied, each by several relays."""
        async with AsyncExitStack() as stack:
            brokers: list[Broker] = []
            for pool in self.outboxes:
                for _ in range(RELAYS):
                    broker = await stack.enter_async_context(Broker(amqp_url or self.amqp_url, "test"))
                    await stack.enter_async_context(_running(OutboxRelay(pool, broker).run()))
                    brokers.append(broker)
            yield brokers

    async def sell(self, count: int) -> None:
        """So many buyers order: most pay, some after a refusal, some give up. Neither needs the broker."""
        await asyncio.gather(*(self._buy(number) for number in range(count)))

    async def _buy(self, number: int) -> None:
        self.seats += 1
        buyer, seat = BuyerId(str(uuid4())), SeatId(f"ST-{self.seats:04}")
        hold = await self.stage.hold(buyer, seat, line=PUBLIC)
        placed = await usecases.place_order(self.stage.office, EVENT, buyer, hold.id, str(uuid4()))
        order = Order(
            UUID(placed.id), placed.event, placed.buyer, placed.amount, placed.currency, placed.name, placed.pay_by
        )
        if number % 4 == 0:  # gives up, before payment may have heard of the order
            assert await self.payments.close(order.order_id) is CloseStatus.CLOSED
            assert await self.stage.office.book.close(placed.id) is not None
            return
        await self.payments.learn(order)
        if number % 4 == 1:
            await self._pay(order, "", is_refused=True)
        await self._pay(order, self.stage.outcome(placed, paymentKey=f"key-{order.order_id}"), is_refused=False)

    async def _pay(self, order: Order, outcome: str, *, is_refused: bool) -> None:
        name, call = new_vendor_order_id(), VendorCall(timedelta(seconds=1), is_fault=False)
        key = str(uuid4()) if is_refused else f"key-{order.order_id}"
        assert await self.payments.open_attempt(uuid4(), order.order_id, name)
        attempt = await self.payments.begin_confirm(name, order.buyer, key, order.amount, timedelta(minutes=1))
        assert attempt is not None
        if is_refused:
            assert await self.payments.refuse(attempt, "REJECT_CARD_PAYMENT", call)
        else:
            assert await self.payments.settle(attempt, outcome, call)

    async def unsent(self) -> int:
        counts = [await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL") for pool in self.outboxes]
        return int(sum(counts))

    async def send_all_again(self, seed: int) -> None:
        """As if no confirm had ever come back, and in any order."""
        await self.stage.pool.execute("SELECT setseed($1)", seed / 1000)
        for pool in self.outboxes:
            await pool.execute("UPDATE outbox SET sent_at = NULL, created_at = created_at + random() * interval '1 s'")

    async def faults(self) -> list[str]:
        return await undelivered(self.stage.pool, self.payment_pool, self.stats_pool)

    async def at_rest(self) -> None:
        """Everything has been delivered, to the end, and exactly once."""
        faults = ["not looked at"]
        try:
            async with asyncio.timeout(DRAINED_SECONDS):
                while faults:
                    await asyncio.sleep(0.2)
                    faults = await self.faults()
        except TimeoutError:
            raise AssertionError(faults[:20]) from None
        await asyncio.sleep(0.5)  # whatever comes twice
        assert await self.faults() == []

    @asynccontextmanager
    async def tapped(self) -> AsyncIterator[Callable[[], Awaitable[dict[str, list[UUID]]]]]:
        """Everything that is published from here on: ids by order, as they came."""
        async with await aio_pika.connect(self.amqp_url) as connection, connection.channel() as channel:
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            tap = await channel.declare_queue(TAP, durable=True, arguments={"x-queue-type": "quorum"})
            await tap.bind(exchange, routing_key="#")
        yield self._tapped
        async with await aio_pika.connect(self.amqp_url) as connection, connection.channel() as channel:
            await channel.queue_delete(TAP)

    async def _tapped(self) -> dict[str, list[UUID]]:
        heard: dict[str, list[UUID]] = defaultdict(list)
        async with await aio_pika.connect(self.amqp_url) as connection, connection.channel() as channel:
            tap = await channel.get_queue(TAP)
            while (message := await tap.get(fail=False, no_ack=True)) is not None:
                heard[parse_message(message.body).order].append(UUID(message.message_id))
        return heard

    async def assert_in_order(self, heard: dict[str, list[UUID]]) -> None:
        """Each service's messages about an order came first in the sequence in which they were committed."""
        for pool in self.outboxes:
            rows = await pool.fetch("SELECT id, body ->> 'order' AS of FROM outbox ORDER BY created_at")
            written: dict[str, list[UUID]] = defaultdict(list)
            for row in rows:
                written[row["of"]].append(row["id"])
            for order, ids in written.items():
                first = list(dict.fromkeys(id_ for id_ in heard[order] if id_ in ids))
                assert first == ids


@asynccontextmanager
async def _running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
        assert not [task for task in tasks if task.done()], "a loop ended by itself"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Wire:
    """A TCP connection to the broker that can swallow its answers, or be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._writers: list[asyncio.StreamWriter] = []
        self.swallows = False

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        """Listen; gives the port."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(*self._to)
        self._writers += [writer, requests]
        await asyncio.gather(self._pump(reader, requests, is_answer=False), self._pump(answers, writer, is_answer=True))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while data := await reader.read(1 << 16):
                if not (is_answer and self.swallows):
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        writer.close()


def pauses(seed: int, count: int) -> list[float]:
    """Seeded: the same each time."""
    chance = random.Random(seed)
    return [chance.uniform(0.05, 0.4) for _ in range(count)]
