"""What must be done for a line whoever asks for it: serve, sweep, record. Any number of pods may do it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import LineTerms, may_serve, may_wait, terms_of
from tiketi_services.ticket.queue.repository import Lines, UnrecordedClaims
from tiketi_services.ticket.sales.sales import Sales


class Admitter:
    """Keeps the lines of all sales moving."""

    def __init__(self, sales: Sales, lines: Lines, claims: UnrecordedClaims) -> None:
        self._sales = sales
        self._lines = lines
        self._claims = claims

    async def serve(self) -> None:
        """Offer free slots in every line that may be open. The scripts judge by their own clock."""
        await asyncio.gather(*(self._serve(terms) for terms in self._terms(may_serve)))

    async def sweep(self) -> None:
        """Take silent buyers out of every line."""
        await asyncio.gather(*(self._sweep(terms) for terms in self._terms(may_wait)))

    async def record(self) -> None:
        """Copy new claims to PostgreSQL."""
        metrics.RECORDED.inc(await self._claims.record(list(self._sales.all())))

    async def _serve(self, terms: LineTerms) -> None:
        served = await self._lines.serve(terms)
        metrics.OFFERED.labels(terms.event, terms.line).inc(served.offered)

    async def _sweep(self, terms: LineTerms) -> None:
        metrics.GHOSTS.labels(terms.event, terms.line).inc(await self._lines.sweep(terms))

    def _terms(self, may: Callable[[SaleSheet, LineSheet, datetime], bool]) -> list[LineTerms]:
        now = datetime.now(UTC)
        return [
            terms_of(sale, line) for sale in self._sales.all().values() for line in sale.lines if may(sale, line, now)
        ]
