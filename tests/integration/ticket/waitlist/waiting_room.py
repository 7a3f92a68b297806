"""The waitlist of a small house on real PostgreSQL and Redis; what its tests stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from tests.integration.ticket.orders.box_office import EVENT, Stage

from tiketi_runtime.contracts.identity import BuyerId, SeatId
from tiketi_runtime.contracts.seating import Section
from tiketi_services.ticket.orders import usecases as orders
from tiketi_services.ticket.orders.domain import Hold, Order
from tiketi_services.ticket.orders.house import Plans
from tiketi_services.ticket.waitlist import usecases
from tiketi_services.ticket.waitlist.domain import Entry
from tiketi_services.ticket.waitlist.repository import Waitlists
from tiketi_services.ticket.waitlist.sweeper import Sweeper
from tiketi_services.ticket.waitlist.usecases import WaitingRoom

SECTIONS = (Section(name="A", price=100_000, rows=1, seats_per_row=4), Section(name="ST", price=50_000, capacity=2))
ROW = [SeatId(f"A-01-0{number}") for number in (1, 2, 3, 4)]
STANDING = [SeatId("ST-0001"), SeatId("ST-0002")]
OWNER = BuyerId("owner")
OTHER = BuyerId("other")


@dataclass
class Room:
    """Everything a test of the waitlist may touch."""

    stage: Stage
    room: WaitingRoom

    def lasting(self, **changes: Any) -> Room:
        """The same waitlist with other times."""
        return Room(self.stage, replace(self.room, **changes))

    async def sell_out(self) -> tuple[Hold, Hold]:
        """The row is held by one, the standing places by another."""
        return await self.stage.hold(OWNER, *ROW), await self.stage.hold(OTHER, *STANDING)

    async def join(self, buyer: BuyerId, quantity: int = 1, *sections: str) -> Entry:
        entry, _ = await usecases.join(self.room, EVENT, buyer, sections or None, quantity)
        return entry

    async def find(self, buyer: BuyerId) -> Entry:
        return await usecases.find(self.room, EVENT, buyer)

    async def leave(self, buyer: BuyerId) -> None:
        await usecases.leave(self.room, EVENT, buyer)

    async def change_quantity(self, buyer: BuyerId, quantity: int) -> Entry:
        return await usecases.change_quantity(self.room, EVENT, buyer, quantity)

    async def sweep(self) -> None:
        await Sweeper(self.room).sweep()

    async def free(self, hold: Hold, buyer: BuyerId = OWNER) -> None:
        await orders.release_hold(self.stage.office, EVENT, buyer, hold.id)

    async def sell_singly(self) -> None:
        """As ``sell_out``, each seat by a hold of its own."""
        for buyer, seats in ((OWNER, ROW), (OTHER, STANDING)):
            for seat in seats:
                await self.stage.hold(buyer, seat)

    async def free_some(self, seats: Sequence[SeatId]) -> None:
        """The holds that have these seats, and no others, have run out."""
        await self._run_out("h.seats <@ $1::text[]", list(seats))

    async def let_lapse(self, buyer: BuyerId) -> None:
        """The buyer's offer runs out now."""
        await self._run_out("h.buyer = $1 AND h.line = '@waitlist'", buyer)

    async def place(self, buyer: BuyerId) -> Order:
        """Order what is offered."""
        offer = (await self.find(buyer)).offer
        assert offer is not None
        return await orders.place_order(self.stage.office, EVENT, buyer, offer.hold, str(uuid4()))

    async def offered(self, *buyers: BuyerId) -> dict[BuyerId, int]:
        """Number of seats offered to each who has an offer."""
        found = {buyer: (await self.find(buyer)).offer for buyer in buyers}
        return {buyer: len(offer.seats) for buyer, offer in found.items() if offer is not None}

    async def _run_out(self, which: str, value: Any) -> None:
        await self.stage.pool.execute(
            "WITH ended AS (UPDATE holds h SET until = clock_timestamp()"
            f" WHERE h.until > clock_timestamp() AND h.released_at IS NULL AND {which} RETURNING h.id, h.until)"
            " UPDATE seats s SET until = ended.until FROM ended WHERE s.hold = ended.id AND s.state = 'HELD'",
            value,
        )


def room_of(stage: Stage) -> Room:
    lists = Waitlists(stage.pool)
    minutes = timedelta(minutes=1)
    return Room(stage, WaitingRoom(stage.office, lists, Plans(), window=5 * minutes, gathering=10 * minutes))
