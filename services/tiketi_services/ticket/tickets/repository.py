"""Tickets in PostgreSQL. Sole caller of sql/."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tiketi_runtime.contracts.identity import BuyerId, EventId, OrderId, SeatId
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_services.ticket.tickets.domain import (
    Attendance,
    Outcome,
    OwnedTicket,
    Reading,
    Scan,
    TicketState,
    Verdict,
)

PACKAGE: Final = "tiketi_services.ticket.tickets"


class TicketBook:
    """Tickets and scans. Every method is one statement: it happens whole or not at all."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def of_buyer(self, buyer: BuyerId, most: int) -> list[OwnedTicket]:
        """A buyer's tickets, newest first."""
        rows = await self._pool.fetch(self._sql["tickets_of_buyer"], buyer, most)
        return [
            OwnedTicket(
                id=str(row["id"]),
                event=EventId(row["event"]),
                seat=SeatId(row["seat"]),
                order=OrderId(str(row["order_id"])),
                state=TicketState(row["state"]),
                owner=row["owner"],
                issued_at=row["issued_at"],
                checked_in_at=row["checked_in_at"],
            )
            for row in rows
        ]

    async def scan(self, scan: Scan, reading: Reading) -> Verdict:
        """Let the bearer in, once, or say why not; the same scan again is answered as before. Writes it down."""
        ticket = None if reading.content is None else UUID(reading.content.ticket)
        row = await self._pool.fetchrow(
            self._sql["scan_ticket"], scan.event, ticket, reading.finding, scan.gate, scan.scanner, scan.key
        )
        if row is None:
            raise LookupError("a function has one row")
        return Verdict(Outcome(row["outcome"]), row["used_at"], row["used_gate"], row["voided"])

    async def void(self, event: EventId) -> list[str]:
        """Ids of the event's tickets that are void."""
        return [str(row["id"]) for row in await self._pool.fetch(self._sql["void_tickets"], event)]

    async def attendance(self, event: EventId) -> Attendance:
        """How many are inside, by gate, and how many may still come."""
        rows = await self._pool.fetch(self._sql["count_attendance"], event)
        gates = {row["gate"]: row["tickets"] for row in rows if row["state"] == TicketState.USED}
        counts = {row["state"]: row["tickets"] for row in rows if row["state"] != TicketState.USED}
        return Attendance(
            issued=counts.get(TicketState.ISSUED, 0),
            inside=sum(gates.values()),
            void=counts.get(TicketState.VOID, 0),
            gates=gates,
        )
