"""Payment's database: the only caller of ``sql/*.sql``. A method is one statement, or one transaction if it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from tiketi_runtime import outbox
from tiketi_runtime.contracts.messages import Message, PaymentRefused, PaymentSettled
from tiketi_runtime.postgres import Connection, Pool, load_queries
from tiketi_services.payment.books import Action, Finding, OurPayment
from tiketi_services.payment.domain import (
    MAX_ATTEMPTS,
    MAX_HINTED_LOOKS,
    MAX_WEBHOOKS,
    Attempt,
    AttemptState,
    CloseStatus,
    Order,
    OrderState,
    Standing,
    VendorCall,
    check_same,
    confirm_key,
)
from tiketi_services.payment.vendor import FOREIGN_PAYMENT, Webhook

PACKAGE: Final = "tiketi_services.payment"
_UNDER_WAY = "attempts_one_under_way"


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order with where it stands. ``outcome``: signed, once paid."""

    order: Order
    state: OrderState
    overdue: bool
    outcome: str | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt as its buyer may see it."""

    attempt_id: UUID
    vendor_order_id: str
    state: AttemptState
    code: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An attempt whose answer must be found out. ``overdue``: payBy has passed."""

    attempt: Attempt
    overdue: bool


@dataclass(frozen=True, slots=True)
class Hinted:
    """An attempt that a webhook was about. ``answer_lost``: the buyer's own call has had no answer."""

    attempt: Attempt
    answer_lost: bool


@dataclass(frozen=True, slots=True)
class Overdue:
    """An attempt whose end is not known for too long."""

    attempt_id: UUID
    order_id: UUID
    payment_key: str
    code: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Money that must go back in full. ``call``: number in the next idempotency key."""

    cancellation_id: UUID
    payment_key: str
    reason: str
    call: int


class PaymentKeyTaken(Exception):
    """Another attempt is bound to this payment key."""


class AnotherUnderWay(Exception):
    """Another attempt of the order is CONFIRMING or UNKNOWN."""


class Payments:
    """All that payment knows."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    # --- Orders

    async def learn(self, order: Order) -> None:
        """Write down what ticket says. Raises OrderDiffers if it said something else before."""
        await self._learn(self._pool, order)

    async def learn_by(self, message: Message, order: Order) -> None:
        """The same in one transaction with the message's inbox row: a second delivery does nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            if await outbox.is_new(connection, message):
                await self._learn(connection, order)

    async def _learn(self, connection: Connection | Pool, order: Order) -> None:
        facts = (order.event, order.buyer, order.amount, order.currency, order.order_name, order.pay_by)
        row = await connection.fetchrow(self._sql["learn_order"], order.order_id, *facts)
        check_same(_order(row), order)

    async def order(self, order_id: UUID, buyer: str) -> OrderView | None:
        """A buyer's own order; None if there is none."""
        row = await self._pool.fetchrow(self._sql["order"], order_id, buyer)
        if row is None:
            return None
        return OrderView(_order(row), OrderState(row["state"]), row["overdue"], row["outcome"])

    async def close(self, order_id: UUID) -> CloseStatus:
        """Close the order if nothing is under way, also one nobody has told us of. One transaction."""
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(self._sql["close_unseen"], order_id) is not None:
                return CloseStatus.CLOSED
            await connection.execute(self._sql["lock_order"], order_id)
            await connection.execute(self._sql["close"], order_id)
            state = OrderState(await connection.fetchval(self._sql["order_state"], order_id))
        if state is OrderState.OPEN:
            return CloseStatus.PENDING
        return CloseStatus.CLOSED if state is OrderState.CLOSED else CloseStatus.PAID

    async def outcome(self, order_id: UUID) -> str | None:
        """The order's outcome, signed; None while it is not paid."""
        jws: str | None = await self._pool.fetchval(self._sql["outcome"], order_id)
        return jws

    # --- Attempts

    async def open_attempt(self, attempt_id: UUID, order_id: UUID, vendor_order_id: str) -> bool:
        """A READY attempt, if the order takes payments."""
        return (
            await self._pool.fetchval(self._sql["open_attempt"], attempt_id, order_id, vendor_order_id, MAX_ATTEMPTS)
            is not None
        )

    async def attempts(self, order_id: UUID) -> list[AttemptView]:
        """All attempts of an order, oldest first."""
        rows = await self._pool.fetch(self._sql["attempts_of_order"], order_id)
        return [
            AttemptView(
                row["attempt_id"], row["vendor_order_id"], AttemptState(row["state"]), row["code"], row["created_at"]
            )
            for row in rows
        ]

    async def standing(self, vendor_order_id: str, buyer: str) -> Standing | None:
        """An attempt of this buyer and all around it; None if there is none."""
        row = await self._pool.fetchrow(self._sql["standing"], vendor_order_id, buyer)
        if row is None:
            return None
        return Standing(
            order=_order(row),
            order_state=OrderState(row["order_state"]),
            overdue=row["overdue"],
            attempt_state=AttemptState(row["attempt_state"]),
            payment_key=row["payment_key"],
            code=row["code"],
            outcome=row["outcome"],
        )

    async def begin_confirm(
        self, vendor_order_id: str, buyer: str, payment_key: str, amount: int, patience: timedelta
    ) -> Attempt | None:
        """READY > CONFIRMING, bound to the payment key; None if the attempt or its order does not allow it.

        After ``patience`` the resolver takes over. Raises PaymentKeyTaken or AnotherUnderWay.
        """
        key = confirm_key(vendor_order_id, 1)
        try:
            row = await self._pool.fetchrow(
                self._sql["begin_confirm"], vendor_order_id, buyer, payment_key, amount, key, patience
            )
        except asyncpg.UniqueViolationError as error:
            raise AnotherUnderWay if error.constraint_name == _UNDER_WAY else PaymentKeyTaken from error
        return None if row is None else _attempt(row)

    async def settle(self, attempt: Attempt, jws: str, call: VendorCall) -> bool:
        """Make the attempt the order's outcome and tell it, in one statement; False if the order does not take it."""
        order = attempt.order
        message = PaymentSettled.model_validate(
            {
                "order": str(order.order_id),
                "event": order.event,
                "buyer": order.buyer,
                "amount": order.amount,
                "currency": order.currency,
                "paymentKey": attempt.payment_key,
                "outcome": jws,
                **_facts(call),
            }
        )
        facts = (attempt.attempt_id, order.order_id, jws, *outbox.row_of(message))
        return await self._pool.fetchval(self._sql["settle"], *facts) is not None

    async def cancel_instead(self, attempt: Attempt, reason: str) -> bool:
        """Write down that what the vendor charged goes back; False if the attempt had ended already."""
        return await self._pool.fetchval(self._sql["cancel_instead"], attempt.attempt_id, uuid4(), reason) is not None

    async def refuse(self, attempt: Attempt, code: str, call: VendorCall) -> bool:
        """End an attempt without money and tell it, in one transaction; False if it had ended already."""
        async with self._pool.acquire() as connection, connection.transaction():
            is_foreign = code == FOREIGN_PAYMENT
            if await connection.fetchval(self._sql["refuse"], attempt.attempt_id, code, is_foreign) is None:
                return False
            message = PaymentRefused.model_validate(
                {
                    "order": str(attempt.order.order_id),
                    "event": attempt.order.event,
                    "attempt": str(attempt.attempt_id),
                    "code": code,
                    **_facts(call),
                }
            )
            await outbox.put(connection, message)
        return True

    async def mark_unknown(self, attempt: Attempt, code: str, call: int) -> None:
        """Leave it to the resolver, which will use call number ``call`` if it may confirm again."""
        key = confirm_key(attempt.vendor_order_id, call)
        await self._pool.execute(self._sql["mark_unknown"], attempt.attempt_id, code, call, key)

    async def take_attempts(self, most: int, lease: timedelta) -> Sequence[Unresolved]:
        """Attempts that are due, for this process alone until the lease ends."""
        rows = await self._pool.fetch(self._sql["take_attempts"], most, lease)
        return [Unresolved(_attempt(row), row["overdue"]) for row in rows]

    async def keep(self, attempt: Attempt, lease: timedelta) -> None:
        """An attempt that was taken is worked on for longer."""
        await self._pool.execute(self._sql["keep_attempt"], attempt.attempt_id, lease)

    async def looked(self, attempt: Attempt) -> None:
        """A look-up decided nothing: another may follow."""
        await self._pool.execute(self._sql["looked"], attempt.attempt_id)

    async def attempt(self, attempt_id: UUID | None = None, vendor_order_id: str | None = None) -> Attempt | None:
        """An attempt that is bound to a payment, by either of its names; None if there is none."""
        row = await self._pool.fetchrow(self._sql["attempt"], attempt_id, vendor_order_id)
        return None if row is None else _attempt(row)

    async def window_left(self, vendor_order_id: str, code: str) -> None:
        """Keep why the vendor's window was left."""
        await self._pool.execute(self._sql["window_left"], vendor_order_id, code)

    async def alarm_unknown(self, after: timedelta) -> Sequence[Overdue]:
        """Attempts whose end is not known for longer than ``after``; each once an hour."""
        rows = await self._pool.fetch(self._sql["alarm_unknown"], after)
        return [
            Overdue(row["attempt_id"], row["order_id"], row["payment_key"], row["code"], row["confirming_at"])
            for row in rows
        ]

    async def count_overdue(self, after: timedelta) -> tuple[int, int]:
        """Attempts whose end is not known, and charges not given back, for longer than ``after``."""
        row = await self._pool.fetchrow(self._sql["count_overdue"], after)
        return row["unknown"], row["not_given_back"]

    # --- Webhooks

    async def receive_webhook(self, webhook: Webhook, patience: timedelta) -> tuple[bool, bool, bool]:
        """Keep it if it is about an attempt of ours: known, new, and whether the attempt will be looked at."""
        row = await self._pool.fetchrow(
            self._sql["receive_webhook"],
            webhook.transmission_id,
            webhook.order_id,
            webhook.retried_count,
            webhook.body,
            MAX_WEBHOOKS,
            MAX_HINTED_LOOKS,
            patience,
        )
        return row["known"], row["stored"], row["hinted"]

    async def forget_webhooks(self, kept_for: timedelta, most: int) -> None:
        """Forget a batch of webhooks that are older than that."""
        await self._pool.execute(self._sql["forget_webhooks"], kept_for, most)

    async def take_hinted(self, most: int, lease: timedelta) -> Sequence[Hinted]:
        """Attempts that webhooks ask to look at, for this process alone until the lease ends."""
        rows = await self._pool.fetch(self._sql["take_hinted"], most, lease)
        return [Hinted(_attempt(row), row["answer_lost"]) for row in rows]

    # --- Cancellations

    async def take_cancellations(self, most: int, lease: timedelta) -> Sequence[Cancellation]:
        """Cancellations that are due, for this process alone until the lease ends."""
        rows = await self._pool.fetch(self._sql["take_cancellations"], most, lease)
        return [Cancellation(row["cancellation_id"], row["payment_key"], row["reason"], row["calls"]) for row in rows]

    async def cancellation_done(self, cancellation: Cancellation) -> None:
        """The vendor has given everything back."""
        await self._pool.execute(self._sql["cancellation_done"], cancellation.cancellation_id)

    async def cancellation_failed(self, cancellation: Cancellation, code: str, call: int) -> None:
        """Not given back yet; tried again later with call number ``call``."""
        await self._pool.execute(self._sql["cancellation_failed"], cancellation.cancellation_id, code, call)


class Books:
    """What the reconciliation needs to know and to write down."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def take_day(self, first: date, last: date, lease: timedelta) -> date | None:
        """The oldest day not reconciled yet, for this process alone until the lease ends."""
        day: date | None = await self._pool.fetchval(self._sql["take_day"], first, last, lease)
        return day

    async def finish_day(self, day: date, transactions: int, findings: int, began: datetime) -> None:
        """The day is done; findings of it that were not seen since ``began`` are gone."""
        await self._pool.execute(self._sql["finish_day"], day, transactions, findings, began)

    async def ours(self, payment_keys: Sequence[str], vendor_order_ids: Sequence[str]) -> list[OurPayment]:
        """What we know of payments, by payment key or by our order id at the vendor."""
        rows = await self._pool.fetch(self._sql["our_books"], payment_keys, vendor_order_ids)
        return [
            OurPayment(
                attempt_id=row["attempt_id"],
                vendor_order_id=row["vendor_order_id"],
                payment_key=row["payment_key"],
                state=AttemptState(row["state"]),
                amount=row["amount"],
                currency=row["currency"],
                is_outcome=row["is_outcome"],
                given_back=row["given_back"],
                is_moving=row["is_moving"],
            )
            for row in rows
        ]

    async def done_between(self, begin: datetime, end: datetime, after: str, most: int) -> list[str]:
        """Payment keys of attempts that ended as DONE in that time, those after ``after`` first."""
        rows = await self._pool.fetch(self._sql["done_between"], begin, end, after, most)
        return [row["payment_key"] for row in rows]

    async def record(self, finding: Finding, day: date, action: Action) -> bool:
        """Write a finding down; whether it is new."""
        is_new: bool = await self._pool.fetchval(
            self._sql["record_finding"],
            finding.payment_key,
            finding.kind,
            day,
            finding.vendor_order_id,
            finding.attempt_id,
            finding.told,
            action,
        )
        return is_new

    async def cancel_stray(self, attempt_id: UUID, payment_key: str, reason: str) -> bool:
        """Write down that a charge the attempt never asked for goes back; False if that was known."""
        return (
            await self._pool.fetchval(self._sql["cancel_stray"], attempt_id, uuid4(), payment_key, reason) is not None
        )

    async def count_findings(self) -> dict[str, int]:
        """Open findings by kind."""
        return {row["kind"]: row["count"] for row in await self._pool.fetch(self._sql["count_findings"])}

    async def last_reconciled(self) -> date | None:
        """The newest day that is done."""
        day: date | None = await self._pool.fetchval(self._sql["last_reconciled"])
        return day


def _facts(call: VendorCall) -> dict[str, int | bool | None]:
    """As messages tell them."""
    return {"tookMs": None if call.took is None else round(call.took.total_seconds() * 1000), "isFault": call.is_fault}


def _order(row: asyncpg.Record) -> Order:
    return Order(
        order_id=row["order_id"],
        event=row["event"],
        buyer=row["buyer"],
        amount=row["amount"],
        currency=row["currency"],
        order_name=row["order_name"],
        pay_by=row["pay_by"],
    )


def _attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(
        attempt_id=row["attempt_id"],
        order=_order(row),
        vendor_order_id=row["vendor_order_id"],
        payment_key=row["payment_key"],
        call=row["calls"],
        idempotency_key=row["idempotency_key"],
    )
