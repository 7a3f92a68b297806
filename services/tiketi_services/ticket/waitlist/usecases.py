"""What those who wait do, and what is done for them. One function is one intent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from prometheus_client import Counter

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import Section
from tiketi_runtime.errors import Unavailable
from tiketi_services.ticket.orders.domain import TakenSeat
from tiketi_services.ticket.orders.house import House, Plans
from tiketi_services.ticket.orders.usecases import BoxOffice, check_limit
from tiketi_services.ticket.queue.domain import SaleClosed
from tiketi_services.ticket.waitlist.domain import (
    MOST_LAPSES,
    AlreadyWaiting,
    Entry,
    EntryId,
    EntryState,
    NotSoldOut,
    NotWaiting,
    Offering,
    OfferOpen,
    OfferOrdered,
    plan,
    public_line,
    wanted_sections,
)
from tiketi_services.ticket.waitlist.repository import Waitlists

_TRIES: Final = 3
"""How often is asked again with a newer sale sheet."""
_FEWER: Final = "Lower `quantity`."
"""What to do at the limit."""
_AT_ONCE: Final = 200
"""Entries that are looked at in one round."""

WAITS = Counter("tiketi_waitlist_entries_total", "Entries of waitlists by what happened to them.", ["what"])
OFFERS = Counter(
    "tiketi_waitlist_offers_total", "Seats offered to those who wait, by what came of trying.", ["outcome"]
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """Everything it takes to let buyers wait for seats."""

    office: BoxOffice
    lists: Waitlists
    plans: Plans
    window: timedelta
    """How long offered seats are held for who waits."""
    gathering: timedelta
    """How long free seats are kept for who wants more of them than there are."""


# --- Those who wait


async def join(
    room: WaitingRoom, event: EventId, buyer: BuyerId, sections: Sequence[str] | None, quantity: int
) -> tuple[Entry, bool]:
    """Wait for seats of sold-out sections (None: any); the same again is answered alike. True if it is a new entry.

    Raises NotSoldOut, AlreadyWaiting (for something else), LimitReached, UnknownSeat, SectionNotOnSale, SaleClosed.
    """
    for _ in range(_TRIES):
        sale = await room.office.sales.sheet(event)
        line, wanted = public_line(sale), wanted_sections(sale, sections)
        await check_limit(room.office, sale, buyer, quantity, _FEWER)
        places = [section for section in sale.sections if section.name in wanted]
        joining = await room.lists.join(sale, line, buyer, EntryId(str(uuid4())), places, quantity)
        if joining.outcome != "stale-sheet":
            break
        await room.office.sales.restore()
    else:
        raise Unavailable("The waitlist could not be joined just now.", retryAfter=1)
    if joining.outcome == "closed":
        opens, closes = line.opens_at.isoformat(), line.closes_at.isoformat()
        raise SaleClosed(f"Seats are sold from {opens} to {closes}.", opensAt=opens, closesAt=closes)
    if joining.outcome == "not-sold-out":
        free = list(joining.free)
        raise NotSoldOut(f"There are seats in {', '.join(free)}: buy some, or wait for other sections.", sections=free)
    if joining.entry is not None and not joining.entry.waits_for(wanted, quantity):
        raise AlreadyWaiting("You wait already, for something else. Change the quantity, or leave and join anew.")
    if joining.outcome == "joined":
        WAITS.labels("joined").inc()
        log.info("waitlist joined", extra={"event": event, "buyer": buyer, "quantity": quantity})
    return await find(room, event, buyer), joining.outcome == "joined"


async def find(room: WaitingRoom, event: EventId, buyer: BuyerId) -> Entry:
    """The buyer's own entry, or the last one. Raises NotWaiting."""
    await room.office.sales.sheet(event)
    entry = await room.lists.find(event, buyer)
    if entry is None:
        raise NotWaiting("You are not on this event's waitlist.")
    return entry


async def change_quantity(room: WaitingRoom, event: EventId, buyer: BuyerId, quantity: int) -> Entry:
    """Wait for more or for fewer, at the same place. Raises LimitReached, OfferOpen, NotWaiting."""
    await check_limit(room.office, await room.office.sales.sheet(event), buyer, quantity, _FEWER)
    is_changed = await room.lists.change_quantity(event, buyer, quantity)
    entry = await find(room, event, buyer)
    if not is_changed:
        if entry.state is EntryState.OFFERED:
            raise OfferOpen("Seats are offered to you: order them, give them back, or leave the waitlist.")
        if entry.state not in (EntryState.WAITING, EntryState.RESTING):
            raise NotWaiting("You are not on this event's waitlist any more.")
        raise Unavailable("An offer has just ended. Ask again.", retryAfter=1)
    WAITS.labels("changed").inc()
    return entry


async def leave(room: WaitingRoom, event: EventId, buyer: BuyerId) -> None:
    """Give up the place, and the seats that are offered. Again is no error. Raises NotWaiting, OfferOrdered."""
    await room.office.sales.sheet(event)
    leaving = await room.lists.leave(event, buyer)
    if leaving.outcome == "unknown":
        raise NotWaiting("You are not on this event's waitlist.")
    if leaving.outcome == "ordered":
        raise OfferOrdered("The offered seats have become an order; cancel that.")
    if leaving.outcome == "left":
        WAITS.labels("left").inc()
        log.info("waitlist left", extra={"event": event, "buyer": buyer})
    if leaving.hold is not None:
        hold = leaving.hold
        await room.office.paint.unlock(event, [(seat, hold) for seat in leaving.freed])


# --- What is done for them


async def look_after(room: WaitingRoom, sales: Sequence[SaleSheet]) -> None:
    """Keep what comes free of these sales for those who wait, for the next half minute."""
    if sales:
        await room.lists.note_served({sale.event: [place.name for place in _places(sale)] for sale in sales})


async def serve(room: WaitingRoom, sale: SaleSheet) -> bool:
    """See what became of the offers of an event, and offer what is free. One process at a time does it.

    False: another one has the turn.
    """
    async with room.lists.turn(sale.event) as is_ours:
        if not is_ours:
            return False
        for entry, became in await room.lists.settle(sale.event, room.window, MOST_LAPSES):
            WAITS.labels("lapsed" if became is EntryState.RESTING else became.lower()).inc()
            log.info("offer is over", extra={"event": sale.event, "entry": entry, "became": became})
        await _offer_what_is_free(room, sale)
        # Last: who has just let an offer lapse, or rests for another reason, does not get the same seats again first.
        await room.lists.wake(sale.event)
        return True


def _places(sale: SaleSheet) -> list[Section]:
    """Sections that the waitlist offers: those of the public line."""
    line = public_line(sale)
    return [section for section in sale.sections if section.name in line.sections]


async def _offer_what_is_free(room: WaitingRoom, sale: SaleSheet) -> None:
    sections = await room.lists.vacancies(sale.event, _places(sale))
    if not sections:
        return
    house = House(room.plans.of(sale), held=await room.lists.taken_in(sale.event, sections))
    waiting = [entry.only(sections) for entry in await room.lists.waiting(sale.event, sections, _AT_ONCE)]
    todo = plan(waiting, house, sale.max_tickets_per_buyer)
    for offering in todo.offers:
        await _offer(room, sale, offering)
    if todo.short:
        await room.lists.note_shortage(todo.short, room.gathering)
    for entry in todo.full:
        await room.lists.rest(entry, room.window)


async def _offer(room: WaitingRoom, sale: SaleSheet, offering: Offering) -> None:
    hold = HoldId(str(uuid4()))
    offered = await room.lists.offer(sale, public_line(sale), offering, hold, room.window)
    OFFERS.labels(offered.outcome).inc()
    if offered.outcome != "held" or offered.buyer is None:
        # The next round sees what has changed.
        log.info("not offered", extra={"event": sale.event, "entry": offering.entry, "outcome": offered.outcome})
        return
    buyer, until = offered.buyer, offered.until
    log.info("seats offered", extra={"event": sale.event, "buyer": buyer, "hold": hold, "seats": offering.seats})
    room.office.maps.mark(sale, offering.seats)
    await room.office.paint.show(sale.event, [TakenSeat(seat, "HELD", hold, buyer, until) for seat in offering.seats])
