"""Refunds in PostgreSQL. Sole caller of sql/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from tiketi_runtime.contracts.identity import EventId, OrderId, SeatId
from tiketi_runtime.contracts.messages import PaymentRefunded
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_services.ticket.orders.domain import RefundOfOrder
from tiketi_services.ticket.refunds.domain import (
    Progress,
    Reason,
    Refund,
    ReturnDelay,
    Returning,
    Ruling,
    Wanted,
)

PACKAGE: Final = "tiketi_services.ticket.refunds"
_REFUSED: Final = "TK001"
"""SQLSTATE of the function ``refuse`` of orders."""


def open_messages() -> str:
    """Which messages of the outbox stay while their refunds are open: a condition for ``Housekeeping``."""
    return load_queries(PACKAGE)["is_open"]


class TicketWithoutSeat(TiketiError):
    """A valid ticket whose seat is not its order's: a fault of ours. The statement that found out was undone."""

    code, title = "ticket-without-seat", "Ticket without its seat"


class RefundBook:
    """Refunds and cancelled events. Every method is one statement: it happens whole or not at all."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def request(self, wanted: Wanted, delay: ReturnDelay) -> Ruling:
        """Void tickets and ask for their price, or learn why not. Raises TicketWithoutSeat.

        If the event is cancelled, tickets that were used are left as they are.
        """
        try:
            row = await self._pool.fetchrow(
                self._sql["request_refund"],
                uuid4(),
                wanted.order,
                wanted.buyer,
                wanted.event,
                wanted.by,
                wanted.key,
                wanted.reason,
                None if wanted.tickets is None else sorted(wanted.tickets),
                wanted.reason is Reason.EVENT_CANCELLED,
                delay.soonest,
                delay.latest,
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == _REFUSED:
                raise TicketWithoutSeat(f"order {wanted.order}: {error}") from error
            raise
        if row is None:
            raise LookupError("a function has one row")
        return Ruling(
            row["outcome"],
            _refund(row) if row["id"] else None,
            _words(row["used"]),
            _words(row["void"]),
            _words(row["missing"]),
            row["refunds_until"],
        )

    async def of_order(self, order: OrderId) -> Sequence[RefundOfOrder]:
        """What was given back of an order, oldest first."""
        return [_told(row) for row in await self._pool.fetch(self._sql["refunds_of_order"], order)]

    async def finish(self, message: PaymentRefunded) -> tuple[bool, bool, bool]:
        """The money is back: whether the refund is known, was finished now, and whether the order was."""
        row = await self._pool.fetchrow(
            self._sql["finish_refund"], message.refund, message.order, message.amount, message.balance, message.id
        )
        return row["is_known"], row["is_done"], row["is_refunded"]

    async def cancel_event(self, event: EventId, by: str) -> bool | None:
        """Mark an event as cancelled; whether it was not before, None if it never had a sale."""
        is_new: bool | None = await self._pool.fetchval(self._sql["cancel_event"], event, by)
        return is_new

    async def to_refund(self, most: int, besides: Sequence[UUID]) -> list[tuple[OrderId, EventId, str]]:
        """Orders of cancelled events with tickets that count, and who cancelled; ``besides`` some."""
        rows = await self._pool.fetch(self._sql["orders_to_refund"], most, besides)
        return [(OrderId(str(row["order_id"])), EventId(row["event"]), row["cancelled_by"]) for row in rows]

    async def progress(self, event: EventId) -> Progress:
        """How far the refunds of an event are."""
        row = await self._pool.fetchrow(self._sql["progress"], event)
        return Progress(**dict(row))

    async def ask_again(self, silent: timedelta, most: int) -> list[str]:
        """Have payment asked again, with the same messages, for refunds it has not answered for so long."""
        return [row["refund"] for row in await self._pool.fetch(self._sql["ask_again"], silent, most)]

    async def overdue(self, after: timedelta) -> int:
        """Number of refunds that payment has not made for longer than ``after``."""
        return int(await self._pool.fetchval(self._sql["count_overdue"], after))

    async def returning(self, most: int) -> list[Returning]:
        """Seats on their way back that nobody was offered yet, oldest first."""
        rows = await self._pool.fetch(self._sql["take_returning"], most)
        return [
            Returning(str(row["id"]), EventId(row["event"]), tuple(map(SeatId, row["seats"])), row["free_at"])
            for row in rows
        ]

    async def offered(self, refund: str) -> None:
        """The seats of a refund were offered."""
        await self._pool.execute(self._sql["offered"], refund)


def _words(ids: Sequence[UUID] | None) -> Sequence[str]:
    return tuple(map(str, ids or ()))


def _refund(row: Mapping[str, Any]) -> Refund:
    return Refund(EventId(row["event"]), _told(row), row["free_at"])


def _told(row: Mapping[str, Any]) -> RefundOfOrder:
    return RefundOfOrder(
        refund=str(row["id"]),
        order=OrderId(str(row["order_id"])),
        reason=row["reason"],
        state=row["state"],
        tickets=tuple(map(str, row["tickets"])),
        seats=tuple(map(SeatId, row["seats"])),
        amount=row["amount"],
        currency=row["currency"],
        requested_at=row["requested_at"],
        done_at=row["done_at"],
    )
