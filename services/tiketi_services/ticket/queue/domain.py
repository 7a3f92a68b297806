"""Pure rules of the line: what a sale sheet means for it, and what proofs say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.phase import boundaries, phase_at
from tiketi_runtime.contracts.sale_sheet import Admission as Door
from tiketi_runtime.contracts.sale_sheet import LineSheet, QueueingMethod, SaleSheet
from tiketi_runtime.errors import Conflict, Forbidden, InvalidToken, NotFound, Unavailable

_CLOCK_SKEW: Final = timedelta(seconds=10)
"""A pod's clock may differ from Redis' by this much without harm."""
UNLIMITED: Final = 60_000_000
"""Slots, or users per minute, where the method knows no limit."""


# --- Refusals


class UnknownLine(NotFound):
    """The sale has no line of this name."""

    code, title = "unknown-line", "Unknown line"


class UnsupportedMethod(Conflict):
    """The policy's queueing method is not served by this version."""

    code, title = "unsupported-queueing-method", "Queueing method not supported"


class QueueNotOpen(Conflict):
    """The line does not take buyers yet; ``opensAt`` says when."""

    code, title = "queue-not-open", "Queue not open yet"


class QueueClosed(Conflict):
    """The organiser lets nobody join."""

    code, title = "queue-closed", "Queue closed"


class SaleClosed(Conflict):
    """The sale of this line is over."""

    code, title = "sale-closed", "Sale closed"


class NotInLine(Conflict):
    """The buyer left, or went silent, or never joined. Joining (again) gives the same place."""

    code, title = "not-in-line", "Not in line"


class AlreadyAdmitted(Conflict):
    """The place was spent: its session is over."""

    code, title = "already-admitted", "Already admitted"


class ForeignReceipt(Forbidden):
    """The receipt belongs to another buyer, event or line."""

    code, title = "foreign-receipt", "Not your receipt"


class StaleReceipt(Conflict):
    """The receipt is of a line that was begun anew; joining gives a new place."""

    code, title = "stale-receipt", "Stale receipt"


class NotAdmitted(Forbidden):
    """No live admission: the pass is another buyer's or event's, or the session was given up."""

    code, title = "not-admitted", "Not admitted"


class AdmissionExpired(Forbidden):
    """The session is over."""

    code, title = "admission-expired", "Admission expired"


class Recovering(Unavailable):
    """The line is being rebuilt after a loss; nothing is decided meanwhile."""

    code, title = "queue-recovering", "Queue is recovering"


# --- Where a buyer stands


class Standing(StrEnum):
    """Where a buyer stands in one line."""

    WAITING = "waiting"
    NEXT = "next"
    """The place was passed: the buyer is among the first to be offered a free slot."""
    OFFERED = "offered"
    """A slot is kept for the buyer until the claim window ends."""
    ADMITTED = "admitted"


@dataclass(frozen=True, slots=True)
class Place:
    """A buyer's place in line, as of ``now``."""

    seq: Seq
    epoch: int
    standing: Standing
    now: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer to a claim: an admission (``session``, ``until``), or where the buyer stands."""

    standing: Standing
    session: str | None = None
    until: datetime | None = None
    began_now: bool = False
    """False when the same claim was answered before."""


@dataclass(frozen=True, slots=True)
class LineState:
    """One reading of a line, the same for everybody who waits in it."""

    now: datetime
    horizon: Seq
    """Places up to this one have been offered."""
    waiting: int
    offered: int
    active: int
    """Buyers who are shopping now, of all lines of the event."""
    sold: int


# --- What the sheet means for a line


@dataclass(frozen=True, slots=True)
class LineTerms:
    """A line's numbers, as its scripts take them. Instants and durations in milliseconds."""

    event: EventId
    line: Line
    lines: tuple[Line, ...]
    """All lines of the event: their offers share the slots."""
    joins_from: int
    opens: int
    closes: int
    per_minute: int
    slots: int
    stock: int
    """Places of the sections sold in this line."""
    sections: tuple[str, ...]
    session: int
    claim_window: int
    ghost_timeout: int
    is_paused: bool
    takes_new: bool


def find_line(sale: SaleSheet, name: str) -> LineSheet:
    """The line of this name. Raises UnknownLine."""
    line = sale.line(name)
    if line is None:
        raise UnknownLine(f"{sale.event} has no line {name!r}; it has {', '.join(each.name for each in sale.lines)}.")
    return line


def check_method(sale: SaleSheet) -> None:
    """Raises UnsupportedMethod if no line can be formed as the policy asks."""
    if not is_served(sale):
        raise UnsupportedMethod(
            "This version forms no line by lot; set queueingMethod fifo or passthrough, without shuffleAtEventStart."
        )


def is_served(sale: SaleSheet) -> bool:
    """Whether this version knows how to serve the sale's lines."""
    return sale.queue.method is not QueueingMethod.LOTTERY and not sale.queue.shuffle_at_event_start


def may_serve(sale: SaleSheet, line: LineSheet, now: datetime) -> bool:
    """Whether slots may be offered in the line. A generous guess by a pod's clock: the scripts decide by Redis'."""
    return is_served(sale) and line.opens_at - _CLOCK_SKEW <= now < line.closes_at + _CLOCK_SKEW


def may_wait(sale: SaleSheet, line: LineSheet, now: datetime) -> bool:
    """Whether buyers may be in the line. A generous guess by a pod's clock."""
    return is_served(sale) and sale.lead_in_at(line) - _CLOCK_SKEW <= now < line.closes_at + _CLOCK_SKEW


def terms_of(sale: SaleSheet, line: LineSheet) -> LineTerms:
    """Compile the terms of one line."""
    sections = line.sections or tuple(section.name for section in sale.sections)
    is_limited = sale.queue.method is not QueueingMethod.PASSTHROUGH
    return LineTerms(
        event=sale.event,
        line=line.name,
        lines=tuple(each.name for each in sale.lines),
        joins_from=to_ms(sale.lead_in_at(line)),
        opens=to_ms(line.opens_at),
        closes=to_ms(line.closes_at),
        per_minute=sale.queue.new_users_per_minute if is_limited else UNLIMITED,
        slots=sale.queue.total_active_users if is_limited else UNLIMITED,
        stock=sum(section.size for section in sale.sections if section.name in sections),
        sections=sections,
        session=_duration_ms(sale.queue.session_duration),
        claim_window=_duration_ms(sale.queue.claim_window),
        ghost_timeout=_duration_ms(sale.queue.ghost_timeout),
        is_paused=sale.admission is Door.PAUSED,
        takes_new=sale.admission is not Door.DRAIN and sale.queue.method is not QueueingMethod.REJECT,
    )


def state_content(sale: SaleSheet, line: LineSheet, state: LineState) -> dict[str, Any]:
    """The state message but its ``version`` and ``serverTime``: what decides whether buyers have to hear of it."""
    return {
        "event": sale.event,
        "line": line.name,
        "phase": phase_at(sale, state.now, sold=state.sold),
        "opensAt": line.opens_at,
        "closesAt": line.closes_at,
        "horizon": state.horizon,
        "waiting": state.waiting,
        "active": state.active,
        "ratePerMinute": sale.queue.new_users_per_minute,
        "remaining": max(0, sale.capacity - state.sold),
        "message": sale.message,
    }


def next_change(sale: SaleSheet, now: datetime) -> datetime | None:
    """When the phase may change next by time alone; None after the last time."""
    return next((instant for instant in boundaries(sale) if instant > now), None)


# --- Proofs


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a place receipt says."""

    event: EventId
    line: Line
    epoch: int
    seq: Seq
    buyer: BuyerId
    nonce: str
    joined_at: int
    """ms"""

    def payload(self) -> dict[str, Any]:
        """What is sealed. ``commitment`` is for lines whose order is drawn."""
        return {
            "event": self.event,
            "line": self.line,
            "epoch": self.epoch,
            "seq": self.seq,
            "buyer": self.buyer,
            "nonce": self.nonce,
            "joinedAt": self.joined_at,
            "commitment": None,
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read what was sealed. Raises InvalidToken if it has another shape."""
        try:
            return cls(
                EventId(payload["event"]),
                Line(payload["line"]),
                int(payload["epoch"]),
                Seq(int(payload["seq"])),
                BuyerId(payload["buyer"]),
                str(payload["nonce"]),
                int(payload["joinedAt"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidToken("This is not a valid place receipt.") from error

    def check(self, event: EventId, line: str, buyer: str) -> None:
        """Raises ForeignReceipt unless it is this buyer's, for this line of this event."""
        if self.buyer != buyer:
            raise ForeignReceipt("The receipt is another buyer's.")
        if (self.event, self.line) != (event, line):
            raise ForeignReceipt(f"The receipt is for {self.event}, line {self.line}.")


@dataclass(frozen=True, slots=True)
class Admission:
    """The right to buy, until it expires."""

    event: EventId
    line: Line
    buyer: BuyerId
    session: str
    until: datetime

    def payload(self) -> dict[str, Any]:
        """What is sealed; ``until`` in ms."""
        return {
            "event": self.event,
            "line": self.line,
            "buyer": self.buyer,
            "session": self.session,
            "until": to_ms(self.until),
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read what was sealed. Raises InvalidToken if it has another shape."""
        try:
            return cls(
                EventId(payload["event"]),
                Line(payload["line"]),
                BuyerId(payload["buyer"]),
                str(payload["session"]),
                from_ms(int(payload["until"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidToken("This is not a valid admission pass.") from error


@dataclass(frozen=True, slots=True)
class Claim:
    """A spent place, as PostgreSQL keeps it."""

    event: EventId
    line: Line
    epoch: int
    buyer: BuyerId
    seq: Seq
    session: str
    claimed_at: datetime


# --- Time


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970."""
    return round(instant.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The instant, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _duration_ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
