"""What time brings to those who wait: offers end, seats come free. Any number may run at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tiketi_runtime.contracts.identity import PUBLIC
from tiketi_runtime.contracts.sale_sheet import Admission, SaleSheet
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
        """Serve every waitlist of a sale that is on and not paused; one that fails keeps no other waiting.

        Seats are kept for those who wait only while this is done. Raises the first trouble, once all were served.
        """
        now, sales = datetime.now(UTC), self.room.office.sales.all()
        on_sale = {
            event: sale
            for event, sale in sales.items()
            if (line := sale.line(PUBLIC)) is not None and line.opens_at <= now < line.closes_at + _AFTERMATH
        }
        if not on_sale:
            return
        waited_for = [event for event in await self.room.lists.waited_for(list(on_sale)) if _is_served(on_sale[event])]
        idle = [sale for event, sale in on_sale.items() if event not in waited_for and _is_open(sale, now)]
        await usecases.look_after(self.room, idle)
        troubles: list[Exception] = []
        # One after the other: each takes two connections.
        for event in waited_for:
            try:
                is_served = await usecases.serve(self.room, on_sale[event])
                if is_served and _is_open(on_sale[event], now):
                    await usecases.look_after(self.room, [on_sale[event]])
            except Exception as error:  # noqa: BLE001 (raised once all were served)
                error.add_note(f"waitlist of {event}")
                troubles.append(error)
        if troubles:
            raise troubles[0]

    async def offer(self, returning: Returning) -> None:
        """Seats of void tickets are the waitlist's at once, not when everybody's: the next round offers them."""
        await self.room.lists.free_returning(returning.event, returning.refund)


def _is_served(sale: SaleSheet) -> bool:
    return sale.admission is not Admission.PAUSED


def _is_open(sale: SaleSheet, now: datetime) -> bool:
    """Whether the public line is open, so that seats can be offered. A pause passes: seats are kept meanwhile."""
    line = sale.line(PUBLIC)
    return line is not None and line.opens_at <= now < line.closes_at
