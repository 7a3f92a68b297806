"""What the tests of messages over a real broker have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity

from tiketi_runtime.contracts.identity import BuyerId, EventId, OrderId
from tiketi_runtime.contracts.messages import AnyMessage, OrderPlaced, encode_message
from tiketi_runtime.rabbitmq import Broker, BrokerUnavailable

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


async def until(condition: Callable[[], Awaitable[object]], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.02)


async def has_consumer(channel: AbstractChannel, queue: str) -> bool:
    try:
        declared = await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        await channel.reopen()
        return False
    return bool(declared.declaration_result.consumer_count)
