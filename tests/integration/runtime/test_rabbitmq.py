"""Messages over a real broker: confirmed, applied, put back, buried, and found again after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity

from tiketi_local import rabbitmq as local_rabbitmq
from tiketi_local.world import World
from tiketi_runtime.contracts.identity import BuyerId, EventId, OrderId
from tiketi_runtime.contracts.messages import AnyMessage, OrderPlaced, encode_message
from tiketi_runtime.errors import Conflict, Unavailable
from tiketi_runtime.rabbitmq import PREFETCH, Broker, BrokerUnavailable, NobodyListens

SECONDS = 15


def placed(order: str) -> OrderPlaced:
    return OrderPlaced(
        order=OrderId(order),
        event=EventId("arena/first"),
        buyer=BuyerId("anna"),
        seats=(),
        amount=1000,
        currency="KRW",
        order_name="First",
        pay_by=datetime.now(UTC),
    )


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with Broker(amqp_url, "test") as broker:
        yield broker


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        yield channel


@pytest.fixture
async def queue(amqp_url: str) -> AsyncIterator[str]:
    """Name of a queue that only this test uses."""
    name = f"test.{uuid4().hex}"
    yield name
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        for leftover in (name, f"{name}.dead"):
            await channel.queue_delete(leftover)


async def send(broker: Broker, message: OrderPlaced) -> None:
    await broker.publish(encode_message(message), message.key, str(message.id))


async def send_when_possible(broker: Broker, message: OrderPlaced) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await send(broker, message)
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


class Inbox:
    """A handler that remembers, and fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.seen: list[str] = []
        self.first = asyncio.Event()
        self.done: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, message: AnyMessage) -> None:
        self.seen.append(message.order)
        self.first.set()
        if self.failures:
            raise self.failures.pop(0)
        self.done.put_nowait(message.order)

    async def next(self) -> str:
        async with asyncio.timeout(SECONDS):
            return await self.done.get()


@asynccontextmanager
async def consuming(
    broker: Broker, channel: AbstractChannel, queue: str, handle: Callable[[AnyMessage], Awaitable[None]]
) -> AsyncIterator[None]:
    """Consume, once the queue is there, for as long as the block lasts."""
    task = asyncio.create_task(broker.consume(queue, ["order.placed"], handle))
    try:
        await until(lambda: has_consumer(channel, queue))
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.02)


async def has_consumer(channel: AbstractChannel, queue: str) -> bool:
    try:
        declared = await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        await channel.reopen()
        return False
    return bool(declared.declaration_result.consumer_count)


async def dead_letter(channel: AbstractChannel, queue: str) -> bytes:
    async with asyncio.timeout(SECONDS):
        async with (await channel.get_queue(f"{queue}.dead")).iterator() as messages:
            message = await anext(messages)
            await message.ack()
    return message.body


async def test_a_message_reaches_its_consumer(broker: Broker, channel: AbstractChannel, queue: str) -> None:
    inbox = Inbox()
    async with consuming(broker, channel, queue, inbox):
        await send(broker, placed("a"))
        assert await inbox.next() == "a"


async def test_a_message_nobody_listens_for_is_not_taken_for_sent(broker: Broker) -> None:
    with pytest.raises(NobodyListens):
        await send(broker, placed("a"))


async def test_messages_wait_for_a_consumer_that_is_away(broker: Broker, channel: AbstractChannel, queue: str) -> None:
    inbox = Inbox()
    async with consuming(broker, channel, queue, Inbox()):
        pass
    await send(broker, placed("a"))
    async with consuming(broker, channel, queue, inbox):
        assert await inbox.next() == "a"


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("later"),
        ConnectionRefusedError(),
        asyncpg.ConnectionDoesNotExistError("the database restarts"),
        asyncpg.DeadlockDetectedError("two at once"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_puts_the_message_back(
    broker: Broker, channel: AbstractChannel, queue: str, failure: Exception
) -> None:
    inbox = Inbox(failure)
    async with consuming(broker, channel, queue, inbox):
        await send(broker, placed("a"))
        assert await inbox.next() == "a"
    assert inbox.seen == ["a", "a"]


async def test_a_message_put_back_does_not_hold_up_the_others(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    inbox = Inbox(Unavailable("later"))
    async with consuming(broker, channel, queue, inbox):
        await send(broker, placed("slow"))
        async with asyncio.timeout(SECONDS):
            await inbox.first.wait()
        await send(broker, placed("quick"))
        assert [await inbox.next(), await inbox.next()] == ["quick", "slow"]


async def test_no_more_than_the_prefetch_are_worked_on_at_once(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    working = most = 0
    done: asyncio.Queue[None] = asyncio.Queue()

    async def handle(_: AnyMessage) -> None:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0.05)
        working -= 1
        done.put_nowait(None)

    async with consuming(broker, channel, queue, handle), asyncio.timeout(SECONDS):
        await asyncio.gather(*(send(broker, placed(str(n))) for n in range(100)))
        for _ in range(100):
            await done.get()
    assert 1 < most <= PREFETCH


async def test_a_message_that_cannot_be_applied_is_buried(broker: Broker, channel: AbstractChannel, queue: str) -> None:
    message = placed("a")
    async with consuming(broker, channel, queue, Inbox(Conflict("never"))):
        await send(broker, message)
        assert await dead_letter(channel, queue) == encode_message(message)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"key": "order.unknown"}', b'{"key": "order.placed"}'])
async def test_a_message_that_cannot_be_read_is_buried(
    broker: Broker, channel: AbstractChannel, queue: str, body: bytes
) -> None:
    inbox = Inbox()
    async with consuming(broker, channel, queue, inbox):
        await broker.publish(body, "order.placed", "x")
        assert await dead_letter(channel, queue) == body
    assert inbox.seen == []


async def test_publisher_and_consumer_come_back_after_a_lost_connection(
    broker: Broker, channel: AbstractChannel, queue: str, world: World, vhost: str
) -> None:
    inbox = Inbox()
    async with consuming(broker, channel, queue, inbox):
        await send(broker, placed("a"))
        assert await inbox.next() == "a"
        await local_rabbitmq.control(world.site, "close_all_connections", "--vhost", vhost, "test")
        await send_when_possible(broker, placed("b"))
        assert await inbox.next() == "b"


async def test_a_consumer_whose_queue_was_deleted_makes_it_again(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    inbox = Inbox()
    async with consuming(broker, channel, queue, inbox):
        await channel.queue_delete(queue)
        await send_when_possible(broker, placed("b"))
        assert await inbox.next() == "b"


async def test_a_broker_that_is_away_is_said_to_be_so() -> None:
    async with Broker("amqp://guest:guest@127.0.0.1:1/", "test") as broker:
        with pytest.raises(BrokerUnavailable):
            await broker.publish(b"{}", "order.placed", "x")


async def test_a_message_under_way_at_shutdown_is_delivered_again(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    started, inbox = asyncio.Event(), Inbox()

    async def stuck(_: AnyMessage) -> None:
        started.set()
        await asyncio.sleep(60)

    async with consuming(broker, channel, queue, stuck):
        await send(broker, placed("a"))
        await asyncio.wait_for(started.wait(), SECONDS)
    async with consuming(broker, channel, queue, inbox):
        assert await inbox.next() == "a"
