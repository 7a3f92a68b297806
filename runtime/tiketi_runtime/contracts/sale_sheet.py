"""The compiled sale sheet: everything the services need to run one sale, in one document.

The operator compiles it from TicketEvent and QueuePolicy and writes it to Redis; ticket copies every version to
PostgreSQL. Services never see the Kubernetes objects.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import PUBLIC, EventId, Line, SeatId
from tiketi_runtime.contracts.seating import Section, section_name

BEHIND: Final = timedelta(seconds=10)
"""How long after a sheet was taken over another process of ticket may still let buyers join by the one before it, and
how far the clocks of this may be apart. Longer than ``Sales.is_behind`` bears, and a script may take, together."""


class Admission(StrEnum):
    """The organiser's hand on the door."""

    OPEN = "Open"
    PAUSED = "Paused"
    """Nobody is admitted or holds; who pays may finish."""
    DRAIN = "Drain"
    """The line is served, nobody joins."""


class QueueingMethod(StrEnum):
    """How the order of the line comes about."""

    FIFO = "fifo"
    LOTTERY = "lottery"
    PASSTHROUGH = "passthrough"
    REJECT = "reject"


class Phase(StrEnum):
    """Where a sale stands."""

    SCHEDULED = "Scheduled"
    ARMED = "Armed"
    PREQUEUE = "Prequeue"
    PRESALE = "Presale"
    ON_SALE = "OnSale"
    PAUSED = "Paused"
    SOLD_OUT = "SoldOut"
    CLOSED = "Closed"
    DELAYED = "Delayed"
    """By the clock it is on sale, but buyers cannot come in yet. Only the operator sees that."""
    CANCELLED = "Cancelled"
    """The event does not take place."""


class Document(BaseModel):
    """JSON in camelCase, Python in snake_case, never changed after it was read."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class VenueSheet(Document):
    """Where it takes place."""

    name: str
    time_zone: str


class CodeUse(StrEnum):
    """How often a presale code lets somebody in."""

    ONCE = "Once"
    """One account in all: whoever comes first."""
    PER_ACCOUNT = "PerAccount"
    """Any account, once each: a word shared by a group."""


class CodesSheet(Document):
    """The codes of a presale. The digests themselves travel beside the sheet (``LineKeys.codes``)."""

    use: CodeUse = CodeUse.ONCE
    count: Annotated[int, Field(ge=0)]
    version: str
    """``CodeBook.version``. Empty: the presale is over and its codes are gone."""


class BeaconSheet(Document):
    """A round of a public randomness beacon (drand), named before anybody can know its value."""

    chain: str
    round: Annotated[int, Field(ge=1)]


class LineSheet(Document):
    """One line: the public sale, or a presale for named sections."""

    name: Line
    opens_at: AwareDatetime
    closes_at: AwareDatetime
    sections: tuple[str, ...]
    draw_at: AwareDatetime | None = None
    """When the entries close and their order is drawn. None: the order is that of joining."""
    beacon: BeaconSheet | None = None
    """Goes into the draw; None: buyers have to trust the operator."""
    codes: CodesSheet | None = None
    """None: nobody is asked for a code."""
    joined_from: AwareDatetime | None = None
    """Since when buyers may have joined, if the sale was postponed later. None: since ``SaleContent.lead_in_at``."""

    def is_open(self, now: datetime) -> bool:
        """Whether buyers of this line are admitted at ``now``."""
        return self.opens_at <= now < self.closes_at


class DrawPromise(Document):
    """What those who may have joined a line were told of its draw."""

    line: Line
    joined_from: AwareDatetime
    draw_at: AwareDatetime | None = None
    """None: that the order is that of joining."""
    beacon: BeaconSheet | None = None

    def is_broken_by(self, line: LineSheet, now: datetime) -> bool:
        """Whether the line would be drawn although that was not said, or not although it was, or before its time.

        A draw that was due is not held again at any other time.
        """
        if self.draw_at is None or line.draw_at is None:
            return self.draw_at is not line.draw_at
        if self.draw_at <= now:
            return line.draw_at != self.draw_at
        return line.draw_at < now


class RefusedSheet(Document):
    """A sheet that ticket does not take over, because of promises that it breaks: ``EventKeys.refused``."""

    version: int
    promises: tuple[DrawPromise, ...]


class AdaptiveSheet(Document):
    """When to slow admissions down."""

    p95_latency: timedelta
    error_rate: Annotated[int, Field(ge=1, le=100)]
    """Percent."""
    floor_per_minute: Annotated[int, Field(ge=1)]


class QueueSheet(Document):
    """The policy's numbers, compiled."""

    method: QueueingMethod
    total_active_users: Annotated[int, Field(ge=1)]
    """Buyers who may shop at the same time, offered places included."""
    new_users_per_minute: Annotated[int, Field(ge=1)]
    session_duration: timedelta
    ghost_timeout: timedelta
    claim_window: timedelta
    adaptive: AdaptiveSheet | None = None
    max_proof_bits: Annotated[int, Field(ge=0, le=26)] = 0
    """Most work (2^bits hashes on average) asked of a buyer who joins; 0 asks for none."""


class RateLimit(Document):
    """``requests`` in every ``per``."""

    requests: Annotated[int, Field(ge=1)]
    per: timedelta


class RateLimits(Document):
    """Limits the gateway enforces for one event."""

    per_buyer: RateLimit | None = None
    per_address: RateLimit | None = None
    per_event: RateLimit | None = None


class SaleContent(Document):
    """All of a sale sheet but its version: what decides whether a new version is due."""

    event: EventId
    uid: str
    generation: int
    title: str
    description: str = ""
    venue: VenueSheet
    starts_at: AwareDatetime
    currency: str
    arm_at: AwareDatetime
    prequeue_at: AwareDatetime | None = None
    opens_at: AwareDatetime
    closes_at: AwareDatetime
    max_tickets_per_buyer: Annotated[int, Field(ge=1)]
    hold_duration: timedelta
    refunds_until: AwareDatetime | None = None
    lines: tuple[LineSheet, ...]
    sections: tuple[Section, ...]
    queue: QueueSheet
    rate_limits: RateLimits = RateLimits()
    admission: Admission = Admission.OPEN
    message: str = ""
    lane: str = "Shared"

    @cached_property
    def capacity(self) -> int:
        """Number of places of all sections."""
        return sum(section.size for section in self.sections)

    def section_of(self, seat: SeatId) -> Section | None:
        """The section that has this seat; None if the house has no such seat."""
        section = self._sections.get(section_name(seat))
        return section if section is not None and section.has(seat) else None

    def line(self, name: str) -> LineSheet | None:
        """The line of this name; None if the sale has none."""
        return self._lines.get(name)

    @cached_property
    def _lines(self) -> dict[str, LineSheet]:
        return {line.name: line for line in self.lines}

    @cached_property
    def _sections(self) -> dict[str, Section]:
        return {section.name: section for section in self.sections}

    def lead_in_at(self, line: LineSheet) -> datetime:
        """When buyers may begin to join ``line``: with the prequeue, else a presale's or the arming time."""
        if line.name == PUBLIC and self.prequeue_at is not None:
            return self.prequeue_at
        return min(self.arm_at, line.opens_at)

    def promise(self, line: LineSheet, now: datetime) -> DrawPromise | None:
        """What was promised to those in ``line``; None if nobody can have joined it by ``now``, or ``BEHIND`` later.

        A process of ticket may let buyers in by this sheet for as long after another one was taken over.
        """
        instants = (self.lead_in_at(line), line.joined_from, line.draw_at)
        joined_from = min(instant for instant in instants if instant is not None)
        if now + BEHIND < joined_from:
            return None
        return DrawPromise(line=line.name, joined_from=joined_from, draw_at=line.draw_at, beacon=line.beacon)


class SaleSheet(SaleContent):
    """A sale, numbered. ``version`` (ms) only grows, over restarts, recreation of the object and loss of Redis."""

    version: Annotated[int, Field(ge=1)]

    def content(self) -> SaleContent:
        """The sheet without its number."""
        return SaleContent.model_validate(self.model_dump(exclude={"version"}))
