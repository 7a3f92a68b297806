"""What buyers see of a sale."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import namespace_and_name
from tiketi_runtime.contracts.sale_sheet import LineSheet, Phase, QueueingMethod, SaleSheet, VenueSheet
from tiketi_runtime.contracts.seating import Section
from tiketi_services.ticket.sales.domain import phase_of


class View(BaseModel):
    """JSON in camelCase."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class EventSummary(View):
    """One event in the catalogue."""

    event: str
    namespace: str
    name: str
    title: str
    venue: VenueSheet
    starts_at: datetime
    opens_at: datetime
    closes_at: datetime
    phase: Phase

    @classmethod
    def of(cls, sale: SaleSheet, now: datetime, sold: int) -> EventSummary:
        """The event as it is at ``now``."""
        namespace, name = namespace_and_name(sale.event)
        return cls(
            event=sale.event,
            namespace=namespace,
            name=name,
            title=sale.title,
            venue=sale.venue,
            starts_at=sale.starts_at,
            opens_at=sale.opens_at,
            closes_at=sale.closes_at,
            phase=phase_of(sale, now, sold=sold),
        )


class Catalogue(View):
    """Every event on this platform."""

    events: tuple[EventSummary, ...]


class SectionView(View):
    """Places of one price. ``rows`` and ``seatsPerRow`` for seats, neither for standing places."""

    name: str
    price: int
    size: int
    rows: int | None
    seats_per_row: int | None

    @classmethod
    def of(cls, section: Section) -> SectionView:
        """The section as buyers see it."""
        return cls(
            name=section.name,
            price=section.price,
            size=section.size,
            rows=section.rows,
            seats_per_row=section.seats_per_row,
        )


class LineView(View):
    """One line: the public sale or a presale.

    ``joinsFrom`` is when buyers may begin to line up, ``drawAt`` when the entries of a line that is drawn by lot close,
    ``needsCode`` whether joining takes a code.
    """

    name: str
    joins_from: datetime
    draw_at: datetime | None
    opens_at: datetime
    closes_at: datetime
    sections: tuple[str, ...]
    needs_code: bool

    @classmethod
    def of(cls, sale: SaleSheet, line: LineSheet) -> LineView:
        """The line as buyers see it."""
        return cls(
            name=line.name,
            joins_from=sale.lead_in_at(line),
            draw_at=line.draw_at,
            opens_at=line.opens_at,
            closes_at=line.closes_at,
            sections=line.sections,
            needs_code=line.codes is not None,
        )


class EventView(EventSummary):
    """One event with everything a buyer needs to know before joining."""

    description: str
    currency: str
    message: str
    max_tickets_per_buyer: int
    hold_seconds: int
    refunds_until: datetime | None
    queueing_method: QueueingMethod
    sections: tuple[SectionView, ...]
    lines: tuple[LineView, ...]

    @classmethod
    def of(cls, sale: SaleSheet, now: datetime, sold: int) -> EventView:
        """The event as it is at ``now``."""
        summary = EventSummary.of(sale, now, sold)
        return cls(
            **dict(summary),
            description=sale.description,
            currency=sale.currency,
            message=sale.message,
            max_tickets_per_buyer=sale.max_tickets_per_buyer,
            hold_seconds=round(sale.hold_duration.total_seconds()),
            refunds_until=sale.refunds_until,
            queueing_method=sale.queue.method,
            sections=tuple(SectionView.of(section) for section in sale.sections),
            lines=tuple(LineView.of(sale, line) for line in sale.lines),
        )


class Timed(View):
    """Added to every answer, so that clients can show countdowns by our clock."""

    server_time: datetime


class TimedCatalogue(Catalogue, Timed):
    """Answer of GET /events."""


class TimedEvent(EventView, Timed):
    """Answer of GET /events/{namespace}/{name}."""
