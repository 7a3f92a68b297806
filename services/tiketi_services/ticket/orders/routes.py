"""HTTP of holds, orders and tickets."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId, event_id
from tiketi_runtime.errors import InvalidRequest, InvalidToken, TooLarge, Unauthenticated, Unavailable
from tiketi_runtime.problems import MalformedJson
from tiketi_runtime.security import Identity
from tiketi_runtime.web import bearer_identity
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    AlreadyOrdered,
    ExtensionsUsedUp,
    HoldChanged,
    HoldExpired,
    HoldNotFound,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    InvalidOutcome,
    LimitReached,
    NotEnoughSeats,
    Order,
    OrderEnded,
    OrderNotFound,
    OrderState,
    OrderUnfulfillable,
    OutcomeMismatch,
    RequestInFlight,
    SalePaused,
    SeatTaken,
    SectionNotOnSale,
    SectionWithdrawn,
    UnknownSeat,
)
from tiketi_services.ticket.orders.schemas import (
    ChangeRequest,
    HoldRequest,
    HoldsView,
    HoldView,
    OrderRequest,
    OrderView,
    OutcomeRequest,
    PlacedView,
    RefundView,
    TicketView,
)
from tiketi_services.ticket.orders.usecases import BoxOffice
from tiketi_services.ticket.queue.domain import AdmissionExpired, NotAdmitted, Recovering, SaleClosed
from tiketi_services.ticket.queue.refusals import Kinds, documented
from tiketi_services.ticket.sales.domain import EventCancelled, UnknownEvent

_MOST_KEY_CHARACTERS = 200
_MOST_NAME_CHARACTERS = 100
_ADMISSION_HEADER: Final = "Tiketi-Pass"
_OF_ANY: Final[Kinds] = (Unauthenticated, InvalidToken, InvalidRequest, Unavailable)
_OF_BODY: Final[Kinds] = (*_OF_ANY, MalformedJson, TooLarge)
_OF_SEATS: Final[Kinds] = (
    *_OF_BODY, UnknownEvent, NotAdmitted, AdmissionExpired, Recovering, UnknownSeat, SectionNotOnSale, SeatTaken,
    LimitReached, SalePaused, SaleClosed, EventCancelled,
)  # fmt: skip
_OF_PLACING: Final[Kinds] = (
    *_OF_BODY, UnknownEvent, IdempotencyKeyMissing, IdempotencyMismatch, RequestInFlight, HoldExpired, HoldChanged,
    AlreadyOrdered, EventCancelled, SectionWithdrawn,
)  # fmt: skip
_OF_HOLD: Final[Kinds] = (HoldNotFound, HoldChanged, AlreadyOrdered)
_KEY_HEADER: Final = "Idempotency-Key"


def _needs(header: str, description: str, **schema: int) -> dict[str, Any]:
    """What the OpenAPI document says of a header that is read here, so that lacking it has a problem of its own."""
    taken = {"type": "string", "minLength": 1, **schema}
    return {
        "parameters": [{"name": header, "in": "header", "required": True, "schema": taken, "description": description}]
    }


def _refuses(kinds: Kinds) -> dict[int | str, dict[str, Any]]:
    return {int(status): response for status, response in documented(kinds).items()}


def needs_key() -> dict[str, Any]:
    """What the document says of a route that takes ``IdempotencyKey``."""
    description = "A word of your choice, printable ASCII; the same when you try again."
    return _needs(_KEY_HEADER, description, maxLength=_MOST_KEY_CHARACTERS)


router = APIRouter(tags=["orders"])


async def _office(request: Request) -> BoxOffice:
    office: BoxOffice = request.app.state.box_office
    return office


async def _buyer(identity: Annotated[Identity, Depends(bearer_identity)]) -> BuyerId:
    return BuyerId(identity.subject)


async def _owner(identity: Annotated[Identity, Depends(bearer_identity)]) -> str | None:
    """The name of the buyer's account, as auth has checked it; None if the token does not say."""
    name = identity.claims.get("name")
    return name.strip()[:_MOST_NAME_CHARACTERS] or None if isinstance(name, str) else None


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
Owner = Annotated[str | None, Depends(_owner)]
Event = Annotated[EventId, Depends(_event)]
Pass = Annotated[str, Depends(_pass)]
IdempotencyKey = Annotated[str, Depends(_key)]


@router.post(
    "/events/{namespace}/{name}/holds",
    status_code=201,
    openapi_extra=_needs(_ADMISSION_HEADER, "The `pass` that claim answered."),
    responses=_refuses((*_OF_SEATS, NotEnoughSeats)),
)
async def hold_seats(office: Office, event: Event, buyer: Buyer, pass_token: Pass, body: HoldRequest) -> HoldView:
    """Hold seats for an admitted buyer: all that are named, or the best ones next to each other."""
    if body.seats is not None:
        hold = await usecases.hold_seats(office, event, buyer, pass_token, [SeatId(seat) for seat in body.seats])
    else:
        hold = await usecases.hold_best(office, event, buyer, pass_token, body.wish())
    return HoldView.of(hold, await office.sales.sheet(event))


@router.get("/events/{namespace}/{name}/holds", responses=_refuses((*_OF_ANY, UnknownEvent)))
async def show_holds(office: Office, event: Event, buyer: Buyer) -> HoldsView:
    """What the buyer holds now, for a page that was loaded anew."""
    holds, sale = await usecases.holds_of(office, event, buyer), await office.sales.sheet(event)
    return HoldsView(holds=tuple(HoldView.of(hold, sale) for hold in holds))


@router.post(
    "/events/{namespace}/{name}/holds/{hold}/extend",
    responses=_refuses((*_OF_ANY, UnknownEvent, *_OF_HOLD, HoldExpired, ExtensionsUsedUp)),
)
async def extend_hold(office: Office, event: Event, buyer: Buyer, hold: UUID) -> HoldView:
    """Ask for more time. It is given a few times and then no more: others wait for the same seats.

    Before `extendableFrom` nothing changes, so that it may be asked for again when an answer was lost.
    """
    extended = await usecases.extend_hold(office, event, buyer, HoldId(str(hold)))
    return HoldView.of(extended, await office.sales.sheet(event))


@router.put(
    "/events/{namespace}/{name}/holds/{hold}/seats",
    openapi_extra=_needs(_ADMISSION_HEADER, "The `pass` that claim answered."),
    responses=_refuses((*_OF_SEATS, *_OF_HOLD, HoldExpired)),
)
async def change_seats(
    office: Office, event: Event, buyer: Buyer, pass_token: Pass, hold: UUID, body: ChangeRequest
) -> HoldView:
    """Have other seats: all that are named, or the hold stays as it is. Its name is a new one, its end is the same."""
    seats = [SeatId(seat) for seat in body.seats]
    changed = await usecases.change_seats(office, event, buyer, pass_token, HoldId(str(hold)), seats)
    return HoldView.of(changed, await office.sales.sheet(event))


@router.delete(
    "/events/{namespace}/{name}/holds/{hold}",
    status_code=204,
    responses=_refuses((*_OF_ANY, UnknownEvent, *_OF_HOLD)),
)
async def release_hold(office: Office, event: Event, buyer: Buyer, hold: UUID) -> None:
    """Give a hold back. Doing it again is no error."""
    await usecases.release_hold(office, event, buyer, HoldId(str(hold)))


@router.post(
    "/events/{namespace}/{name}/orders",
    status_code=201,
    openapi_extra=needs_key(),
    responses=_refuses(_OF_PLACING),
)
async def place_order(
    office: Office, event: Event, buyer: Buyer, owner: Owner, key: IdempotencyKey, body: OrderRequest
) -> PlacedView:
    """Turn a hold into an order and get the intent that payment takes. Its tickets carry the name of the account."""
    order = await usecases.place_order(office, event, buyer, HoldId(body.hold), key, owner)
    return PlacedView.of(order, usecases.sign_intent(office, order))


@router.get("/orders/{order}", responses=_refuses((*_OF_ANY, OrderNotFound)))
async def show_order(office: Office, buyer: Buyer, order: UUID) -> OrderView:
    """One of the buyer's own orders."""
    return await _view(office, await usecases.find_order(office, OrderId(str(order)), buyer))


@router.post("/orders/{order}/cancel", status_code=202, responses=_refuses((*_OF_ANY, OrderNotFound, OrderEnded)))
async def cancel_order(office: Office, buyer: Buyer, order: UUID) -> OrderView:
    """Give an order up. Its seats are free when payment has closed it, a moment later."""
    return await _view(office, await usecases.cancel_order(office, OrderId(str(order)), buyer))


@router.post(
    "/orders/{order}/outcome",
    responses=_refuses((*_OF_BODY, OrderNotFound, InvalidOutcome, OutcomeMismatch, OrderUnfulfillable)),
)
async def take_outcome(office: Office, buyer: Buyer, order: UUID, body: OutcomeRequest) -> OrderView:
    """Take payment's signed word from the buyer's hands: tickets do not wait for the message."""
    mine = await usecases.find_order(office, OrderId(str(order)), buyer)
    return await _view(
        office, await usecases.settle(office, await usecases.read_outcome(office, body.outcome, mine.id))
    )


async def _view(office: BoxOffice, order: Order) -> OrderView:
    intent = usecases.sign_intent(office, order) if order.state is OrderState.OPEN else None
    tickets = tuple(map(TicketView.of, await usecases.tickets_of(office, order)))
    has_refunds = order.state in (OrderState.PAID, OrderState.REFUNDED)
    refunds = tuple(map(RefundView.of, await office.refunds(order.id))) if has_refunds else ()
    return OrderView.of(order, intent=intent, tickets=tickets, refunds=refunds)
