"""What a purchase costs without us: its statements and scripts, by plain asyncpg and redis-py in one process.

No HTTP, no JSON from outside, no tokens, no broker; nothing is checked twice and nothing is shown to anybody. All
transactions of a purchase are here, also those by which payment and stats hear of it, and those of the outboxes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Final
from uuid import uuid4

import asyncpg
from redis.asyncio import Redis
from tests.load.orders.shop import Shop

from tiketi_runtime import outbox, postgres
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import Scripts, load_scripts
from tiketi_services.ticket.queue.script_keys import keys_of

_TICKET: Final = tuple(f"tiketi_services.ticket.{name}" for name in ("sales", "queue", "orders", "tickets", "refunds"))
_CONNECTIONS: Final = 8
_JWS: Final = "x" * 700
_PAINT_MS: Final = 600_000
_APPLY: Final = outbox._APPLY_ONCE
_MONEY: Final = 50_000


@dataclass
class Bare:
    """Databases of their own, so that no relay of the services takes anything from them."""

    shop: Shop
    sale: SaleSheet
    ticket: asyncpg.Pool
    payment: asyncpg.Pool
    stats: asyncpg.Pool
    redis: Redis
    sql: Mapping[str, str]
    scripts: Scripts
    _sold: int = 0

    async def purchases_ms(self, count: int, at_once: int, idle: float) -> tuple[float, float]:
        """CPU (ms) for one of so many purchases, the caller's and the stores' beyond their ``idle`` share; and how many
        there are in a second."""
        turns = asyncio.Semaphore(at_once)
        seats = [seat for section in self.sale.sections for seat in section.seats()][self._sold : self._sold + count]
        self._sold += count

        async def buy(seat: str) -> None:
            async with turns:
                await self._buy(seat)

        began, before = time.monotonic(), time.process_time() + await self.shop.stores_cpu()
        await asyncio.gather(*map(buy, seats))
        for _ in range(count // at_once):
            for pool in (self.ticket, self.payment):
                await self._relay(pool, at_once * 2)
        seconds = time.monotonic() - began
        spent = time.process_time() + await self.shop.stores_cpu() - before - idle * seconds
        return spent / count * 1e3, count / seconds

    async def _buy(self, seat: str) -> None:
        sale, sql = self.sale, self.sql
        event, line, keys = sale.event, sale.lines[0], EventKeys(sale.event)
        buyer, hold, order, message = (str(uuid4()) for _ in range(4))
        await self._script("admitted", keys_of(event, line.name).admitted, buyer, "session")
        await self._script(
            "lock_seats", [keys.seats, keys.counts, keys.holding, keys.sheet], hold, buyer, _PAINT_MS, seat
        )
        await self.ticket.fetchrow(
            *(sql["hold_seats"], event, sale.version, line.opens_at, line.closes_at, sale.max_tickets_per_buyer),
            *(sale.hold_duration, buyer, line.name, hold, [seat]),
        )
        placed = await self.ticket.fetchrow(
            *(sql["place_order"], event, sale.version, ["A"], [_MONEY], sale.currency, sale.title),
            *(sale.hold_duration, buyer, hold, order, hold, None),
        )
        await self._paint(keys, seat, f"{hold}|{buyer}|9999999999999")
        await self._pay(order, buyer, placed["pay_by"], message)
        await self.ticket.fetchrow(sql["settle_order"], order, event, buyer, _MONEY, sale.currency, order, message)
        await self._paint(keys, seat, "sold")
        await self.ticket.execute(sql["end_sessions"], event, buyer, None)
        await self.redis.zrem(keys.active, buyer)
        for fact in range(3):
            await self._tell_stats(order, seat, fact, placed["pay_by"])

    async def _pay(self, order: str, buyer: str, pay_by: datetime, message: str) -> None:
        """Learnt from the intent, opened, begun, charged and told; learnt from the message; the webhook."""
        sale, sql, attempt, name = self.sale, self.sql, str(uuid4()), f"tk_{uuid4().hex[:26]}"
        facts = (order, sale.event, buyer, _MONEY, sale.currency, sale.title, pay_by)
        await self.payment.fetchrow(sql["learn_order"], *facts)
        await self.payment.fetchval(sql["open_attempt"], attempt, order, name, 10)
        await self.payment.fetchrow(sql["begin_confirm"], name, buyer, order, _MONEY, attempt, timedelta(seconds=45))
        body = {"id": message, "key": "payment.settled", "order": order, "event": sale.event, "outcome": _JWS}
        await self.payment.fetchval(sql["settle"], attempt, order, _JWS, message, "payment.settled", json.dumps(body))
        await self.payment.fetchrow(sql["standing"], name, buyer)
        async with self.payment.acquire() as connection, connection.transaction():
            await connection.fetchval(_APPLY, str(uuid4()))
            await connection.fetchrow(sql["learn_order"], *facts)
        await self.payment.fetchrow(
            sql["receive_webhook"], attempt, name, 0, _JWS.encode(), 100, 100, timedelta(seconds=2)
        )

    async def _tell_stats(self, order: str, seat: str, fact: int, at: datetime) -> None:
        times = [at if fact == number else None for number in range(3)]
        known = ([seat], _MONEY, self.sale.currency) if fact == 0 else (None, None, None)
        more = (None, 0, 0, 0, str(uuid4()))
        await self.stats.fetchval(self.sql["record_fact"], order, self.sale.event, *known, *times, *more)

    async def _paint(self, keys: EventKeys, seat: str, paint: str) -> None:
        await self._script("paint_seats", [keys.seats, keys.counts, keys.holding, keys.sheet], seat, paint)

    async def _script(self, name: str, keys: Any, *arguments: Any) -> None:
        await self.scripts[name](keys=keys, args=arguments)

    async def _relay(self, pool: asyncpg.Pool, most: int) -> None:
        async with pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(outbox._TAKE, most, [])
            await connection.execute(outbox._MARK_SENT, [row["id"] for row in rows])


@asynccontextmanager
async def open_bare(shop: Shop, sale: SaleSheet) -> AsyncIterator[Bare]:
    """The same tables with the same sale, and a caller. The seats that are painted are those of ``sale``."""
    packages = {
        "ticket": _TICKET,
        "payment": ("tiketi_services.payment",),
        "stats": ("tiketi_services.stats",),
    }
    pools: dict[str, asyncpg.Pool] = {}
    sql: dict[str, str] = {}
    redis = Redis.from_url(shop.stand.world.redis_url("ticket"))
    scripts: dict[str, Any] = {}
    try:
        for name, migrated in packages.items():
            url = await shop.stand.database(name)
            for package in migrated:
                await postgres.migrate(url, package)
                sql |= postgres.load_queries(package)
                if import_module(package).__name__.endswith(("queue", "orders")):
                    scripts |= load_scripts(redis, package)
            pools[name] = await asyncpg.create_pool(
                url,
                min_size=_CONNECTIONS,
                max_size=_CONNECTIONS,
                server_settings={"enable_seqscan": "off", "jit": "off"},
            )
        for table in ("events", "sale_sheets"):
            rows = [tuple(row) for row in await shop.ticket.fetch(f"SELECT * FROM {table}")]
            await pools["ticket"].copy_records_to_table(table, records=rows)
        yield Bare(shop, sale, pools["ticket"], pools["payment"], pools["stats"], redis, sql, scripts)
    finally:
        await redis.aclose()
        for pool in pools.values():
            pool.terminate()
