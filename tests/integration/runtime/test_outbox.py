"""What is committed leaves once at least, and is applied once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import aio_pika
import pytest
from prometheus_client import REGISTRY

from tiketi_runtime import outbox, postgres
from tiketi_runtime.contracts.identity import EventId, OrderId
from tiketi_runtime.contracts.messages import OrderClosed, PaymentRefused, parse_message
from tiketi_runtime.outbox import KEEP_APPLIED, KEEP_SENT, Housekeeping, OutboxRelay
from tiketi_runtime.rabbitmq import EXCHANGE, Broker, BrokerUnavailable

MakeDatabase = Callable[[str], Awaitable[str]]

TABLES = """
CREATE TABLE outbox (
  id uuid PRIMARY KEY, key text NOT NULL, body jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(), sent_at timestamptz);
CREATE INDEX outbox_unsent ON outbox (created_at) WHERE sent_at IS NULL;
CREATE INDEX outbox_unsent_of_order ON outbox ((body ->> 'order'), created_at) WHERE sent_at IS NULL;
CREATE INDEX outbox_by_age ON outbox USING brin (created_at);
CREATE TABLE inbox (
  id uuid PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp());
"""


@pytest.fixture
async def pool(database: MakeDatabase) -> AsyncIterator[postgres.Pool]:
    async with await postgres.connect(await database("ticket")) as pool:
        await pool.execute(TABLES)
        yield pool


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with Broker(amqp_url, "test") as broker:
        yield broker


@pytest.fixture
async def arrived(amqp_url: str) -> AsyncIterator[asyncio.Queue[UUID]]:
    """Ids of the messages about closed orders, as they reach a queue."""
    ids: asyncio.Queue[UUID] = asyncio.Queue()
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, routing_key="order.closed")

        async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            ids.put_nowait(parse_message(message.body).id)

        await queue.consume(note, no_ack=True)
        yield ids


def closed() -> OrderClosed:
    return OrderClosed(order=OrderId(str(uuid4())), event=EventId("arena/첫날"), seats=())


async def put(pool: postgres.Pool, *messages: OrderClosed | PaymentRefused) -> set[UUID]:
    async with pool.acquire() as connection, connection.transaction():
        for message in messages:
            await outbox.put(connection, message)
    return {message.id for message in messages}


async def take(ids: asyncio.Queue[UUID], count: int) -> list[UUID]:
    async with asyncio.timeout(10):
        return [await ids.get() for _ in range(count)]


async def unsent(pool: postgres.Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL"))


async def test_a_committed_message_leaves_once(
    pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID]
) -> None:
    relay = OutboxRelay(pool, broker)
    expected = await put(pool, closed())
    assert await relay.relay_once() == 1
    assert await relay.relay_once() == 0
    assert set(await take(arrived, 1)) == expected
    assert arrived.empty()


async def test_a_message_of_a_transaction_that_failed_never_leaves(pool: postgres.Pool, broker: Broker) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await outbox.put(connection, closed())
        await transaction.rollback()
    assert await OutboxRelay(pool, broker).relay_once() == 0


async def test_a_transaction_that_commits_late_is_not_skipped(
    pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID]
) -> None:
    relay, late = OutboxRelay(pool, broker), closed()
    async with pool.acquire() as connection, connection.transaction():
        await outbox.put(connection, late)
        early = await put(pool, closed())
        assert await relay.relay_once() == 1
    assert await relay.relay_once() == 1
    assert set(await take(arrived, 2)) == {late.id} | early


async def test_relays_side_by_side_send_every_message_once(
    pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID]
) -> None:
    expected = await put(pool, *(closed() for _ in range(350)))
    relays = [asyncio.create_task(OutboxRelay(pool, broker).run()) for _ in range(3)]
    seen = await take(arrived, 350)
    await asyncio.sleep(0.2)
    for relay in relays:
        relay.cancel()
    await asyncio.gather(*relays, return_exceptions=True)
    assert sorted(seen) == sorted(expected)
    assert arrived.empty()
    assert await unsent(pool) == 0


async def test_a_message_nobody_listens_for_waits_and_holds_up_no_other(
    pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID]
) -> None:
    unheard = [
        PaymentRefused(order=OrderId(str(uuid4())), event=EventId("arena/first"), attempt="a", code="NO")
        for _ in range(outbox.BATCH)
    ]
    await put(pool, *unheard)
    expected = await put(pool, closed())
    relay = OutboxRelay(pool, broker)
    assert await relay.relay_once() == 0
    assert await relay.relay_once() == 1
    assert set(await take(arrived, 1)) == expected
    assert await unsent(pool) == len(unheard)


async def test_messages_of_one_order_leave_in_their_order(pool: postgres.Pool, amqp_url: str) -> None:
    """However many relays: none sends what came later while what came before has not left."""
    orders = [OrderId(str(uuid4())) for _ in range(40)]
    keys = ("payment.refused", "order.closed")
    for _ in range(3):
        for order in orders:
            refused = PaymentRefused(order=order, event=EventId("arena/first"), attempt="a", code="NO")
            await put(pool, refused, OrderClosed(order=order, event=EventId("arena/first"), seats=()))
    written = [row["id"] for row in await pool.fetch("SELECT id FROM outbox ORDER BY created_at")]
    heard: list[tuple[OrderId, UUID]] = []
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(exclusive=True)
        for key in keys:
            await queue.bind(exchange, routing_key=key)

        async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            found = parse_message(message.body)
            heard.append((found.order, found.id))

        await queue.consume(note, no_ack=True)
        async with asyncio.timeout(20):
            brokers = [Broker(amqp_url, "test") for _ in range(3)]
            relays = [asyncio.create_task(OutboxRelay(pool, broker).run()) for broker in brokers]
            while len(heard) < len(written):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.02)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        for broker in brokers:
            await broker.__aexit__(None, None, None)
    place = {message: number for number, message in enumerate(written)}
    for order in orders:
        places = [place[message] for of, message in heard if of == order]
        assert places == sorted(places)
        assert len(places) == 6


async def test_a_message_waits_for_one_of_its_order_that_another_relay_has_in_hand(
    pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID]
) -> None:
    first = closed()
    await put(pool, first)
    await put(pool, first.model_copy(update={"id": uuid4()}))
    other = await put(pool, closed())
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM outbox WHERE id = $1 FOR UPDATE", first.id)
        assert await OutboxRelay(pool, broker).relay_once() == 1
        assert set(await take(arrived, 1)) == other
    relay = OutboxRelay(pool, broker)
    assert [await relay.relay_once() for _ in range(3)] == [1, 1, 0]
    assert (await take(arrived, 2))[0] == first.id


async def test_a_message_nobody_listens_for_does_not_hold_up_its_order(
    pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID]
) -> None:
    message = closed()
    await put(pool, PaymentRefused(order=message.order, event=message.event, attempt="a", code="NO"))
    expected = await put(pool, message)
    relay = OutboxRelay(pool, broker)
    assert [await relay.relay_once() for _ in range(2)] == [0, 1]
    assert set(await take(arrived, 1)) == expected


async def test_what_waits_is_counted(pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID]) -> None:
    relay = OutboxRelay(pool, broker)
    await put(pool, closed(), closed())
    await pool.execute("UPDATE outbox SET created_at = created_at - interval '1 minute'")
    await relay.count()
    assert REGISTRY.get_sample_value("tiketi_outbox_unsent") == 2
    assert 60 <= (REGISTRY.get_sample_value("tiketi_outbox_oldest_seconds") or 0) < 90
    await relay.relay_once()
    await relay.count()
    assert REGISTRY.get_sample_value("tiketi_outbox_unsent") == 0
    assert REGISTRY.get_sample_value("tiketi_outbox_oldest_seconds") == 0


async def test_old_messages_are_deleted_and_those_not_sent_never(
    pool: postgres.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_CLEAN_BATCH", 2)
    monkeypatch.setattr(outbox, "_CLEAN_PAUSE_SECONDS", 0)
    old, unsent_old, fresh = [closed() for _ in range(5)], closed(), closed()
    await put(pool, *old, unsent_old, fresh)
    async with pool.acquire() as connection, connection.transaction():
        for message in (*old, fresh):
            assert await outbox.is_new(connection, message)
    aged = [message.id for message in (*old, unsent_old)]
    await pool.execute("UPDATE outbox SET created_at = created_at - $2::interval WHERE id = ANY($1)", aged, KEEP_SENT)
    await pool.execute("UPDATE outbox SET sent_at = clock_timestamp() WHERE id <> $1", unsent_old.id)
    await pool.execute("UPDATE inbox SET applied_at = applied_at - $2::interval WHERE id = ANY($1)", aged, KEEP_APPLIED)
    await Housekeeping(pool).clean()
    left = {row["id"] for row in await pool.fetch("SELECT id FROM outbox")}
    assert left == {unsent_old.id, fresh.id}
    assert [row["id"] for row in await pool.fetch("SELECT id FROM inbox")] == [fresh.id]


async def test_messages_that_are_to_be_kept_stay_however_old_they_are(pool: postgres.Pool) -> None:
    kept, old = closed(), closed()
    await put(pool, kept, old)
    await pool.execute("UPDATE outbox SET created_at = created_at - $1::interval, sent_at = now()", 10 * KEEP_SENT)
    await Housekeeping(pool, keep=f"body ->> 'order' = '{kept.order}'").clean()
    assert [row["id"] for row in await pool.fetch("SELECT id FROM outbox")] == [kept.id]


async def test_messages_wait_while_the_broker_is_away(pool: postgres.Pool) -> None:
    await put(pool, closed())
    async with Broker("amqp://guest:guest@127.0.0.1:1/", "test") as broker:
        with pytest.raises(BrokerUnavailable):
            await OutboxRelay(pool, broker).relay_once()
    assert await unsent(pool) == 1


async def test_a_relay_survives_an_outage_of_the_broker(
    pool: postgres.Pool, broker: Broker, arrived: asyncio.Queue[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, failures = broker.publish, iter([BrokerUnavailable("away")])

    async def flaky(body: bytes, key: str, message_id: str) -> None:
        for failure in failures:
            raise failure
        await publish(body, key, message_id)

    monkeypatch.setattr(broker, "publish", flaky)
    relay = asyncio.create_task(OutboxRelay(pool, broker).run())
    expected = await put(pool, closed())
    assert set(await take(arrived, 1)) == expected
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)


async def test_a_message_is_new_once(pool: postgres.Pool) -> None:
    message = closed()

    async def is_new() -> bool:
        async with pool.acquire() as connection, connection.transaction():
            return await outbox.is_new(connection, message)

    assert sorted(await asyncio.gather(*(is_new() for _ in range(5)))) == [False] * 4 + [True]


async def test_a_message_whose_transaction_failed_is_new_again(pool: postgres.Pool) -> None:
    message = closed()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await outbox.is_new(connection, message)
        await transaction.rollback()
        assert await outbox.is_new(connection, message)
