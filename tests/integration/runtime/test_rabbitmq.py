"""Messages over a real broker: confirmed, applied, tried again, buried, and found again after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from prometheus_client import REGISTRY
from tests.integration.runtime.messages import SECONDS, Inbox, consuming, placed, send, send_when_possible, until

from tiketi_local import rabbitmq as local_rabbitmq
from tiketi_local.world import World
from tiketi_runtime import rabbitmq
from tiketi_runtime.contracts.messages import AnyMessage, encode_message
from tiketi_runtime.errors import Conflict, Unavailable
from tiketi_runtime.rabbitmq import PREFETCH, TRIES, Broker, BrokerUnavailable, Header, NobodyListens


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


async def dead_letter(channel: AbstractChannel, queue: str) -> AbstractIncomingMessage:
    async with asyncio.timeout(SECONDS):
        async with (await channel.get_queue(f"{queue}.dead")).iterator() as messages:
            message = await anext(messages)
            await message.ack()
    return message


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
async def test_a_message_that_meets_an_outage_is_tried_again(
    broker: Broker, channel: AbstractChannel, queue: str, failure: Exception
) -> None:
    inbox = Inbox(failure)
    async with consuming(broker, channel, queue, inbox):
        await send(broker, placed("a"))
        assert await inbox.next() == "a"
    assert inbox.seen == ["a", "a"]


async def test_a_message_that_waits_does_not_hold_up_the_others(
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


async def test_a_message_that_is_refused_is_buried_at_once_with_the_reason(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    message, inbox = placed("a"), Inbox(Conflict("never"))
    async with consuming(broker, channel, queue, inbox):
        await send(broker, message)
        letter = await dead_letter(channel, queue)
    assert (letter.body, letter.message_id) == (encode_message(message), str(message.id))
    assert inbox.seen == ["a"]
    headers = letter.headers
    assert (headers[Header.REASON], headers[Header.DETAIL]) == ("conflict", "never")
    assert (headers[Header.KEY], headers[Header.TRIES], headers[Header.REPLAYS]) == ("order.placed", 1, 0)
    assert datetime.fromisoformat(str(headers[Header.DIED_AT])).tzinfo is not None


async def test_an_unexpected_error_is_tried_again_before_the_message_is_buried(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    broken, inbox = KeyError("seats"), Inbox(*[KeyError("seats")] * TRIES)
    async with consuming(broker, channel, queue, inbox):
        await send(broker, placed("a"))
        letter = await dead_letter(channel, queue)
    assert inbox.seen == ["a"] * TRIES
    assert (letter.headers[Header.REASON], letter.headers[Header.DETAIL]) == ("KeyError", str(broken))


async def test_an_unexpected_error_that_passes_buries_nothing(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    inbox = Inbox(*[KeyError("seats")] * (TRIES - 1))
    async with consuming(broker, channel, queue, inbox):
        await send(broker, placed("a"))
        assert await inbox.next() == "a"


async def test_dead_letters_hold_up_nobody_behind_them(broker: Broker, channel: AbstractChannel, queue: str) -> None:
    """More of them than are worked on side by side."""
    count = 2 * PREFETCH
    inbox = Inbox(*[Conflict("never")] * count)
    async with consuming(broker, channel, queue, inbox):
        await asyncio.gather(*(send(broker, placed("bad")) for _ in range(count)))
        await send(broker, placed("good"))
        assert await inbox.next() == "good"


async def test_a_dead_letter_that_cannot_be_written_is_not_lost(
    broker: Broker, channel: AbstractChannel, queue: str
) -> None:
    """Without a place for dead letters the message goes back, and is tried again."""
    inbox = Inbox(Conflict("not yet"))
    async with consuming(broker, channel, queue, inbox):
        await channel.queue_delete(f"{queue}.dead")
        await send(broker, placed("a"))
        assert await inbox.next() == "a"


async def test_dead_letters_are_counted(
    broker: Broker, channel: AbstractChannel, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "_COUNT_SECONDS", 0.05)
    async with consuming(broker, channel, queue, Inbox(Conflict("never"))):
        await send(broker, placed("a"))

        async def is_counted() -> bool:
            return REGISTRY.get_sample_value("tiketi_dead_letters", {"queue": queue}) == 1

        await until(is_counted)
    assert REGISTRY.get_sample_value("tiketi_messages_consumed_total", {"queue": queue, "result": "dead"}) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"key": "order.unknown"}', b'{"key": "order.placed"}'])
async def test_a_message_that_cannot_be_read_is_buried(
    broker: Broker, channel: AbstractChannel, queue: str, body: bytes
) -> None:
    inbox = Inbox()
    async with consuming(broker, channel, queue, inbox):
        await broker.publish(body, "order.placed", "x")
        letter = await dead_letter(channel, queue)
    assert (letter.body, letter.headers[Header.REASON]) == (body, "unreadable")
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
