"""RabbitMQ: one topic exchange, quorum queues, publisher confirms, manual acknowledgement, dead letters.

Delivery is at least once: a consumer applies a message once by its id (see ``outbox``). Nothing here waits for the
broker at start-up; selling goes on while it is down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from aiormq.exceptions import AMQPError
from prometheus_client import Counter
from pydantic import ValidationError

from tiketi_runtime.contracts.messages import AnyMessage, parse_message
from tiketi_runtime.errors import TiketiError

EXCHANGE = "tiketi"
DEAD_LETTERS = "tiketi.dead"
PREFETCH = 32
_RECONNECT_SECONDS = 1.0
_REQUEUE_DELAY_SECONDS = 1.0

Handler = Callable[[AnyMessage], Awaitable[None]]

CONSUMED = Counter("tiketi_messages_consumed_total", "Messages by queue and result.", ["queue", "result"])

log = logging.getLogger(__name__)


class BrokerUnavailable(TiketiError):
    """The broker cannot be reached; what was to be sent stays in the outbox."""

    code, status, retryable, title = "broker-unavailable", 503, True, "Broker unavailable"


class Broker:
    """A connection that comes and goes, and what this process does with it."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._service = service
        self._connection: AbstractRobustConnection | None = None
        self._exchange: aio_pika.abc.AbstractExchange | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def publish(self, body: bytes, key: str, message_id: str) -> None:
        """Send one durable message and wait for the broker's confirm. Raises BrokerUnavailable."""
        try:
            async with asyncio.timeout(5):
                exchange = await self._open_exchange()
                await exchange.publish(
                    aio_pika.Message(
                        body,
                        content_type="application/json",
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                        message_id=message_id,
                        app_id=self._service,
                    ),
                    routing_key=key,
                )
        except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
            raise BrokerUnavailable(f"{key} was not sent: {error}") from error

    async def consume(self, queue: str, keys: Sequence[str], handle: Handler) -> None:
        """Apply messages of ``keys`` until cancelled. Reconnects for ever.

        A retryable error puts the message back after a second; any other sends it to the dead letters, with a log.
        """
        while True:
            try:
                await self._consume_once(queue, keys, handle)
            except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
                log.warning("broker away", extra={"queue": queue, "error": str(error)})
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _consume_once(self, queue: str, keys: Sequence[str], handle: Handler) -> None:
        connection = await aio_pika.connect(self._url, timeout=5)
        async with connection, connection.channel() as channel:
            await channel.set_qos(prefetch_count=PREFETCH)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            dead = await channel.declare_exchange(DEAD_LETTERS, aio_pika.ExchangeType.TOPIC, durable=True)
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
            async with declared.iterator() as messages:
                async for message in messages:
                    await _settle(queue, message, handle)

    async def _open_exchange(self) -> aio_pika.abc.AbstractExchange:
        async with self._lock:
            if self._exchange is None:
                self._connection = await aio_pika.connect_robust(
                    self._url, timeout=5, reconnect_interval=_RECONNECT_SECONDS
                )
                channel = await self._connection.channel(publisher_confirms=True)
                self._exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            return self._exchange


async def _settle(queue: str, message: AbstractIncomingMessage, handle: Handler) -> None:
    try:
        await handle(parse_message(message.body))
    except ValidationError as error:
        log.error("message cannot be read", extra={"queue": queue, "error": str(error)})
        await _dead_letter(queue, message)
    except Exception as error:
        if isinstance(error, OSError | TimeoutError) or (isinstance(error, TiketiError) and error.retryable):
            CONSUMED.labels(queue, "requeued").inc()
            await asyncio.sleep(_REQUEUE_DELAY_SECONDS)
            await message.nack(requeue=True)
            return
        log.exception("message failed", extra={"queue": queue, "message_id": message.message_id})
        await _dead_letter(queue, message)
    else:
        CONSUMED.labels(queue, "applied").inc()
        await message.ack()


async def _dead_letter(queue: str, message: AbstractIncomingMessage) -> None:
    CONSUMED.labels(queue, "dead").inc()
    await message.reject(requeue=False)
