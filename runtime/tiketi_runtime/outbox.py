"""Transactional outbox and inbox: a message leaves if, and only if, its transaction committed; it is applied once.

A service that uses this has the two tables in its first migration::

    CREATE TABLE outbox (
      id uuid PRIMARY KEY, key text NOT NULL, body jsonb NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(), sent_at timestamptz);
    CREATE INDEX outbox_unsent ON outbox (created_at) WHERE sent_at IS NULL;
    CREATE TABLE inbox (
      id uuid PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp());

The relay asks for what is unsent and never for "ids above the last": a transaction that commits late would be skipped.
A message whose key no queue is bound to yet waits as well: the broker would drop it.
It polls; NOTIFY inside the money transaction would take a lock over every commit.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import timedelta

import asyncpg
from prometheus_client import Gauge

from tiketi_runtime.contracts.messages import Message
from tiketi_runtime.outages import is_outage
from tiketi_runtime.postgres import Connection, Pool
from tiketi_runtime.rabbitmq import Broker, BrokerUnavailable, NobodyListens

BATCH = 100
_AWAY_SECONDS = 1.0
_UNHEARD_SECONDS = 2.0

UNSENT = Gauge("tiketi_outbox_unsent", "Messages that wait for the broker, as of the last poll (at most one batch).")

_PUT = "INSERT INTO outbox (id, key, body) VALUES ($1, $2, $3)"
_TAKE = """
SELECT id, key, body FROM outbox WHERE sent_at IS NULL AND key <> ALL($2)
ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_MARK_SENT = "UPDATE outbox SET sent_at = clock_timestamp() WHERE id = ANY($1)"
_APPLY_ONCE = "INSERT INTO inbox (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id"

log = logging.getLogger(__name__)


async def put(connection: Connection, message: Message) -> None:
    """Add a message to the outbox of the transaction under way."""
    key = str(message.model_dump(by_alias=True)["key"])
    await connection.execute(_PUT, message.id, key, message.model_dump(mode="json", by_alias=True))


async def is_new(connection: Connection, message: Message) -> bool:
    """Whether this message was not applied before; True only once, in the transaction that applies it."""
    return await connection.fetchval(_APPLY_ONCE, message.id) is not None


class OutboxRelay:
    """Moves committed messages to the broker; any number may run at once."""

    def __init__(self, pool: Pool, broker: Broker, interval: timedelta = timedelta(milliseconds=50)) -> None:
        self._pool = pool
        self._broker = broker
        self._interval = interval.total_seconds()
        self._unheard: set[str] = set()
        self._unheard_since = 0.0

    async def run(self) -> None:
        """Relay until cancelled. Waits longer while the broker or the database is away."""
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
            UNSENT.set(len(rows))
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
        return None

    def _keys_to_skip(self) -> list[str]:
        """Keys nobody listens to are tried again now and then only: they must not hold up the others."""
        now = time.monotonic()
        if now - self._unheard_since > _UNHEARD_SECONDS:
            self._unheard.clear()
            self._unheard_since = now
        return sorted(self._unheard)
