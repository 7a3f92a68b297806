"""RabbitMQ: one topic exchange, quorum queues, publisher confirms, manual acknowledgement, dead letters.

Delivery is at least once: a consumer applies a message once by its id (see ``outbox``). Nothing here waits for the
broker at start-up; selling goes on while it is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
    FieldValue,
)
from aiormq import spec
from aiormq.exceptions import AMQPError, PublishError
from prometheus_client import Counter, Gauge
from pydantic import ValidationError

from tiketi_runtime.contracts.messages import AnyMessage, parse_message
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.outages import is_outage

EXCHANGE: Final = "tiketi"
DEAD_LETTERS: Final = "tiketi.dead"
"""Exchange to the dead letters of a queue; the routing key is the queue's name."""
REPLAYS: Final = "tiketi.replay"
"""Exchange back from there: a replayed message reaches its one queue, and no other consumer again."""
PREFETCH: Final = 32
TRIES: Final = 3
"""How often a message is tried that fails by an error which is neither an outage nor a refusal of ours."""
_CONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_PUBLISH_SECONDS = 5.0
_RECONNECT_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 10.0
_PATIENCE_SECONDS = 600.0
"""How long a message waits here for what is away. The broker takes a channel away that keeps one for half an hour."""
_COUNT_SECONDS = 15.0
_MAX_DETAIL = 500

# Looking at dead letters counts as a delivery, and so does a lost connection; RabbitMQ 4 gives up after 20.
_DELIVERIES: Final = 100
_LOOKS: Final = 1_000_000

# The client says "channel closed" with a RuntimeError, and "closed before the first word" with a StopAsyncIteration.
AWAY: Final = (AMQPError, OSError, RuntimeError, StopAsyncIteration)

Handler = Callable[[AnyMessage], Awaitable[None]]
Result = Literal["applied", "put-back", "dead"]

CONSUMED = Counter(
    "tiketi_messages_consumed_total",
    "Messages by queue and result: applied (also if they were before), put-back, dead.",
    ["queue", "result"],
)
WAITING = Gauge(
    "tiketi_messages_waiting", "Messages in hand that wait for a store or a service which is away.", ["queue"]
)
LETTERS = Gauge("tiketi_dead_letters", "Dead letters of a queue, as of the last look.", ["queue"])

log = logging.getLogger(__name__)


class BrokerUnavailable(TiketiError):
    """The broker cannot be reached; what was to be sent stays in the outbox."""

    code, status, retryable, title = "broker-unavailable", 503, True, "Broker unavailable"


class NobodyListens(BrokerUnavailable):
    """No queue is bound to the message's key yet: sending it would lose it."""

    code, title = "nobody-listens", "Nobody listens"


class Header:
    """What a dead letter says about its death."""

    REASON: Final = "tiketi-reason"
    DETAIL: Final = "tiketi-detail"
    KEY: Final = "tiketi-key"
    TRIES: Final = "tiketi-tries"
    DIED_AT: Final = "tiketi-died-at"
    REPLAYS: Final = "tiketi-replays"


@dataclass(frozen=True, slots=True)
class Death:
    """Why a message cannot be applied."""

    reason: str
    detail: str
    tries: int


class Broker:
    """A connection that comes and goes, and what this process does with it."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._service = service
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchanges: Mapping[str, AbstractExchange] = {}
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop(self._connection)

    async def publish(self, body: bytes, key: str, message_id: str) -> None:
        """Send one durable message and wait for the broker's confirm. Raises BrokerUnavailable or NobodyListens."""
        await self._send(EXCHANGE, key, body, message_id, {})

    async def replay(self, queue: str, key: str, body: bytes, message_id: str | None, replays: int) -> None:
        """Send a dead letter to its queue once more. Raises BrokerUnavailable or NobodyListens."""
        await self._send(REPLAYS, queue, body, message_id, {Header.KEY: key, Header.REPLAYS: replays})

    async def consume(self, queue: str, keys: Sequence[str], handle: Handler) -> None:
        """Apply messages of ``keys`` until cancelled, up to PREFETCH side by side. Reconnects for ever.

        A message that meets an outage waits in hand and is tried again; one that cannot be applied goes to the dead
        letters. Neither holds up the others.
        """
        while True:
            try:
                await self._consume_once(queue, keys, handle)
                log.warning("consumer ended by the broker", extra={"queue": queue})
            except Exception as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError from error  # closing the iterator had hidden it
                log.warning("broker away", extra={"queue": queue, "error": f"{type(error).__name__}: {error}"})
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _consume_once(self, queue: str, keys: Sequence[str], handle: Handler) -> None:
        connection = await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)
        async with connection, connection.channel() as channel, connection.channel() as counting:
            await channel.set_qos(prefetch_count=PREFETCH)
            source = await _declare(channel, queue, keys)
            async with asyncio.TaskGroup() as group, source.iterator() as messages:

                async def on_cancel(_: spec.Basic.Cancel) -> None:
                    """The queue was deleted or moved: the client does not end the iteration by itself."""
                    group.create_task(_close(messages))  # not here: this runs in the reader that close waits for

                (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(on_cancel)
                counter = group.create_task(_count_letters(counting, queue))
                try:
                    async for message in messages:
                        group.create_task(self._settle(queue, message, handle))
                finally:
                    counter.cancel()

    async def _settle(self, queue: str, message: AbstractIncomingMessage, handle: Handler) -> None:
        """Apply one message and tell the broker. When that cannot be told any more, the broker delivers it again."""
        verdict = await _apply(queue, message, handle)
        if isinstance(verdict, Death):
            verdict = await self._bury(queue, message, verdict)
        CONSUMED.labels(queue, verdict).inc()
        try:
            if verdict == "put-back":
                await message.reject(requeue=True)
            else:
                await message.ack()
        except AWAY as error:
            log.warning("not acknowledged", extra={"queue": queue, "error": f"{type(error).__name__}: {error}"})

    async def _bury(self, queue: str, message: AbstractIncomingMessage, death: Death) -> Result:
        """Send it to the dead letters ourselves: they get the reason, and it is not gone before they have it."""
        headers: dict[str, FieldValue] = {
            Header.REASON: death.reason,
            Header.DETAIL: death.detail[:_MAX_DETAIL],
            Header.KEY: _key(message),
            Header.TRIES: death.tries,
            Header.DIED_AT: datetime.now(UTC).isoformat(timespec="seconds"),
            Header.REPLAYS: message.headers.get(Header.REPLAYS, 0),
        }
        try:
            await self._send(DEAD_LETTERS, queue, message.body, message.message_id, headers)
        except BrokerUnavailable as error:
            log.warning("dead letter put back", extra={"queue": queue, "error": str(error)})
            await asyncio.sleep(_RETRY_SECONDS)
            return "put-back"
        log.error(
            "dead letter",
            extra={"queue": queue, "message_id": message.message_id, "reason": death.reason, "detail": death.detail},
        )
        return "dead"

    async def _send(
        self, exchange: str, key: str, body: bytes, message_id: str | None, headers: Mapping[str, FieldValue]
    ) -> None:
        message = aio_pika.Message(
            body,
            headers=dict(headers),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message_id,
            app_id=self._service,
        )
        used: AbstractConnection | None = None
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                exchanges = await self._open()
                used = self._connection
                await exchanges[exchange].publish(message, routing_key=key)
        except PublishError as error:
            raise NobodyListens(f"{key} was not sent: no queue is bound to it") from error
        except AWAY as error:
            # It hangs, is closed, or does not know yet that it is: the next message opens another.
            await self._drop(used)
            raise BrokerUnavailable(f"{key} was not sent: {type(error).__name__} {error}") from error

    async def _open(self) -> Mapping[str, AbstractExchange]:
        async with self._lock:
            if not self._exchanges or self._channel is None or self._channel.is_closed:
                await self._drop(self._connection)
                self._connection = await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                names = (EXCHANGE, DEAD_LETTERS, REPLAYS)
                self._exchanges = {name: await _declare_exchange(self._channel, name) for name in names}
            return self._exchanges

    async def _drop(self, used: AbstractConnection | None) -> None:
        """Close this connection, unless somebody has done so and opened another."""
        if used is None or used is not self._connection:
            return
        self._connection, self._exchanges = None, {}
        with contextlib.suppress(*AWAY):  # it may be broken: that is why it goes
            async with asyncio.timeout(_CLOSE_SECONDS):
                await used.close()


def graveyard(queue: str) -> str:
    """Name of the queue that keeps a queue's dead letters."""
    return f"{queue}.dead"


async def _declare_exchange(channel: AbstractChannel, name: str) -> AbstractExchange:
    return await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)


async def _declare(channel: AbstractChannel, queue: str, keys: Sequence[str]) -> AbstractQueue:
    """The queue bound to ``keys``, and beside it ``<queue>.dead`` for what could not be applied."""
    exchange = await _declare_exchange(channel, EXCHANGE)
    dead = await _declare_exchange(channel, DEAD_LETTERS)
    replays = await _declare_exchange(channel, REPLAYS)
    grave = await channel.declare_queue(
        graveyard(queue), durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": _LOOKS}
    )
    await grave.bind(dead, routing_key=queue)
    declared = await channel.declare_queue(
        queue,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            # What kills whoever takes it, the broker itself sends to the dead letters, and keeps it until it is there.
            "x-delivery-limit": _DELIVERIES,
            "x-dead-letter-exchange": DEAD_LETTERS,
            "x-dead-letter-routing-key": queue,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    await declared.bind(replays, routing_key=queue)
    for key in keys:
        await declared.bind(exchange, routing_key=key)
    return declared


async def _close(messages: AbstractQueueIterator) -> None:
    await messages.close()


async def _count_letters(channel: AbstractChannel, queue: str) -> None:
    """Until cancelled, or the channel is gone."""
    with contextlib.suppress(*AWAY):
        while True:
            grave = await channel.declare_queue(graveyard(queue), passive=True)
            LETTERS.labels(queue).set(grave.declaration_result.message_count or 0)
            await asyncio.sleep(_COUNT_SECONDS)


async def _apply(queue: str, message: AbstractIncomingMessage, handle: Handler) -> Result | Death:
    """Try until it is applied, cannot be, or has waited long enough for something that is away.

    It waits here and not in the queue: each return to the queue would count as a delivery, of which there are so many.
    """
    began, tries = time.monotonic(), 0
    while True:
        tries += 1
        try:
            await handle(parse_message(message.body))
        except Exception as error:
            death = _judge(error, tries)
            if death is not None:
                log.warning("message failed", exc_info=error, extra={"queue": queue, "message_id": message.message_id})
                return death
            if time.monotonic() - began > _PATIENCE_SECONDS:
                return "put-back"
            if tries == 1:
                context = {"queue": queue, "message_id": message.message_id}
                log.warning("message waits", extra={**context, "error": f"{type(error).__name__}: {error}"})
            with WAITING.labels(queue).track_inprogress():
                await asyncio.sleep(min(_LONGEST_RETRY_SECONDS, _RETRY_SECONDS * 2 ** min(tries - 1, 10)))
        else:
            return "applied"


def _judge(error: Exception, tries: int) -> Death | None:
    """Why the message is dead, or None if it is to be tried again."""
    if isinstance(error, ValidationError):
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_input=False)]
        return Death("unreadable", "; ".join(faults), tries)
    if isinstance(error, TiketiError):
        return None if error.retryable else Death(error.code, error.detail, tries)
    if is_outage(error) or tries < TRIES:
        return None
    return Death(type(error).__name__, str(error), tries)


def _key(message: AbstractIncomingMessage) -> str:
    """The key it was sent with; a replayed message has come by its queue's name."""
    known = message.headers.get(Header.KEY)
    return known if isinstance(known, str) else message.routing_key or ""
