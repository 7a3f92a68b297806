"""Pure rules of the line: what a sale sheet means for it, and what proofs say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, Self

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.phase import boundaries
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.errors import Conflict, Forbidden, InvalidToken, NotFound, Unavailable

# --- Refusals


class UnknownLine(NotFound):
    """The sale has no line of this name."""

    code, title = "unknown-line", "Unknown line"


class EmailNotVerified(Forbidden):
    """A new place needs an account whose e-mail address was confirmed."""

    code, title = "email-not-verified", "E-mail address not verified"


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
    """The line does not know this place (yet): joining with the receipt restores it, or answers the one that counts."""

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


class NotReady(Unavailable):
    """This process has yet to learn something the answer depends on, as the order that was drawn."""

    code, title = "queue-not-ready", "Queue not ready"


# --- Who asks, and with what


@dataclass(frozen=True, slots=True)
class Applicant:
    """Whoever asks for a place."""

    buyer: BuyerId
    is_verified: bool
    """Whether the account's e-mail address was confirmed."""
    registered_at: datetime | None
    """When the account was made; None if its token does not say."""
    network: str
    """The network the request came from, as limits are kept by it."""


@dataclass(frozen=True, slots=True)
class WorkProof:
    """The answer to a challenge of work."""

    challenge: str
    nonce: str


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What a buyer may send along when joining."""

    receipt: str | None = None
    """Of a place taken before; restores it if Redis has lost it."""
    code: str | None = None
    """Of a presale."""
    proof: WorkProof | None = None


class DrawnOrder(Protocol):
    """The order of the entries 1..n of a line, drawn; who joined later follows in the order of joining."""

    @property
    def n(self) -> int:
        """Number of entries."""
        ...

    def place(self, seq: int) -> int:
        """The place of a seq."""
        ...

    def seqs(self, from_place: int, count: int) -> list[int]:
        """The seqs at ``count`` places from ``from_place`` on."""
        ...


# --- Where a buyer stands


class Standing(StrEnum):
    """Where a buyer stands in one line."""

    WAITING = "waiting"
    NEXT = "next"
    """The place was passed: the buyer is among the first to be offered a free slot."""
    OFFERED = "offered"
    """A slot is kept for the buyer until the claim window ends."""
    ADMITTED = "admitted"


class Whereabouts(StrEnum):
    """Where a buyer is who does not wait in a line."""

    ADMITTED = "admitted"
    OUT = "out"
    """Has a place there, but left, went silent, or is done shopping."""
    UNKNOWN = "unknown"
    """Has no place there: never joined, or Redis lost it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A buyer's place in line, as of ``now``."""

    seq: Seq
    """Number of joining."""
    place: int | None
    """Number in the order of the line; None while that is still to be drawn."""
    epoch: int
    standing: Standing
    now: datetime
    is_new: bool = False
    """True for a number given out just now."""

    @property
    def is_past_line(self) -> bool:
        """Whether no place is needed, and none was given: see ``open_door``."""
        return self.seq == 0


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer to a claim: an admission (``session``, ``until``), or where the buyer stands."""

    standing: Standing
    epoch: int
    now: datetime
    session: str | None = None
    until: datetime | None = None
    began_now: bool = False
    """False when the same claim was answered before."""
    after: timedelta | None = None
    """From the offer to the claim, if it began now."""


@dataclass(frozen=True, slots=True)
class LineState:
    """One reading of a line, the same for everybody who waits in it."""

    now: datetime
    epoch: int
    horizon: int
    """Places up to this one have been offered."""
    entries: int | None
    """Number of entries of the draw, once it is fixed; None before, and for a line that is not drawn."""
    is_drawn: bool
    """Whether the order of the entries is known."""
    waiting: int
    """Buyers who wait to be offered a slot: those before the horizon who go first, too."""
    offered: int
    active: int
    """Buyers who are shopping now, of all lines of the event."""
    sold: int
    """Places sold, of all sections."""
    taken: Mapping[str, int]
    """Places held, ordered or sold, by section of this line."""
    per_minute: int | None
    """The pace that adaptive admission has set; None: the policy's."""
    no_shows: float
    """Measured share of offers that nobody takes, 0 to 0.8."""
    pace: Mapping[int, int]
    """Admissions by stretch of ten seconds (epoch s // 10)."""
    crowded: Mapping[int, int]
    """Seconds in which buyers had to wait, by stretch."""
    living: bytes
    """Bitmap by ``seq``, first bit highest: who waits."""
    holding: int = 0
    """Those of ``active`` for whom places are held or ordered."""
    admitted: int = 0
    """Buyers admitted so far, of all lines of the event."""


# --- What the sheet means for a line


def find_line(sale: SaleSheet, name: str) -> LineSheet:
    """The line of this name. Raises UnknownLine."""
    line = sale.line(name)
    if line is None:
        raise UnknownLine(f"{sale.event} has no line {name!r}; it has {', '.join(each.name for each in sale.lines)}.")
    return line


def next_change(sale: SaleSheet, now: datetime) -> datetime | None:
    """When the phase may change next by time alone; None after the last time."""
    return next((instant for instant in boundaries(sale) if instant > now), None)


# --- Proofs


@contextmanager
def reading_of(what: str) -> Iterator[None]:
    """What was sealed is read as ``what`` in the block. Raises InvalidToken if it has another shape."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidToken(f"This is not a valid {what}.") from error


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a place receipt says."""

    event: EventId
    line: Line
    epoch: int
    seq: Seq
    buyer: BuyerId
    nonce: str
    """Makes the entry of a draw unguessable; the same in every receipt of one place."""
    joined_at: int
    """ms"""
    commitment: str | None = None
    """To the secret of the draw, for lines whose order is drawn."""

    def payload(self) -> dict[str, Any]:
        """What is sealed."""
        return {
            "event": self.event,
            "line": self.line,
            "epoch": self.epoch,
            "seq": self.seq,
            "buyer": self.buyer,
            "nonce": self.nonce,
            "joinedAt": self.joined_at,
            "commitment": self.commitment,
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read what was sealed. Raises InvalidToken if it has another shape."""
        with reading_of("place receipt"):
            return cls(
                EventId(payload["event"]),
                Line(payload["line"]),
                int(payload["epoch"]),
                Seq(int(payload["seq"])),
                BuyerId(payload["buyer"]),
                str(payload["nonce"]),
                int(payload["joinedAt"]),
                None if payload["commitment"] is None else str(payload["commitment"]),
            )

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
        with reading_of("admission pass"):
            return cls(
                EventId(payload["event"]),
                Line(payload["line"]),
                BuyerId(payload["buyer"]),
                str(payload["session"]),
                from_ms(int(payload["until"])),
            )


@dataclass(frozen=True, slots=True)
class Claim:
    """A spent place, as PostgreSQL keeps it."""

    event: EventId
    line: Line
    epoch: int
    """Of the memory of Redis that it was decided in."""
    buyer: BuyerId
    seq: Seq
    session: str
    claimed_at: datetime
    ends_at: datetime


# --- Time


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970."""
    return round(instant.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The instant, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
