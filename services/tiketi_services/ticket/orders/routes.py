"""HTTP of holds, orders and tickets."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId, event_id
from tiketi_runtime.errors import InvalidRequest
from tiketi_runtime.security import Identity
from tiketi_runtime.web import bearer_identity
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import IdempotencyKeyMissing, Order, OrderState
from tiketi_services.ticket.orders.schemas import (
    HoldRequest,
    HoldView,
    OrderRequest,
    OrderView,
    OutcomeRequest,
    PlacedView,
    SeatMapView,
    TicketsView,
    TicketView,
)
from tiketi_services.ticket.orders.usecases import BoxOffice
from tiketi_services.ticket.queue.domain import NotAdmitted
from tiketi_services.ticket.sales.conditional import cacheable

MOST_TICKETS = 500
"""Tickets shown to one buyer."""
_MOST_KEY_CHARACTERS = 200
_ADMISSION_HEADER: Final = "Tiketi-Pass"
_KEY_HEADER: Final = "Idempotency-Key"


def _needs(header: str, description: str, **schema: int) -> dict[str, Any]:
    """What the OpenAPI document says of a header that is read here, so that lacking it has a problem of its own."""
    taken = {"type": "string", "minLength": 1, **schema}
    return {
        "parameters": [{"name": header, "in": "header", "required": True, "schema": taken, "description": description}]
    }


router = APIRouter(tags=["orders"])


async def _office(request: Request) -> BoxOffice:
    office: BoxOffice = request.app.state.box_office
    return office


async def _buyer(identity: Annotated[Identity, Depends(bearer_identity)]) -> BuyerId:
    return BuyerId(identity.subject)


async def _event(namespace: str, name: str) -> EventId:
    return event_id(namespace, name)


async def _pass(request: Request) -> str:
    tiketi_pass = request.headers.get(_ADMISSION_HEADER, "")
    if not tiketi_pass:
        raise NotAdmitted("Send the admission pass of your place in line as 'Tiketi-Pass: <pass>'.")
    return tiketi_pass


async def _key(request: Request) -> str:
    idempotency_key = request.headers.get(_KEY_HEADER, "")
    if not idempotency_key:
        raise IdempotencyKeyMissing("Send 'Idempotency-Key: <a word of your choice>', the same when you try again.")
    if (
        len(idempotency_key) > _MOST_KEY_CHARACTERS
        or not idempotency_key.isascii()
        or not idempotency_key.isprintable()
    ):
        raise InvalidRequest(f"Idempotency-Key: {_MOST_KEY_CHARACTERS} printable ASCII characters at most.")
    return idempotency_key


Office = Annotated[BoxOffice, Depends(_office)]
Buyer = Annotated[BuyerId, Depends(_buyer)]
Event = Annotated[EventId, Depends(_event)]
Pass = Annotated[str, Depends(_pass)]
IdempotencyKey = Annotated[str, Depends(_key)]


@router.get("/events/{namespace}/{name}/seats", response_model=SeatMapView)
async def show_seats(office: Office, event: Event, request: Request) -> Response:
    """Which seats are free, held and sold; at most a second old. Anybody may look."""
    seat_map = await office.maps.current(await office.sales.sheet(event))
    return cacheable(request, seat_map.document, seat_map.tag)


@router.post(
    "/events/{namespace}/{name}/holds",
    status_code=201,
    openapi_extra=_needs(_ADMISSION_HEADER, "The `pass` that claim answered."),
)
async def hold_seats(office: Office, event: Event, buyer: Buyer, pass_token: Pass, body: HoldRequest) -> HoldView:
    """Hold seats for an admitted buyer: all that are named, or the best of a section."""
    if body.seats is not None:
        hold = await usecases.hold_seats(office, event, buyer, pass_token, [SeatId(seat) for seat in body.seats])
    elif body.section is not None and body.quantity is not None:
        hold = await usecases.hold_best(office, event, buyer, pass_token, body.section, body.quantity)
    else:
        raise InvalidRequest("Give seats, or section and quantity.")
    return HoldView.of(hold, await office.sales.sheet(event))


@router.delete("/events/{namespace}/{name}/holds/{hold}", status_code=204)
async def release_hold(office: Office, event: Event, buyer: Buyer, hold: UUID) -> None:
    """Give a hold back. Doing it again is no error."""
    await usecases.release_hold(office, event, buyer, HoldId(str(hold)))


@router.post(
    "/events/{namespace}/{name}/orders",
    status_code=201,
    openapi_extra=_needs(
        _KEY_HEADER,
        "A word of your choice, printable ASCII; the same when you try again.",
        maxLength=_MOST_KEY_CHARACTERS,
    ),
)
async def place_order(
    office: Office, event: Event, buyer: Buyer, key: IdempotencyKey, body: OrderRequest
) -> PlacedView:
    """Turn a hold into an order and get the intent that payment takes."""
    order = await usecases.place_order(office, event, buyer, HoldId(body.hold), key)
    return PlacedView.of(order, usecases.sign_intent(office, order))


@router.get("/orders/{order}")
async def show_order(office: Office, buyer: Buyer, order: UUID) -> OrderView:
    """One of the buyer's own orders."""
    return await _view(office, await usecases.find_order(office, OrderId(str(order)), buyer))


@router.post("/orders/{order}/cancel", status_code=202)
async def cancel_order(office: Office, buyer: Buyer, order: UUID) -> OrderView:
    """Give an order up. Its seats are free when payment has closed it, a moment later."""
    return await _view(office, await usecases.cancel_order(office, OrderId(str(order)), buyer))


@router.post("/orders/{order}/outcome")
async def take_outcome(office: Office, buyer: Buyer, order: UUID, body: OutcomeRequest) -> OrderView:
    """Take payment's signed word from the buyer's hands: tickets do not wait for the message."""
    mine = await usecases.find_order(office, OrderId(str(order)), buyer)
    return await _view(
        office, await usecases.settle(office, await usecases.read_outcome(office, body.outcome, mine.id))
    )


@router.get("/me/tickets")
async def show_my_tickets(office: Office, buyer: Buyer) -> TicketsView:
    """The buyer's tickets, newest first."""
    tickets = await office.book.tickets_of_buyer(buyer, MOST_TICKETS)
    return TicketsView(tickets=tuple(map(TicketView.of, tickets)))


async def _view(office: BoxOffice, order: Order) -> OrderView:
    intent = usecases.sign_intent(office, order) if order.state is OrderState.OPEN else None
    tickets = tuple(map(TicketView.of, await usecases.tickets_of(office, order)))
    return OrderView.of(order, intent=intent, tickets=tickets)
