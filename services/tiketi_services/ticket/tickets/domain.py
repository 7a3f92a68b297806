"""Rules of tickets at the gate, and what can be refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tiketi_runtime.contracts.identity import EventId, OrderId, SeatId
from tiketi_runtime.contracts.ticket_code import TicketCode
from tiketi_runtime.errors import Conflict, InvalidRequest, NotFound


class NotATicket(InvalidRequest):
    """The code that was scanned is something else: a link, another system's ticket, half a code."""

    code, title = "not-a-ticket", "Not a ticket"


class TicketForged(InvalidRequest):
    """It looks like a ticket, but is not signed with any of our keys, or was altered."""

    code, title = "ticket-forged", "Ticket forged"


class WrongEvent(Conflict):
    """A genuine ticket of another event. ``event`` and ``seat`` say which."""

    code, title = "wrong-event", "Ticket of another event"


class UnknownTicket(NotFound):
    """Signed by us, but no such ticket was issued for this event."""

    code, title = "unknown-ticket", "Unknown ticket"


class TicketUsed(Conflict):
    """Somebody was let in with it. ``checkedInAt`` and ``gate`` say when and where."""

    code, title = "ticket-used", "Ticket used before"


class TicketVoid(Conflict):
    """It was refunded or withdrawn. ``voidedAt`` says when."""

    code, title = "ticket-void", "Ticket void"


class Outcome(StrEnum):
    """What a scan came to."""

    ADMITTED = "admitted"
    USED = "used"
    VOID = "void"
    WRONG_EVENT = "wrong-event"
    UNKNOWN = "unknown"
    FORGED = "forged"
    NOT_A_TICKET = "not-a-ticket"
    KEY_REUSED = "key-reused"
    """The scan's key was used for something else; nothing was decided."""


class TicketState(StrEnum):
    """Where a ticket stands."""

    ISSUED = "ISSUED"
    USED = "USED"
    VOID = "VOID"


@dataclass(frozen=True, slots=True)
class OwnedTicket:
    """A ticket as its buyer has it."""

    id: str
    event: EventId
    seat: SeatId
    order: OrderId
    state: TicketState
    owner: str | None
    issued_at: datetime
    checked_in_at: datetime | None

    @property
    def content(self) -> TicketCode:
        """What its code says."""
        return TicketCode(self.id, self.event, self.seat, self.owner)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scanned code says by itself."""

    content: TicketCode | None
    """None if it is none of ours."""
    finding: Outcome | None = None
    """What is wrong with it; None if its ticket decides."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan at a gate."""

    event: EventId
    gate: str
    scanner: str
    """Account of who scans."""
    key: str
    """Of this scan: the same when it is sent again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What PostgreSQL decided."""

    outcome: Outcome
    used_at: datetime | None = None
    gate: str | None = None
    voided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckIn:
    """Somebody may go in."""

    content: TicketCode
    at: datetime
    gate: str


@dataclass(frozen=True, slots=True)
class Attendance:
    """How many tickets of an event stand where."""

    issued: int
    """Not used yet."""
    inside: int
    void: int
    gates: Mapping[str, int]
    """Used ones by gate."""


def judge(event: EventId, content: TicketCode) -> Reading:
    """What a genuine code says at the gate of this event."""
    return Reading(content, None if content.event == event else Outcome.WRONG_EVENT)


def conclude(reading: Reading, verdict: Verdict) -> CheckIn:
    """The check-in, or why there is none, as the person at the gate needs to know it.

    Raises NotATicket, TicketForged, WrongEvent, UnknownTicket, TicketUsed, TicketVoid.
    """
    content = reading.content
    if verdict.outcome is Outcome.NOT_A_TICKET:
        raise NotATicket("This code is no ticket. Scan the code of the ticket itself.")
    if content is None:
        raise TicketForged("This code was not made by us, or was altered. Nobody goes in with it.")
    on_it: dict[str, Any] = {"seat": content.seat, "owner": content.owner}
    if verdict.outcome is Outcome.WRONG_EVENT:
        raise WrongEvent(f"This is a ticket of {content.event}.", event=content.event, **on_it)
    if verdict.outcome is Outcome.VOID:
        voided_at = verdict.voided_at.isoformat() if verdict.voided_at else None
        raise TicketVoid("This ticket was refunded or withdrawn.", voidedAt=voided_at, **on_it)
    if verdict.used_at is None or verdict.gate is None:
        raise UnknownTicket("No such ticket was issued for this event.")
    if verdict.outcome is Outcome.USED:
        at = verdict.used_at.isoformat()
        raise TicketUsed(f"Used at {at}, gate {verdict.gate}.", checkedInAt=at, gate=verdict.gate, **on_it)
    return CheckIn(content, verdict.used_at, verdict.gate)
