"""What owners and gates do with tickets. One function is one intent."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from prometheus_client import Counter

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.ticket_code import TYP, TicketCode
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import ForeignSignature, PublicKeys, TokenSigner
from tiketi_services.ticket.orders.domain import IdempotencyMismatch
from tiketi_services.ticket.tickets.domain import (
    CheckIn,
    Outcome,
    OwnedTicket,
    Reading,
    Scan,
    TicketState,
    conclude,
    judge,
)
from tiketi_services.ticket.tickets.repository import TicketBook

SCANS = Counter("tiketi_ticket_scans_total", "Tickets scanned at gates, by outcome.", ["outcome"])

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TicketDesk:
    """Everything it takes to show tickets and to let people in."""

    book: TicketBook
    signer: TokenSigner
    keys: PublicKeys
    """Its own public key, the next one and former ones."""


def code_of(desk: TicketDesk, ticket: OwnedTicket) -> str | None:
    """What the QR code of a ticket shows, the same each time; None for a void one."""
    return None if ticket.state is TicketState.VOID else desk.signer.seal(TYP, ticket.content.claims())


def read_code(desk: TicketDesk, event: EventId, code: str) -> Reading:
    """What a scanned code says by itself, at the gate of an event."""
    try:
        return judge(event, TicketCode.from_claims(desk.keys.read(code, TYP)))
    except ForeignSignature:
        return Reading(None, Outcome.FORGED)
    except InvalidToken:
        return Reading(None, Outcome.NOT_A_TICKET)


async def check_in(desk: TicketDesk, scan: Scan, code: str) -> CheckIn:
    """Let the bearer of a ticket in, once; the same scan sent again is answered as the first time.

    Raises IdempotencyMismatch (the scan's key belongs to another scan), and what ``conclude`` raises. Whatever comes of
    it, it is written down.
    """
    reading = read_code(desk, scan.event, code)
    verdict = await desk.book.scan(scan, reading)
    SCANS.labels(verdict.outcome).inc()
    ticket = reading.content and reading.content.ticket
    where = {"event": scan.event, "gate": scan.gate, "scanner": scan.scanner}
    log.info("ticket scanned", extra={**where, "ticket": ticket, "outcome": verdict.outcome})
    if verdict.outcome is Outcome.KEY_REUSED:
        raise IdempotencyMismatch("This Idempotency-Key was used for another scan. Give every scan a key of its own.")
    return conclude(reading, verdict)
