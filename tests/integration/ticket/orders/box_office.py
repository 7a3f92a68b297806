"""A box office on real PostgreSQL and Redis, with one small sale; what the tests of orders stand on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Line, OrderId, SeatId
from tiketi_runtime.contracts.messages import parse_message
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import LineSheet, QueueingMethod, QueueSheet, SaleSheet, VenueSheet
from tiketi_runtime.contracts.seating import Section
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import Hold, Order, Outcome
from tiketi_services.ticket.orders.sweeper import Sweeper
from tiketi_services.ticket.orders.usecases import BoxOffice
from tiketi_services.ticket.queue.domain import Admission

EVENT = EventId("arena/first")
ANNA, BORIS, CHLOE = (BuyerId(f"{digit * 8}-0000-4000-8000-000000000000") for digit in "abc")
FRONT, NEXT, THIRD, FOURTH = (SeatId(f"A-01-0{number}") for number in (1, 2, 3, 4))
PRESALE = Line("fans")
HOUR = timedelta(hours=1)


def sale_sheet(**changes: Any) -> SaleSheet:
    """The sale under test: rows of seats in A and B, standing places in ST; ``changes`` as fields of the sheet."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "event": EVENT,
        "uid": "1",
        "generation": 1,
        "version": 1,
        "title": "First Night",
        "venue": VenueSheet(name="Arena", time_zone="Asia/Seoul"),
        "starts_at": now + 30 * HOUR,
        "currency": "KRW",
        "arm_at": now - 2 * HOUR,
        "opens_at": now - HOUR,
        "closes_at": now + HOUR,
        "max_tickets_per_buyer": 4,
        "hold_duration": timedelta(minutes=10),
        "lines": (
            LineSheet(name=PRESALE, opens_at=now - HOUR, closes_at=now + HOUR, sections=("A",)),
            LineSheet(name=PUBLIC, opens_at=now - HOUR, closes_at=now + HOUR, sections=("A", "B", "ST")),
        ),
        "sections": (
            Section(name="A", price=150_000, rows=5, seats_per_row=10),
            Section(name="B", price=90_000, rows=2, seats_per_row=4),
            Section(name="ST", price=70_000, capacity=30),
        ),
        "queue": QueueSheet(
            method=QueueingMethod.FIFO,
            total_active_users=100,
            new_users_per_minute=600,
            session_duration=timedelta(minutes=15),
            ghost_timeout=timedelta(seconds=30),
            claim_window=timedelta(seconds=30),
        ),
    }
    return SaleSheet(**{**fields, **changes})


class EveryoneAdmitted:
    """Stands for the queue: whoever asks is admitted to the line named by the pass; remembers who was let go."""

    def __init__(self) -> None:
        self.ended: list[BuyerId] = []

    async def require(self, event: EventId, buyer: BuyerId, pass_token: str) -> Admission:
        return Admission(event, Line(pass_token), buyer, "session", datetime.now(UTC) + HOUR)

    async def end(self, event: EventId, buyer: BuyerId) -> None:
        self.ended.append(buyer)


class PaymentOffice:
    """Stands for payment: answers what the test chose when it is asked to close an order."""

    def __init__(self) -> None:
        self.answers: dict[OrderId | None, dict[str, Any]] = {None: {"status": "PENDING"}}
        self.asked: list[str] = []
        self.is_open = True
        self.before_answer: Awaitable[object] | None = None

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Listen; gives the base URL."""
        app = web.Application()
        app.router.add_post("/internal/orders/close", self.close)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()

    async def close(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json())["request"])
        if not self.is_open:
            return web.Response(status=503)
        if self.before_answer is not None:
            await self.before_answer
        return web.json_response(self.answers[None])


@dataclass
class Stage:
    """Everything a test may touch."""

    office: BoxOffice
    pool: Pool
    redis: Redis
    admissions: EveryoneAdmitted
    payment: PaymentOffice
    payment_signer: TokenSigner
    keys: EventKeys = field(default_factory=lambda: EventKeys(EVENT))

    async def announce(self, sheet: SaleSheet) -> None:
        """Write a sale sheet as the operator does, and have it adopted."""
        keys = EventKeys(sheet.event)
        await self.redis.sadd(EVENTS, sheet.event)
        await self.redis.set(keys.sheet, sheet.model_dump_json(by_alias=True))
        await self.redis.set(keys.sheet_version, sheet.version)
        await self.office.sales.refresh()

    async def change(self, **changes: Any) -> SaleSheet:
        """A new version of the sale in force."""
        sheet = await self.office.sales.sheet(EVENT)
        changed = sheet.model_copy(update={"version": sheet.version + 1, **changes})
        await self.announce(changed)
        return changed

    async def hold(self, buyer: BuyerId, *seats: SeatId, line: Line = PUBLIC) -> Hold:
        return await usecases.hold_seats(self.office, EVENT, buyer, line, seats)

    async def place(self, buyer: BuyerId, *seats: SeatId) -> Order:
        """Hold and order."""
        hold = await self.hold(buyer, *seats)
        return await usecases.place_order(self.office, EVENT, buyer, hold.id, str(uuid4()))

    def outcome(self, order: Order, /, **claims: Any) -> str:
        """What payment signs when the order is paid."""
        paid = {
            "order": order.id,
            "event": order.event,
            "buyer": order.buyer,
            "status": "PAID",
            "amount": order.amount,
            "currency": order.currency,
            "paymentKey": "tviva-1",
        }
        return self.payment_signer.sign("payment-outcome+jwt", {**paid, **claims}, timedelta(days=1))

    async def settle(self, order: Order, /, **claims: Any) -> Order:
        outcome = await usecases.read_outcome(self.office, self.outcome(order, **claims), order.id)
        return await usecases.settle(self.office, outcome)

    async def states(self) -> dict[str, str]:
        """State of every seat that has a row."""
        return {row["seat"]: row["state"] for row in await self.pool.fetch("SELECT seat, state FROM seats")}

    async def paint(self, seat: SeatId) -> str | None:
        value = await self.redis.hget(self.keys.seats, seat)
        return value.decode() if isinstance(value, bytes) else value

    async def messages(self, key: str) -> list[dict[str, Any]]:
        """Bodies of the outbox, oldest first."""
        rows = await self.pool.fetch("SELECT body FROM outbox WHERE key = $1 ORDER BY created_at", key)
        return [row["body"] for row in rows]


def paid(order: Order) -> Outcome:
    return Outcome(order.id, order.event, order.buyer, order.amount, order.currency, "tviva-1")


def new_signer(issuer: str) -> TokenSigner:
    return TokenSigner(Ed25519PrivateKey.generate(), issuer)


async def all_at_once(*work: Awaitable[Any]) -> list[Any]:
    """Results and errors, in order."""
    return await asyncio.gather(*work, return_exceptions=True)


def kinds(results: Sequence[Any]) -> list[str]:
    """Names of the types, sorted: who won and who lost."""
    return sorted(type(result).__name__ for result in results)


def sweeper(stage: Stage, retry: timedelta) -> Sweeper:
    """What the shared service does in the background; payment is asked again after ``retry``."""
    return Sweeper(stage.office, retry)


async def messages_of(stage: Stage, key: str) -> list[object]:
    """Messages of the outbox, as another service reads them."""
    rows = await stage.pool.fetch("SELECT body::text FROM outbox WHERE key = $1 ORDER BY created_at", key)
    return [parse_message(row["body"].encode()) for row in rows]
