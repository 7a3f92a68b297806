"""Ticket's and payment's databases as the auditor sees them: to read, and to stop a sale."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from tiketi_runtime.postgres import Pool, load_queries
from tiketi_services.stats.audit import (
    Finding,
    PaymentSide,
    RefundRow,
    Stop,
    StraySeat,
    TicketRow,
    TicketSide,
    facts_of,
)

AUDITOR: Final = "auditor"
"""Who stops sales, as the rows say."""
_BEFORE_ALL: Final = UUID(int=0)
_TICKET_COLUMNS: Final = (
    *("event", "buyer", "state", "amount", "currency", "payment_key", "pay_by", "ended_at", "read_at"),
    *("seats", "prices", "kept", "valid", "is_cancelled"),
)
_PAYMENT_COLUMNS: Final = (
    *("state", "event", "buyer", "amount", "currency", "paid_amount", "paid_currency", "payment_key", "paid_at"),
    *("under_way", "lost", "going_back", "last_refund_at", "read_at"),
)


class Ledgers:
    """Both databases, each through a role that can do no more than this. Methods raise what asyncpg raises."""

    def __init__(self, ticket: Pool, payment: Pool) -> None:
        self._ticket = ticket
        self._payment = payment
        self._sql = load_queries(__package__)

    async def next_orders(self, after: UUID | None, event: str | None, most: int) -> list[UUID]:
        """The next orders by id that either side knows; fewer than ``most`` only at the end."""
        start = after or _BEFORE_ALL
        ours = await self._ticket.fetch(self._sql["orders_of_ticket"], start, event, most)
        theirs = await self._payment.fetch(self._sql["orders_of_payment"], start, event, most)
        return sorted({row["id"] for row in (*ours, *theirs)})[:most]

    async def read(self, orders: Collection[UUID]) -> tuple[Mapping[UUID, TicketSide], Mapping[UUID, PaymentSide]]:
        """The orders as ticket has them and then, later, as payment has them."""
        if not orders:
            return {}, {}
        ours = await self._ticket.fetch(self._sql["audit_ticket"], orders)
        theirs = await self._payment.fetch(self._sql["audit_payment"], orders)
        return {row["order_id"]: _ticket_side(row) for row in ours}, {
            row["order_id"]: _payment_side(row) for row in theirs
        }

    async def next_strays(
        self, after: tuple[str, str], event: str | None, most: int
    ) -> tuple[list[StraySeat], tuple[str, str] | None]:
        """Stray seats among the next seats, and the last seat looked at; None at the end."""
        rows = await self._ticket.fetch(self._sql["stray_seats"], *after, event, most)
        last = next(((row["event"], row["seat"]) for row in rows if row["order_id"] is None), None)
        return [_stray(row) for row in rows if row["order_id"] is not None], last

    async def strays_among(self, seats: Sequence[tuple[str, str]]) -> list[StraySeat]:
        """Those of these seats (event, name) that are stray."""
        if not seats:
            return []
        events, names = [event for event, _ in seats], [seat for _, seat in seats]
        return [_stray(row) for row in await self._ticket.fetch(self._sql["stray_again"], events, names)]

    async def stops(self) -> list[Stop]:
        """Every stop and what lifted it, oldest first."""
        rows = await self._ticket.fetch(self._sql["stops"])
        return [Stop(*(row[name] for name in ("event", "action", "by", "reason", "facts", "at"))) for row in rows]

    async def stop(self, event: str, reason: str, findings: Sequence[Finding]) -> bool:
        """Stop a sale; False if it is stopped already."""
        sql = self._sql["stop_sale"]
        return await self._ticket.fetchrow(sql, event, AUDITOR, reason, facts_of(findings)) is not None

    async def resume(self, event: str, by: str, reason: str, accepted: Sequence[Finding]) -> bool:
        """Lift a stop; False if there is none."""
        sql = self._sql["resume_sale"]
        return await self._ticket.fetchrow(sql, event, by, reason, facts_of(accepted)) is not None


def _ticket_side(row: Mapping[str, Any]) -> TicketSide:
    parts = zip(row["ticket_seats"], row["ticket_states"], row["ticket_prices"], strict=True)
    same = {name: row[name] for name in _TICKET_COLUMNS}
    return TicketSide(
        order=row["order_id"], tickets=[TicketRow(*part) for part in parts], refunds=_refunds(row), **same
    )


def _payment_side(row: Mapping[str, Any]) -> PaymentSide:
    same = {name: row[name] for name in _PAYMENT_COLUMNS}
    return PaymentSide(order=row["order_id"], refunds=_refunds(row), **same)


def _refunds(row: Mapping[str, Any]) -> list[RefundRow]:
    parts = (row[f"refund_{name}"] for name in ("ids", "amounts", "states", "times"))
    return [RefundRow(*part) for part in zip(*parts, strict=True)]


def _stray(row: Mapping[str, Any]) -> StraySeat:
    return StraySeat(row["event"], row["seat"], row["order_id"])
