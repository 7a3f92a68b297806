"""The books of one sale: what ticket sold, what payment settled, what the vendor charged. They must agree."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
import asyncpg

from tiketi_local.world import World

_TICKET = """
SELECT (SELECT count(*) FROM orders WHERE event = $1 AND state = 'PAID') AS paid_orders,
       (SELECT coalesce(sum(amount), 0)::bigint FROM orders WHERE event = $1 AND state = 'PAID') AS paid_amount,
       (SELECT count(*) FROM orders WHERE event = $1 AND state = 'OPEN') AS open_orders,
       (SELECT count(*) FROM seats WHERE event = $1 AND state = 'SOLD') AS sold_seats,
       (SELECT count(*) FROM tickets WHERE event = $1 AND state = 'ISSUED') AS tickets,
       (SELECT count(*) - count(DISTINCT seat) FROM tickets WHERE event = $1 AND state = 'ISSUED') AS oversold
"""
_SETTLED = """
SELECT a.vendor_order_id, o.amount FROM outcomes o
JOIN orders USING (order_id) JOIN attempts a USING (attempt_id)
WHERE orders.event = $1
"""
_ATTEMPTED = "SELECT a.vendor_order_id FROM attempts a JOIN orders o USING (order_id) WHERE o.event = $1"
_REFUSED = """
SELECT count(*) FROM attempts a JOIN orders o USING (order_id) WHERE o.event = $1 AND a.state = 'REFUSED'
"""


@dataclass(frozen=True, slots=True)
class Books:
    """Sums of one event. Amounts in minor units."""

    paid_orders: int
    paid_amount: int
    open_orders: int
    sold_seats: int
    tickets: int
    oversold: int
    settled_amount: int
    charged_amount: int
    refused_attempts: int

    def mismatches(self) -> list[str]:
        """What does not agree; empty when all is right."""
        checks = {
            f"{self.oversold} seats were sold twice": self.oversold == 0,
            f"{self.sold_seats} seats sold, but {self.tickets} tickets": self.sold_seats == self.tickets,
            f"paid orders say {self.paid_amount}, settled is {self.settled_amount}": (
                self.paid_amount == self.settled_amount
            ),
            f"charged {self.charged_amount}, sold for {self.paid_amount}": self.charged_amount == self.paid_amount,
        }
        return [text for text, holds in checks.items() if not holds]

    def rows(self) -> list[tuple[str, str]]:
        """What the report shows."""
        return [
            ("orders paid", f"{self.paid_orders:,}"),
            ("orders open (a refused card may still pay until payBy)", f"{self.open_orders:,}"),
            ("payment attempts refused", f"{self.refused_attempts:,}"),
            ("tickets issued", f"{self.tickets:,}"),
            ("seats sold", f"{self.sold_seats:,}"),
            ("oversold", f"{self.oversold:,}"),
            ("sold for", f"{self.paid_amount:,}"),
            ("charged by the vendor, less cancelled", f"{self.charged_amount:,}"),
        ]


async def read_books(world: World, event: str) -> Books:
    """Read both databases and the vendor's ledger."""
    ticket = await asyncpg.connect(world.database_url("ticket"))
    payment = await asyncpg.connect(world.database_url("payment"))
    try:
        sums = await ticket.fetchrow(_TICKET, event)
        settled = await payment.fetch(_SETTLED, event)
        attempted = {row["vendor_order_id"] for row in await payment.fetch(_ATTEMPTED, event)}
        refused = await payment.fetchval(_REFUSED, event)
    finally:
        await ticket.close()
        await payment.close()
    return Books(
        **dict(sums),
        settled_amount=sum(row["amount"] for row in settled),
        charged_amount=await _charged(world.url("toss"), attempted),
        refused_attempts=refused,
    )


async def _charged(toss_url: str, vendor_orders: set[str]) -> int:
    """What the vendor keeps of these orders: charged less cancelled."""
    async with aiohttp.ClientSession() as http, http.get(f"{toss_url}/__sim/ledger", raise_for_status=True) as answer:
        ledger = await answer.json()
    return sum(
        entry["charged"] - entry["cancelled"] for entry in ledger["payments"] if entry["orderId"] in vendor_orders
    )
