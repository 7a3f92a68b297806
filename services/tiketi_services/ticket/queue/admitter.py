"""What must be done for a line whoever asks for it: serve, sweep, record. Any number of pods may do it at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import DrawnOrder
from tiketi_services.ticket.queue.each import for_each
from tiketi_services.ticket.queue.recording import ClaimRecorder
from tiketi_services.ticket.queue.repository import MOST_CLAIMS, MOST_GHOSTS, MOST_OFFERS, Candidates, Lines, Served
from tiketi_services.ticket.queue.terms import LineTerms, may_serve, may_wait, terms_of
from tiketi_services.ticket.sales.sales import Sales

_LOOKAHEAD: Final = 500
"""Places of a drawn order that are told in one call. Those who left cost no slot."""

Key = tuple[EventId, Line]


class Orders(Protocol):
    """The draws, as far as this process has learned them."""

    def of(self, event: EventId, line: Line) -> DrawnOrder | None:
        """The order of a line; None while it is not drawn."""
        ...


class Admitter:
    """Keeps the lines of all sales moving."""

    def __init__(self, sales: Sales, lines: Lines, orders: Orders, recorder: ClaimRecorder) -> None:
        self._sales = sales
        self._lines = lines
        self._orders = orders
        self._recorder = recorder
        self._ahead: dict[Key, Candidates] = {}

    async def serve(self) -> None:
        """Offer free slots in every line that may be open. The scripts judge by their own clock."""
        await for_each(self._serve, self._terms(lambda _, line, now: may_serve(line, now)))

    async def sweep(self) -> None:
        """Take silent buyers out of every line."""
        await for_each(self._sweep, self._terms(may_wait))

    async def record(self) -> None:
        """Copy claims to PostgreSQL that are not there yet."""
        await for_each(self._record, list(self._sales.all()))

    async def _record(self, event: EventId) -> None:
        while await self._recorder.record_left_over([event]) >= MOST_CLAIMS:
            pass

    async def _serve(self, terms: LineTerms) -> None:
        """Serve until rate, slots or stock are used up, or nobody is left."""
        is_busy = True
        while is_busy:
            served = await self._lines.serve(terms, self._candidates(terms))
            metrics.OFFERED.labels(terms.event, terms.line).inc(served.offered)
            is_busy = served.offered >= MOST_OFFERS or self._look_ahead(terms, served)

    async def _sweep(self, terms: LineTerms) -> None:
        swept = MOST_GHOSTS
        while swept >= MOST_GHOSTS:
            swept = await self._lines.sweep(terms)
            metrics.GHOSTS.labels(terms.event, terms.line).inc(swept)

    def _candidates(self, terms: LineTerms) -> Candidates:
        return self._ahead.get((terms.event, terms.line), Candidates())

    def _look_ahead(self, terms: LineTerms, served: Served) -> bool:
        """Find who is next in a drawn order when those found before are used up; False if there is nothing new."""
        key, order = (terms.event, terms.line), self._orders.of(terms.event, terms.line)
        if not served.lacks_places or order is None:
            return False
        first = served.horizon + 1
        count = min(_LOOKAHEAD, order.n - served.horizon)
        known = self._candidates(terms)
        if count < 1 or (known.from_place == first and known.seqs):
            return False
        self._ahead[key] = Candidates(first, order.seqs(first, count))
        return True

    def _terms(self, may: Callable[[SaleSheet, LineSheet, datetime], bool]) -> list[LineTerms]:
        now = datetime.now(UTC)
        return [
            terms_of(sale, line) for sale in self._sales.all().values() for line in sale.lines if may(sale, line, now)
        ]
