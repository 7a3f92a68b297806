"""What time brings: orders past their time, holds that ran out, paint that was lost. Any number may run at once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import Counter

from tiketi_runtime.contracts.identity import OrderId
from tiketi_runtime.errors import TiketiError
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.usecases import BoxOffice

_ORDERS_AT_ONCE: Final = 16
_HOLDS_AT_ONCE: Final = 500
_AFTERMATH: Final = timedelta(hours=1)
"""How long after a sale has closed its last orders may still end, and its paint is kept right."""
_UNDER_WAY: Final = timedelta(seconds=1)
"""A hold that is painted becomes a row of PostgreSQL, or is unpainted, within this time."""

NOT_CLOSED = Counter("tiketi_orders_not_closed_total", "Times that an order could not be closed when it was due.")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Three rounds, each to be made now and then."""

    office: BoxOffice
    closing_retry: timedelta
    """Until payment is asked again to close an order."""

    async def close_orders(self) -> None:
        """Have payment close what is past its time or given up, until nothing is due."""
        while due := await self.office.book.take_due(_ORDERS_AT_ONCE, self.closing_retry):
            await asyncio.gather(*(self._close(order) for order in due))

    async def _close(self, order: OrderId) -> None:
        """One order that cannot be closed now must not keep the others open; it is due again after a while."""
        try:
            await usecases.close_order(self.office, order)
        except TiketiError as error:
            NOT_CLOSED.inc()
            log.warning("order not closed", extra={"order": order, "code": error.code, "error": error.detail})

    async def sweep_holds(self) -> None:
        """Remove holds that ran out and paint their seats free."""
        while swept := await self.office.book.sweep_holds(_HOLDS_AT_ONCE):
            for event, seats in swept.items():
                await self.office.paint.unlock(event, seats)

    async def mend_paint(self) -> None:
        """Compare what Redis shows and counts with PostgreSQL, and paint anew where they differ."""
        now = datetime.now(UTC)
        events = [
            event
            for event, sale in self.office.sales.all().items()
            if min(line.opens_at for line in sale.lines) <= now < sale.closes_at + _AFTERMATH
        ]
        true_counts = await self.office.book.count_taken(events)
        for event in events:
            painted = await self.office.paint.counts(event)
            if painted is None:
                continue
            if (painted.sold, painted.painted) != true_counts.get(event, (0, 0)):
                await usecases.repaint(self.office, event, patience=_UNDER_WAY)
            elif painted.counted != painted.painted:
                await self.office.paint.recount(event)
