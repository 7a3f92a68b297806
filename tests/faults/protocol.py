"""The payment protocol under test, and a model of it small enough to be read.

The real side is payment's own code on a real PostgreSQL against the real simulator; loops are turned by hand. The
vendor's clock is moved; ``payBy`` is moved to the past in its row, because time there is the database's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY, RunningVendor, serve_vendor

from tiketi_local.toss.faults import Faults
from tiketi_local.toss.payment import Payment, Status
from tiketi_local.toss.vendor import WindowRequest
from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.postgres import Pool
from tiketi_runtime.security import TokenSigner
from tiketi_services.payment.domain import Order
from tiketi_services.payment.repository import Payments
from tiketi_services.payment.resolver import Resolver
from tiketi_services.payment.toss import TossClient, TossSettings
from tiketi_services.payment.usecases import Cashier
from tiketi_services.payment.vendor import Webhook

BUYER = BuyerId("anna")
GOOD, BAD = "4000000000000077", "4000000000000002"
PATIENCE = timedelta(seconds=30)
LEASE = timedelta(milliseconds=1)


class Mishap(StrEnum):
    """What goes wrong with one call to the vendor."""

    NONE = "none"
    ANSWER_LOST = "loseAnswers"
    ERROR_AFTER = "failAfterCommit"
    ERROR_BEFORE = "failBeforeWork"
    PROVIDER_ERROR = "passingErrors"
    TOO_MANY = "tooManyRequests"

    @property
    def reaches_the_card(self) -> bool:
        """Whether the vendor does its work all the same."""
        return self in (Mishap.NONE, Mishap.ANSWER_LOST, Mishap.ERROR_AFTER)


@dataclass
class Real:
    """Payment without its loops."""

    cashier: Cashier
    resolver: Resolver
    pool: Pool
    vendor: RunningVendor

    async def place(self, amount: int) -> Order:
        pay_by = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        order = Order(uuid4(), EventId("demo/model"), BUYER, amount, "KRW", "Model", pay_by)
        await self.cashier.payments.learn(order)
        return order

    async def let_time_to_pay_pass(self, order: Order) -> None:
        await self.pool.execute("UPDATE orders SET pay_by = now() - interval '1 s' WHERE order_id = $1", order.order_id)

    async def open_attempt(self, order: Order) -> str:
        """Its order id at the vendor, or the problem's code. The order is one that payment knows already."""
        try:
            known = await self.cashier.payments.order(order.order_id, BUYER)
            assert known is not None
            return (await self.cashier.open_attempt(BUYER, known.order)).vendor_order_id
        except TiketiError as problem:
            return problem.code

    def authenticate(self, vendor_order: str, amount: int, card: str) -> str:
        """Go through the vendor's window; the payment key."""
        vendor, now = self.vendor.simulator.vendor, self.vendor.clock()
        urls = ("https://shop.example/paid", "https://shop.example/failed")
        window = vendor.open_window(WindowRequest(CLIENT_KEY, vendor_order, "Model", amount, "KRW", *urls), now)
        return vendor.authenticate(window.payment_key, card, now).payment_key

    async def confirm(self, vendor_order: str, payment_key: str, amount: int) -> str:
        """What the buyer hears: paid, unknown, or the problem's code."""
        try:
            answer = await self.cashier.confirm(BUYER, vendor_order, payment_key, amount)
        except TiketiError as problem:
            return problem.code
        return "unknown" if answer.outcome is None else "paid"

    async def die_while_confirming(self, vendor_order: str, payment_key: str, amount: int, *, charged: bool) -> bool:
        """The process is killed before the vendor is called, or before its answer is written down."""
        payments = self.cashier.payments
        attempt = await payments.begin_confirm(vendor_order, BUYER, payment_key, amount, PATIENCE)
        if attempt is not None and charged:
            try:
                await self.cashier.toss.confirm(payment_key, vendor_order, amount, attempt.idempotency_key)
            except Exception:  # noqa: BLE001 - whatever it was, nobody lived to read it
                return True
        return attempt is not None

    def break_next(self, mishap: Mishap, **more: int) -> None:
        switches: dict[str, Any] = dict(more) if mishap is Mishap.NONE else {mishap.value: -1, **more}
        self.vendor.simulator.faults = Faults.model_validate(switches)

    async def resolve(self) -> None:
        await self.pool.execute("UPDATE attempts SET look_at = now(), looking_until = NULL WHERE look_at IS NOT NULL")
        await self.resolver.resolve_due()

    async def give_back(self) -> None:
        await self.pool.execute("UPDATE cancellations SET try_at = now() WHERE state = 'REQUESTED'")
        await self.resolver.give_back_due()

    async def hear_webhook(self, number: int, vendor_order: str) -> None:
        """A webhook comes, perhaps one that came before; then what it hints at is looked at."""
        await self.cashier.receive_webhook(Webhook(f"whtrans_{number}", 0, vendor_order, b"{}"))
        await self.pool.execute("UPDATE attempts SET looking_until = NULL")
        await self.resolver.look_at_hinted()

    def at_vendor(self) -> dict[str, list[Payment]]:
        """All payments by order id."""
        found: dict[str, list[Payment]] = {}
        for payment in self.vendor.simulator.vendor.payments(self.vendor.clock()):
            found.setdefault(payment.order_id, []).append(payment)
        return found

    def status(self, payment_key: str) -> Status:
        return self.vendor.simulator.vendor.look_up(payment_key, self.vendor.clock()).status


@asynccontextmanager
async def open_real(url: str) -> AsyncIterator[Real]:
    """Everything real, with nobody else in it."""
    await postgres.migrate(url, "tiketi_services.payment")
    async with serve_vendor() as vendor, await postgres.connect(url, 4) as pool:
        tables = await pool.fetchval(
            "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename <> 'schema_migrations'"
        )
        await pool.execute(f"TRUNCATE {tables}")
        second = timedelta(seconds=1)
        async with TossClient(TossSettings(vendor.url, SECRET_KEY, second, second)) as toss:
            signer = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-payment")
            cashier = Cashier(Payments(pool), toss, signer, PATIENCE, timedelta(days=1), timedelta(0))
            yield Real(cashier, Resolver(cashier, timedelta(seconds=1), LEASE, 100), pool, vendor)


class End(StrEnum):
    """How an attempt stands, by the model."""

    READY = "READY"
    UNDER_WAY = "UNDER WAY"
    PAID = "paid"
    REFUSED = "payment-refused"


@dataclass
class ModelAttempt:
    """One try to pay."""

    vendor_order: str
    keys: list[str] = field(default_factory=list)
    bound: str = ""
    end: End = End.READY
    was_told_provider_error: bool = False


@dataclass
class ModelOrder:
    """An order and its attempts: at most one is under way, at most one is paid, and a closed order has neither."""

    order: Order
    attempts: list[ModelAttempt] = field(default_factory=list)
    is_closed: bool = False
    is_overdue: bool = False

    @property
    def under_way(self) -> ModelAttempt | None:
        return next((each for each in self.attempts if each.end is End.UNDER_WAY), None)

    @property
    def is_paid(self) -> bool:
        return any(each.end is End.PAID for each in self.attempts)

    def why_not_payable(self) -> str:
        """The problem's code for who wants to begin a payment now; nothing if they may."""
        if self.is_paid:
            return "order-paid"
        if self.is_closed:
            return "order-closed"
        if self.is_overdue:
            return "pay-by-passed"
        return "attempt-under-way" if self.under_way else ""

    def close(self) -> str:
        """What ticket hears when it asks to close."""
        if self.is_paid:
            return "PAID"
        if self.under_way:
            return "PENDING"
        self.is_closed = True
        return "CLOSED"


def run_both(runner: asyncio.Runner, *works: Awaitable[Any]) -> list[Any]:
    """Several at the same time."""

    async def all_of_them() -> list[Any]:
        return list(await asyncio.gather(*works))

    return runner.run(all_of_them())


def new_order_id() -> UUID:
    """An order nobody has told payment of."""
    return uuid4()
