"""Transactional outbox and inbox: a message leaves if, and only if, its transaction committed; it is applied once.

A service that uses this has the two tables among its migrations::

    CREATE TABLE outbox (
      id uuid PRIMARY KEY, key text NOT NULL, body jsonb NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(), sent_at timestamptz);
    CREATE INDEX outbox_unsent ON outbox (created_at) WHERE sent_at IS NULL;
    CREATE INDEX outbox_unsent_of_order ON outbox ((body ->> 'order'), created_at) WHERE sent_at IS NULL;
    CREATE INDEX outbox_by_age ON outbox USING brin (created_at);
    CREATE TABLE inbox (
      id uuid PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE INDEX inbox_by_age ON inbox USING brin (applied_at);

The relay asks for what is unsent and never for "ids above the last": a transaction that commits late would be skipped.
Messages of one order leave in their order, however many relays there are: none is taken before those that came earlier
are known to have left. A message whose key no queue is bound to yet waits, too: the broker would drop it.
It polls; NOTIFY inside the money transaction would take a lock over every commit.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
from prometheus_client import Counter, Gauge

from tiketi_runtime.background import every
from tiketi_runtime.contracts.messages import Message
from tiketi_runtime.outages import is_outage
from tiketi_runtime.postgres import Connection, Pool
from tiketi_runtime.rabbitmq import Broker, BrokerUnavailable, NobodyListens

BATCH: Final = 100
KEEP_SENT: Final = timedelta(days=14)
"""How long a sent message stays, for those who look for what happened."""
KEEP_APPLIED: Final = timedelta(days=90)
"""How long an applied message is known as such: longer than any message is delivered again. The broker does so within
minutes of its return; a dead letter that is older cannot be replayed."""
_AWAY_SECONDS = 1.0
_UNHEARD_SECONDS = 2.0
_COUNT_INTERVAL = timedelta(seconds=5)
_COUNTED: Final = 100_000
_CLEAN_INTERVAL = timedelta(minutes=10)
_CLEAN_BATCH: Final = 1000
_CLEAN_PAUSE_SECONDS = 0.2

UNSENT = Gauge("tiketi_outbox_unsent", "Messages that wait for the broker, as of the last look; at most 100,000.")
OLDEST = Gauge("tiketi_outbox_oldest_seconds", "Age of the oldest message that waits for the broker; 0: none.")
PUBLISHED = Counter("tiketi_outbox_published_total", "Messages that the broker has confirmed.", ["key"])
DUPLICATES = Counter("tiketi_messages_duplicates_total", "Messages that came again after they were applied.", ["key"])
DELETED = Counter("tiketi_messages_deleted_total", "Old rows that were deleted.", ["table"])

_PUT = "INSERT INTO outbox (id, key, body) VALUES ($1, $2, $3)"
_TAKE = """
SELECT o.id, o.key, o.body FROM outbox o
WHERE o.sent_at IS NULL AND o.key <> ALL($2) AND NOT EXISTS (
  SELECT FROM outbox before
  WHERE before.sent_at IS NULL AND before.body ->> 'order' = o.body ->> 'order' AND before.created_at < o.created_at
    AND before.key <> ALL($2))
ORDER BY o.created_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_MARK_SENT = "UPDATE outbox SET sent_at = clock_timestamp() WHERE id = ANY($1)"
_COUNT = """
SELECT count(*) AS unsent, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest
FROM (SELECT created_at FROM outbox WHERE sent_at IS NULL ORDER BY created_at LIMIT $1) AS waiting
"""
_DELETE_SENT = """
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox WHERE created_at < clock_timestamp() - $1::interval AND sent_at IS NOT NULL AND NOT ({keep})
  LIMIT $2 FOR UPDATE SKIP LOCKED)
"""
_DELETE_APPLIED = """
DELETE FROM inbox WHERE id IN (
  SELECT id FROM inbox WHERE applied_at < clock_timestamp() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED)
"""
_APPLY_ONCE = "INSERT INTO inbox (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id"

log = logging.getLogger(__name__)


async def put(connection: Connection, message: Message) -> None:
    """Add a message to the outbox of the transaction under way."""
    await connection.execute(_PUT, *row_of(message))


def row_of(message: Message) -> tuple[UUID, str, Mapping[str, Any]]:
    """Its id, key and body, for a statement that puts it into the outbox itself."""
    return message.id, key_of(message), message.model_dump(mode="json", by_alias=True)


async def is_new(connection: Connection, message: Message) -> bool:
    """Whether this message was not applied before; True only once, in the transaction that applies it."""
    if await connection.fetchval(_APPLY_ONCE, message.id) is not None:
        return True
    DUPLICATES.labels(key_of(message)).inc()
    return False


def key_of(message: Message) -> str:
    """Its routing key."""
    return str(message.model_dump(by_alias=True, include={"key"})["key"])


class OutboxRelay:
    """Moves committed messages to the broker; any number may run at once."""

    def __init__(self, pool: Pool, broker: Broker, interval: timedelta = timedelta(milliseconds=50)) -> None:
        self._pool = pool
        self._broker = broker
        self._interval = interval.total_seconds()
        self._unheard: set[str] = set()
        self._unheard_since = 0.0

    async def run(self) -> None:
        """Relay until cancelled, and tell how much waits. Waits longer while the broker or the database is away."""
        async with asyncio.TaskGroup() as group:
            group.create_task(every(_COUNT_INTERVAL, "counting the outbox", self.count))
            group.create_task(self._relay())

    async def count(self) -> None:
        """Tell the metrics how much waits, and how long."""
        row = await self._pool.fetchrow(_COUNT, _COUNTED)
        UNSENT.set(row["unsent"])
        OLDEST.set(row["oldest"])

    async def _relay(self) -> None:
        while True:
            try:
                sent = await self.relay_once()
            except Exception as error:
                if not (is_outage(error) or isinstance(error, BrokerUnavailable)):
                    raise
                log.warning("outbox waits", extra={"error": f"{type(error).__name__}: {error}"})
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            if sent < BATCH:
                await asyncio.sleep(self._interval)

    async def relay_once(self) -> int:
        """Send one batch; returns how many left. What the broker did not confirm stays unsent.

        Raises BrokerUnavailable when the broker took none of them because it is away.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_TAKE, BATCH, self._keys_to_skip())
            results = await asyncio.gather(*(self._send(row) for row in rows))
            sent = [row["id"] for row, error in zip(rows, results, strict=True) if error is None]
            if sent:
                await connection.execute(_MARK_SENT, sent)
        away = next((error for error in results if error is not None and not isinstance(error, NobodyListens)), None)
        if away is not None and not sent:
            raise away
        return len(sent)

    async def _send(self, row: asyncpg.Record) -> BrokerUnavailable | None:
        try:
            await self._broker.publish(json.dumps(row["body"]).encode(), row["key"], str(row["id"]))
        except NobodyListens as error:
            log.warning("outbox waits", extra={"error": str(error)})
            self._unheard.add(row["key"])
            return error
        except BrokerUnavailable as error:
            return error
        PUBLISHED.labels(row["key"]).inc()
        return None

    def _keys_to_skip(self) -> list[str]:
        """Keys nobody listens to are tried again now and then only: they must not hold up the others."""
        now = time.monotonic()
        if now - self._unheard_since > _UNHEARD_SECONDS:
            self._unheard.clear()
            self._unheard_since = now
        return sorted(self._unheard)


class Housekeeping:
    """Deletes what no redelivery can ask for any more, a little at a time; any number may run at once."""

    def __init__(self, pool: Pool, *, has_outbox: bool = True, keep: str = "false") -> None:
        """``keep``: a condition (SQL) on rows of the outbox that stay however old they are."""
        self._pool = pool
        self._has_outbox = has_outbox
        self._delete_sent = _DELETE_SENT.format(keep=keep)

    async def run(self) -> None:
        """Delete until cancelled."""
        await every(_CLEAN_INTERVAL, "deleting old messages", self.clean)

    async def clean(self) -> None:
        """Delete all that is old enough now."""
        if self._has_outbox:
            await self._delete("outbox", self._delete_sent, KEEP_SENT)
        await self._delete("inbox", _DELETE_APPLIED, KEEP_APPLIED)

    async def _delete(self, table: str, statement: str, keep: timedelta) -> None:
        deleted = _CLEAN_BATCH
        while deleted == _CLEAN_BATCH:
            deleted = int((await self._pool.execute(statement, keep, _CLEAN_BATCH)).removeprefix("DELETE "))
            DELETED.labels(table).inc(deleted)
            await asyncio.sleep(_CLEAN_PAUSE_SECONDS)
