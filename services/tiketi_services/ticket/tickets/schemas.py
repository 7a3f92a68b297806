"""Bodies of requests and answers: JSON in camelCase."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import EventId, OrderId, SeatId
from tiketi_services.ticket.tickets.domain import Attendance, CheckIn, OwnedTicket, TicketState


class View(BaseModel):
    """What a client is shown."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class CheckInRequest(BaseModel):
    """What a gate has scanned."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    code: Annotated[str, StringConstraints(min_length=1, max_length=2048)] = Field(
        description="The text of the QR code, as it was read."
    )
    gate: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")
    ] = Field(description="The gate as its staff call it, such as North 2. Who scans a used ticket is told it.")


class CheckInView(View):
    """Let in: compare the name with that of the bearer."""

    ticket: str
    event: EventId
    seat: SeatId
    owner: str | None
    checked_in_at: datetime
    gate: str

    @classmethod
    def of(cls, check_in: CheckIn) -> Self:
        """The view of a check-in."""
        content = check_in.content
        return cls(
            ticket=content.ticket,
            event=content.event,
            seat=content.seat,
            owner=content.owner,
            checked_in_at=check_in.at,
            gate=check_in.gate,
        )


class AttendanceView(View):
    """Who is inside, and who may still come."""

    event: EventId
    inside: int
    issued: int = Field(description="Tickets that were not used yet.")
    void: int
    gates: dict[str, int] = Field(description="Those inside, by the gate they came through.")

    @classmethod
    def of(cls, event: EventId, attendance: Attendance) -> Self:
        """The view of the counts."""
        return cls(
            event=event,
            inside=attendance.inside,
            issued=attendance.issued,
            void=attendance.void,
            gates=dict(attendance.gates),
        )


class VoidListView(View):
    """For gates that go offline: genuine codes that must not be let in."""

    event: EventId
    void: tuple[str, ...] = Field(description="Ids of tickets, sorted.")


class MyTicketView(View):
    """One ticket, in its owner's hands."""

    ticket: str
    event: EventId
    seat: SeatId
    order: OrderId
    state: TicketState
    issued_at: datetime
    checked_in_at: datetime | None
    owner: str | None = Field(description="The name on the ticket: that of the account when the order was placed.")
    code: str | None = Field(description="What the QR code shows, always the same; null when the ticket is void.")

    @classmethod
    def of(cls, ticket: OwnedTicket, code: str | None) -> Self:
        """The view of a ticket."""
        return cls(
            ticket=ticket.id,
            event=ticket.event,
            seat=ticket.seat,
            order=ticket.order,
            state=ticket.state,
            issued_at=ticket.issued_at,
            checked_in_at=ticket.checked_in_at,
            owner=ticket.owner,
            code=code,
        )


class MyTicketsView(View):
    """A buyer's tickets, newest first."""

    tickets: tuple[MyTicketView, ...]
