"""Bodies of requests and answers: JSON in camelCase."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints

from tiketi_runtime.contracts.identity import EventId, HoldId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import SECTION_NAME
from tiketi_services.ticket.orders.domain import amount_of
from tiketi_services.ticket.orders.schemas import MOST_SEATS, Request, View
from tiketi_services.ticket.waitlist.domain import Entry, EntryState

MOST_SECTIONS = 100
"""Sections in one request, at most."""


def _all_different(sections: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(sections)) < len(sections):
        raise ValueError("a section is named twice")
    return sections


SectionName = Annotated[str, StringConstraints(max_length=12, pattern=SECTION_NAME)]
Quantity = Annotated[int, Field(ge=1, le=MOST_SEATS, strict=True)]


class WaitRequest(Request):
    """What is waited for."""

    quantity: Quantity
    sections: (
        Annotated[
            tuple[SectionName, ...], Field(min_length=1, max_length=MOST_SECTIONS), AfterValidator(_all_different)
        ]
        | None
    ) = None
    """Where; if nothing is said, anywhere that everybody may buy. One offer is always in one section."""


class QuantityRequest(Request):
    """How many seats are waited for from now on. The place stays."""

    quantity: Quantity


class OfferView(View):
    """Seats that are held for who waited. ``POST …/orders`` takes ``hold``; no pass is needed."""

    hold: HoldId
    seats: tuple[SeatId, ...]
    until: datetime
    amount: int
    """Minor units of ``currency``."""
    currency: str


class EntryView(View):
    """A buyer's own entry. ``before`` counts those in front who want some of the same sections."""

    event: EventId
    state: EntryState
    sections: tuple[str, ...]
    quantity: int
    joined_at: datetime
    before: int | None
    lapses: int
    """Offers that were not taken."""
    rests_until: datetime | None
    """While ``state`` is RESTING: nothing is offered before this."""
    reason: str | None
    """Why the wait has ended: left or lapsed."""
    offer: OfferView | None

    @classmethod
    def of(cls, entry: Entry, sale: SaleSheet) -> Self:
        """The view of an entry."""
        offer = entry.offer
        return cls(
            event=entry.event,
            state=entry.state,
            sections=entry.sections,
            quantity=entry.quantity,
            joined_at=entry.joined_at,
            before=entry.before,
            lapses=entry.lapses,
            rests_until=entry.rests_until,
            reason=entry.reason,
            offer=offer
            and OfferView(
                hold=offer.hold,
                seats=tuple(offer.seats),
                until=offer.until,
                amount=amount_of(sale, offer.seats),
                currency=sale.currency,
            ),
        )
