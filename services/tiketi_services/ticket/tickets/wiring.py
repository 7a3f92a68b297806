"""How tickets are put together."""

from __future__ import annotations

from fastapi import FastAPI

from tiketi_runtime.postgres import Pool
from tiketi_runtime.security import PublicKeys, TokenSigner
from tiketi_services.ticket.tickets.repository import PACKAGE, TicketBook
from tiketi_services.ticket.tickets.usecases import TicketDesk

__all__ = ["PACKAGE", "open_tickets"]


def open_tickets(app: FastAPI, pool: Pool, signer: TokenSigner) -> None:
    """Serve tickets from ``app.state.ticket_desk``. They need PostgreSQL and nothing else: gates open without Redis."""
    app.state.ticket_desk = TicketDesk(TicketBook(pool), signer, PublicKeys(signer.jwks()))
