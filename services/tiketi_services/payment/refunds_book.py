"""Refunds in payment's database. A method is one statement, or one transaction if it says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from tiketi_runtime import outbox
from tiketi_runtime.contracts.messages import PaymentRefunded, RefundRequested
from tiketi_runtime.errors import Conflict
from tiketi_runtime.postgres import Connection, Pool, load_queries
from tiketi_services.payment.refunds_plan import PayBack, Step
from tiketi_services.payment.repository import PACKAGE


class RefundNotOwed(Conflict):
    """Ticket wants back more than was paid, or money of an order that is not paid. Nothing moves."""

    code, title = "refund-not-owed", "Refund not owed"


class _StaleLook(Exception):
    """Undoes what was written down."""


class RefundsBook:
    """What goes back of paid orders."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def learn_by(self, message: RefundRequested) -> None:
        """Write a refund down, once; tell again that it is done, if it is. One transaction. Raises RefundNotOwed."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await outbox.is_new(connection, message):
                await self._answer_again(connection, message.refund)
                return
            await connection.execute(self._sql["lock_order"], UUID(message.order))
            facts = (UUID(message.order), message.amount, message.currency, message.reason)
            if await connection.fetchval(self._sql["learn_refund"], message.refund, *facts) is None:
                raise RefundNotOwed(f"Refund {message.refund} of order {message.order}: {message.amount} is not owed.")

    async def take(self, most: int, lease: timedelta) -> Sequence[PayBack]:
        """Refunds that are due, for this process alone until the lease ends."""
        return [
            PayBack(
                refund_id=row["refund_id"],
                order_id=row["order_id"],
                payment_key=row["payment_key"],
                amount=row["amount"],
                reason=row["reason"],
                call=row["calls"],
                is_called=row["state"] == "CALLED",
                locked_balance=row["locked_balance"],
                tries=row["tries"],
            )
            for row in await self._pool.fetch(self._sql["take_refunds"], most, lease)
        ]

    async def begin(self, pay_back: PayBack, step: Step, idempotency_key: str) -> bool:
        """Write down the call that is about to be made, in one transaction.

        False if another refund of the payment is being made, or was since the payment was looked at: the vendor would
        refuse the call for its balance.
        """
        facts = (pay_back.refund_id, step.balance, step.call, idempotency_key)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                if await connection.fetchval(self._sql["begin_refund"], *facts) is None:
                    return False
                if await connection.fetchval(self._sql["look_is_stale"], pay_back.refund_id, step.balance):
                    raise _StaleLook
        except (asyncpg.UniqueViolationError, _StaleLook):
            return False
        return True

    async def failed(self, pay_back: PayBack, code: str, *, call: int, is_open: bool, is_refused: bool) -> None:
        """Not made yet. ``is_open``: the last call may still have done it."""
        facts = (pay_back.refund_id, code, call, is_open, is_refused)
        await self._pool.execute(self._sql["refund_failed"], *facts)

    async def done(self, pay_back: PayBack, balance: int) -> bool:
        """The money is back: write it down and tell it, in one transaction; False if that was known."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(self._sql["refund_done"], pay_back.refund_id, balance)
            if row is None:
                return False
            await outbox.put(connection, _refunded(row, balance))
        return True

    async def _answer_again(self, connection: Connection, refund: UUID) -> None:
        """With the message of then, so that nobody applies it twice; with a new one if that is not kept any more."""
        row = await connection.fetchrow(self._sql["answer_again"], refund)
        if row is not None and not row["is_told"]:
            await outbox.put(connection, _refunded(row, row["balance"]))

    async def count(self, after: timedelta) -> tuple[int, int]:
        """Refunds that the vendor refuses, and those not made for longer than ``after``."""
        row = await self._pool.fetchrow(self._sql["count_refunds"], after)
        return row["refused"], row["overdue"]


def _refunded(row: Mapping[str, Any], balance: int) -> PaymentRefunded:
    return PaymentRefunded.model_validate(
        {
            "order": str(row["order_id"]),
            "event": row["event"],
            "refund": row["refund_id"],
            "buyer": row["buyer"],
            "amount": row["amount"],
            "currency": row["currency"],
            "balance": balance,
        }
    )
