"""RabbitMQ: one topic exchange, quorum queues, publisher confirms, manual acknowledgement, dead letters.

Delivery is at least once: a consumer applies a message once by its id (see ``outbox``). Nothing here waits for the
broker at start-up; selling goes on while it is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Literal, Self

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
    AbstractQueueIterator,
)
from aiormq import spec
from aiormq.exceptions import AMQPError, PublishError
from prometheus_client import Counter
from pydantic import ValidationError

from tiketi_runtime.contracts.messages import AnyMessage, parse_message
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.outages import is_outage

EXCHANGE = "tiketi"
DEAD_LETTERS = "tiketi.dead"
PREFETCH = 32
_CONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_PUBLISH_SECONDS = 5.0
_RECONNECT_SECONDS = 1.0
_REQUEUE_DELAY_SECONDS = 1.0

# The client says "channel closed" with a RuntimeError.
_AWAY: Final = (AMQPError, OSError, RuntimeError)

Handler = Callable[[AnyMessage], Awaitable[None]]
Result = Literal["applied", "requeued", "dead"]

CONSUMED = Counter("tiketi_messages_consumed_total", "Messages by queue and result.", ["queue", "result"])

log = logging.getLogger(__name__)


class BrokerUnavailable(TiketiError):
    """The broker cannot be reached; what was to be sent stays in the outbox."""

    code, status, retryable, title = "broker-unavailable", 503, True, "Broker unavailable"


class NobodyListens(BrokerUnavailable):
    """No queue is bound to the message's key yet: sending it would lose it."""

    code, title = "nobody-listens", "Nobody listens"


class Broker:
    """A connection that comes and goes, and what this process does with it."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._service = service
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop()

    async def publish(self, body: bytes, key: str, message_id: str) -> None:
        """Send one durable message and wait for the broker's confirm. Raises BrokerUnavailable or NobodyListens."""
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message_id,
            app_id=self._service,
        )
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                exchange = await self._open_exchange()
                await exchange.publish(message, routing_key=key)
        except PublishError as error:
            raise NobodyListens(f"{key} was not sent: no queue is bound to it") from error
        except _AWAY as error:
            if isinstance(error, TimeoutError):  # perhaps the connection hangs: the next message opens another
                await self._drop()
            raise BrokerUnavailable(f"{key} was not sent: {type(error).__name__} {error}") from error

    async def consume(self, queue: str, keys: Sequence[str], handle: Handler) -> None:
        """Apply messages of ``keys`` until cancelled, up to PREFETCH side by side. Reconnects for ever.

        A retryable error or an outage puts the message back after a second; any other error sends it to the dead
        letters, with a log.
        """
        while True:
            try:
                await self._consume_once(queue, keys, handle)
                log.warning("consumer ended by the broker", extra={"queue": queue})
            except Exception as error:  # noqa: BLE001 - whatever ended it, a consumer comes back
                log.warning("broker away", extra={"queue": queue, "error": f"{type(error).__name__}: {error}"})
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _consume_once(self, queue: str, keys: Sequence[str], handle: Handler) -> None:
        connection = await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)
        async with connection, connection.channel() as channel:
            await channel.set_qos(prefetch_count=PREFETCH)
            source = await _declare(channel, queue, keys)
            async with asyncio.TaskGroup() as group, source.iterator() as messages:

                async def on_cancel(_: spec.Basic.Cancel) -> None:
                    """The queue was deleted or moved: the client does not end the iteration by itself."""
                    group.create_task(_close(messages))  # not here: this runs in the reader that close waits for

                (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(on_cancel)
                async for message in messages:
                    group.create_task(_settle(queue, message, handle))

    async def _open_exchange(self) -> AbstractExchange:
        async with self._lock:
            if self._exchange is None or self._channel is None or self._channel.is_closed:
                await self._drop()
                self._connection = await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                self._exchange = await _declare_exchange(self._channel, EXCHANGE)
            return self._exchange

    async def _drop(self) -> None:
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(*_AWAY):  # it may be broken: that is why it goes
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await connection.close()


async def _declare_exchange(channel: AbstractChannel, name: str) -> AbstractExchange:
    return await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)


async def _declare(channel: AbstractChannel, queue: str, keys: Sequence[str]) -> AbstractQueue:
    """The queue bound to ``keys``, and beside it ``<queue>.dead`` for what could not be applied."""
    exchange = await _declare_exchange(channel, EXCHANGE)
    dead = await _declare_exchange(channel, DEAD_LETTERS)
    grave = await channel.declare_queue(f"{queue}.dead", durable=True, arguments={"x-queue-type": "quorum"})
    await grave.bind(dead, routing_key=queue)
    declared = await channel.declare_queue(
        queue,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_LETTERS,
            "x-dead-letter-routing-key": queue,
        },
    )
    for key in keys:
        await declared.bind(exchange, routing_key=key)
    return declared


async def _close(messages: AbstractQueueIterator) -> None:
    await messages.close()


async def _settle(queue: str, message: AbstractIncomingMessage, handle: Handler) -> None:
    """Apply one message and tell the broker. When that cannot be told any more, the broker delivers it again."""
    result = await _apply(queue, message, handle)
    CONSUMED.labels(queue, result).inc()
    try:
        if result == "applied":
            await message.ack()
        else:
            await message.reject(requeue=result == "requeued")
    except _AWAY as error:
        log.warning("not acknowledged", extra={"queue": queue, "error": f"{type(error).__name__}: {error}"})


async def _apply(queue: str, message: AbstractIncomingMessage, handle: Handler) -> Result:
    context = {"queue": queue, "message_id": message.message_id}
    try:
        await handle(parse_message(message.body))
    except ValidationError as error:
        faults = error.error_count()
        log.error("message cannot be read", extra={**context, "key": message.routing_key, "faults": faults})
        return "dead"
    except Exception as error:
        if is_outage(error) or (isinstance(error, TiketiError) and error.retryable):
            log.warning("message put back", extra={**context, "error": f"{type(error).__name__}: {error}"})
            await asyncio.sleep(_REQUEUE_DELAY_SECONDS)
            return "requeued"
        log.exception("message failed", extra=context)
        return "dead"
    return "applied"
