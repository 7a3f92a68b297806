"""HTTP of tickets: in their owners' hands, and at the gate."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from tiketi_runtime.errors import InvalidToken, Unauthenticated
from tiketi_runtime.refusals import Kinds, refuses
from tiketi_runtime.security import Identity, RoleNeeded
from tiketi_runtime.web import requires_role
from tiketi_services.ticket.orders.domain import IdempotencyKeyMissing, IdempotencyMismatch
from tiketi_services.ticket.orders.routes import Buyer, IdempotencyKey, needs_key
from tiketi_services.ticket.sales.conditional import cacheable, tag_of
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.sales.routes import KnownEvent
from tiketi_services.ticket.tickets import usecases
from tiketi_services.ticket.tickets.domain import (
    NotATicket,
    Scan,
    TicketForged,
    TicketUsed,
    TicketVoid,
    UnknownTicket,
    WrongEvent,
)
from tiketi_services.ticket.tickets.schemas import (
    AttendanceView,
    CheckInRequest,
    CheckInView,
    MyTicketsView,
    MyTicketView,
    VoidListView,
)
from tiketi_services.ticket.tickets.usecases import TicketDesk

MOST_TICKETS: Final = 500
"""Tickets shown to one buyer."""
_AN_HOUR: Final = "public, max-age=3600"
_NOT_KEPT: Final = "no-store"
_SIGNED_IN: Final[Kinds] = (Unauthenticated, InvalidToken)
_OF_SCAN: Final[Kinds] = (
    *_SIGNED_IN, RoleNeeded, IdempotencyKeyMissing, IdempotencyMismatch, NotATicket, TicketForged, WrongEvent,
    UnknownTicket, TicketUsed, TicketVoid, UnknownEvent,
)  # fmt: skip
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "If-None-Match named this very list."}}

router = APIRouter(tags=["tickets"])


async def _desk(request: Request) -> TicketDesk:
    desk: TicketDesk = request.app.state.ticket_desk
    return desk


Desk = Annotated[TicketDesk, Depends(_desk)]
Gate = Annotated[Identity, Depends(requires_role("gate"))]
GateOrOrganiser = Annotated[Identity, Depends(requires_role("gate", "organiser"))]


@router.get("/me/tickets", responses=refuses(*_SIGNED_IN))
async def show_my_tickets(desk: Desk, buyer: Buyer, response: Response) -> MyTicketsView:
    """The buyer's tickets, newest first, each with what its QR code shows."""
    response.headers["cache-control"] = _NOT_KEPT
    tickets = await desk.book.of_buyer(buyer, MOST_TICKETS)
    return MyTicketsView(tickets=tuple(MyTicketView.of(ticket, usecases.code_of(desk, ticket)) for ticket in tickets))


@router.get("/events/{namespace}/{name}/ticket-keys", responses=refuses(UnknownEvent))
async def show_public_keys(desk: Desk, event: KnownEvent, response: Response) -> dict[str, Any]:
    """The public keys that tickets are checked with (a JWK Set, RFC 7517), the same for all events."""
    response.headers["cache-control"] = _AN_HOUR
    return desk.signer.jwks()


@router.post(
    "/events/{namespace}/{name}/check-ins", status_code=201, openapi_extra=needs_key(), responses=refuses(*_OF_SCAN)
)
async def check_in(
    desk: Desk, gate: Gate, event: KnownEvent, key: IdempotencyKey, body: CheckInRequest, response: Response
) -> CheckInView:
    """Let the bearer of a ticket in, once. The same key again is answered as the first time. Needs the role gate."""
    response.headers["cache-control"] = _NOT_KEPT
    return CheckInView.of(await usecases.check_in(desk, Scan(event, body.gate, gate.subject, key), body.code))


@router.get("/events/{namespace}/{name}/check-ins", responses=refuses(*_SIGNED_IN, RoleNeeded, UnknownEvent))
async def count_check_ins(desk: Desk, caller: GateOrOrganiser, event: KnownEvent, response: Response) -> AttendanceView:
    """How many are inside, by gate, and how many may still come. Needs the role gate or organiser."""
    response.headers["cache-control"] = _NOT_KEPT
    return AttendanceView.of(event, await desk.book.attendance(event))


@router.get(
    "/events/{namespace}/{name}/void-tickets",
    response_model=VoidListView,
    responses={**_UNCHANGED, **refuses(*_SIGNED_IN, RoleNeeded, UnknownEvent)},
)
async def list_void_tickets(desk: Desk, caller: GateOrOrganiser, event: KnownEvent, request: Request) -> Response:
    """Tickets that must not be let in, for gates that go offline; ask with If-None-Match. Needs the role gate."""
    void = VoidListView(event=event, void=tuple(await desk.book.void(event)))
    return cacheable(request, void.model_dump_json(by_alias=True).encode(), tag_of(void.void), is_private=True)
