"""What time brings to those who wait: offers end, seats come free. Any number may run at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tiketi_runtime.contracts.identity import PUBLIC
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.refunds.domain import Returning
from tiketi_services.ticket.waitlist import usecases
from tiketi_services.ticket.waitlist.usecases import WaitingRoom

_AFTERMATH: Final = timedelta(hours=1)
"""How long after a sale has closed its last offers are looked after. PostgreSQL makes no new ones then."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """One round, to be made every now and then; and the waitlist's first choice of returned seats."""

    room: WaitingRoom

    async def sweep(self) -> None:
        """Serve every waitlist of a sale that is on and not paused."""
        now, sales = datetime.now(UTC), self.room.office.sales.all()
        on_sale = [
            event
            for event, sale in sales.items()
            if (line := sale.line(PUBLIC)) is not None
            and line.opens_at <= now < line.closes_at + _AFTERMATH
            and sale.admission is not Admission.PAUSED
        ]
        for event in await self.room.lists.waited_for(on_sale) if on_sale else ():
            await usecases.serve(self.room, sales[event])

    async def offer(self, returning: Returning) -> None:
        """Seats of void tickets are the waitlist's at once, not when everybody's: the next round offers them."""
        await self.room.lists.free_returning(returning.event, returning.refund)
