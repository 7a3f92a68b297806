"""Rules of the waitlist, and what can be refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType, Self

from tiketi_runtime.contracts.identity import PUBLIC, EventId, HoldId, Line, SeatId
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.contracts.seating import section_name
from tiketi_runtime.errors import Conflict, NotFound
from tiketi_services.ticket.orders.domain import SectionNotOnSale, unknown_sections
from tiketi_services.ticket.orders.house import House
from tiketi_services.ticket.queue.domain import SaleClosed

EntryId = NewType("EntryId", str)

WAITLIST: Final = Line("@waitlist")
"""Whom a hold of the waitlist came through. No presale can have this name. The SQL function ``seats_kept`` knows it."""
MOST_LAPSES: Final = 2
"""Offers that one entry may let pass; then it is out."""
MOST_PASSES: Final = 3
"""How often seats may go past an entry that wants more of them than are free."""


class NotSoldOut(Conflict):
    """There are seats for everybody: buy some. ``sections`` says where."""

    code, title = "not-sold-out", "Not sold out"


class AlreadyWaiting(Conflict):
    """The account waits already, for something else. Change the quantity, or leave and join again at the end."""

    code, title = "already-waiting", "Already on the waitlist"


class NotWaiting(NotFound):
    """The account is not on this event's waitlist."""

    code, title = "not-waiting", "Not on the waitlist"


class OfferOpen(Conflict):
    """Seats are offered to this entry now: order them, give them back, or leave."""

    code, title = "offer-open", "An offer is open"


class OfferOrdered(Conflict):
    """The offer has become an order, which has to be cancelled as an order."""

    code, title = "offer-ordered", "The offer is ordered"


class EntryState(StrEnum):
    """Where an entry stands."""

    WAITING = "WAITING"
    RESTING = "RESTING"
    OFFERED = "OFFERED"
    ORDERED = "ORDERED"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Offer:
    """Seats held for one who waits, until an instant of the database's clock."""

    hold: HoldId
    seats: Sequence[SeatId]
    until: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One wait of one account."""

    id: EntryId
    event: EventId
    sections: tuple[str, ...]
    quantity: int
    state: EntryState
    joined_at: datetime
    lapses: int
    rests_until: datetime | None
    reason: str | None
    before: int | None = None
    """Entries in front that want some of the same sections; None when it is over, or was not counted."""
    offer: Offer | None = None

    def waits_for(self, sections: Sequence[str], quantity: int) -> bool:
        """Whether this is what was asked for."""
        return (self.sections, self.quantity) == (tuple(sections), quantity)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry that may be offered seats now."""

    id: EntryId
    sections: tuple[str, ...]
    quantity: int
    live: int
    """Seats the buyer has already: held, placed or sold."""
    passes: int
    """How often it was passed over since its last offer."""
    is_gathered: bool
    """Seats were gathered for it long enough: it is offered what there is."""

    def only(self, sections: Sequence[str]) -> Self:
        """The entry, as far as some sections go."""
        return replace(self, sections=tuple(name for name in self.sections if name in sections))


@dataclass(frozen=True, slots=True)
class Offering:
    """Hold these seats for an entry."""

    entry: EntryId
    seats: tuple[SeatId, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for those who wait. Offers are in order of their places."""

    offers: Sequence[Offering]
    short: dict[EntryId, int]
    """Entries for which too few seats were free, with how often each was passed over."""
    full: Sequence[EntryId]
    """Entries of buyers who have as many seats as one buyer may have."""


def public_line(sale: SaleSheet) -> LineSheet:
    """The line that the waitlist stands in for. Raises SaleClosed."""
    line = sale.line(PUBLIC)
    if line is None:
        raise SaleClosed("This sale has no public line, and no waitlist.")
    return line


def wanted_sections(sale: SaleSheet, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The sections waited for, in the order of the house; None: all that everybody may buy.

    Raises UnknownSeat, SectionNotOnSale, SaleClosed.
    """
    line, names = public_line(sale), [section.name for section in sale.sections]
    if wanted is None:
        return tuple(name for name in names if name in line.sections)
    if unknown := sorted(set(wanted).difference(names)):
        raise unknown_sections(sale, unknown, unknown)
    if closed := sorted(set(wanted).difference(line.sections)):
        raise SectionNotOnSale(f"{', '.join(closed)}: not sold to everybody.", sections=list(line.sections))
    return tuple(name for name in names if name in wanted)


def plan(waiting: Sequence[Waiting], house: House, limit: int) -> Plan:
    """Who is offered which free seats. ``waiting`` in order of their places; ``house`` is changed by what is offered.

    Each in turn gets as many as it wants, in one section, next to each other where that is possible. Who wants more
    than are free is passed over for those behind, but MOST_PASSES times only: then whatever comes free in its sections
    is kept until there is enough, or until its time of gathering is over. Then it is offered what there is. So large
    wants are met, none waits for ever, and no seat lies idle for longer than that time.
    """
    offers: list[Offering] = []
    passes: dict[EntryId, int] = {}
    passed: list[Waiting] = []
    full: list[EntryId] = []
    kept: set[str] = set()
    for entry in waiting:
        room = min(entry.quantity, limit - entry.live)
        if room < 1:
            full.append(entry.id)
            continue
        sections = [name for name in entry.sections if name not in kept]
        most = max(map(house.free, sections), default=0)
        if most == 0:
            continue
        if most < room and not entry.is_gathered:
            passes[entry.id] = 0
            passed.append(entry)
            if entry.passes >= MOST_PASSES:
                kept.update(entry.sections)
            continue
        seats = house.best_of(sections, min(room, most))
        house.take(seats)
        offers.append(Offering(entry.id, tuple(sorted(seats))))
        for other in passed:
            if section_name(seats[0]) in other.sections:
                passes[other.id] += 1
                if other.passes + passes[other.id] >= MOST_PASSES:
                    kept.update(other.sections)
    return Plan(offers, passes, full)
