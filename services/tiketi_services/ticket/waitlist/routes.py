"""HTTP of the waitlist."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from tiketi_runtime.errors import InvalidRequest, InvalidToken, TooLarge, Unauthenticated, Unavailable
from tiketi_runtime.problems import MalformedJson
from tiketi_services.ticket.orders.domain import LimitReached, SectionNotOnSale, UnknownSeat
from tiketi_services.ticket.orders.routes import Buyer, Event
from tiketi_services.ticket.queue.domain import SaleClosed
from tiketi_services.ticket.queue.refusals import Kinds, documented
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.waitlist import usecases
from tiketi_services.ticket.waitlist.domain import AlreadyWaiting, NotSoldOut, NotWaiting, OfferOpen, OfferOrdered
from tiketi_services.ticket.waitlist.schemas import EntryView, QuantityRequest, WaitRequest
from tiketi_services.ticket.waitlist.usecases import WaitingRoom

_PATH: Final = "/events/{namespace}/{name}/waitlist"
_NOT_KEPT: Final = "no-store"
_OF_ANY: Final[Kinds] = (Unauthenticated, InvalidToken, UnknownEvent, InvalidRequest, Unavailable)
_OF_BODY: Final[Kinds] = (*_OF_ANY, MalformedJson, TooLarge, LimitReached)

router = APIRouter(tags=["waitlist"])


def _refuses(*kinds: Kinds) -> dict[int | str, dict[str, Any]]:
    return {int(status): response for status, response in documented(sum(kinds, ())).items()}


async def _room(request: Request) -> WaitingRoom:
    room: WaitingRoom = request.app.state.waiting_room
    return room


Room = Annotated[WaitingRoom, Depends(_room)]


@router.post(
    _PATH,
    status_code=201,
    responses=_refuses(_OF_BODY, (UnknownSeat, SectionNotOnSale, SaleClosed, NotSoldOut, AlreadyWaiting)),
)
async def join_waitlist(room: Room, event: Event, buyer: Buyer, body: WaitRequest) -> EntryView:
    """Wait for seats of sections that are sold out. One entry an account; the same request again is answered alike."""
    entry, _ = await usecases.join(room, event, buyer, body.sections, body.quantity)
    return EntryView.of(entry, await room.office.sales.sheet(event))


@router.get(_PATH, responses=_refuses(_OF_ANY, (NotWaiting,)))
async def show_waitlist_entry(room: Room, event: Event, buyer: Buyer, response: Response) -> EntryView:
    """The buyer's own entry, and what is offered to it; the last one, if it is over."""
    response.headers["cache-control"] = _NOT_KEPT
    return EntryView.of(await usecases.find(room, event, buyer), await room.office.sales.sheet(event))


@router.patch(_PATH, responses=_refuses(_OF_BODY, (NotWaiting, OfferOpen)))
async def change_waitlist_quantity(room: Room, event: Event, buyer: Buyer, body: QuantityRequest) -> EntryView:
    """Wait for more or for fewer seats, at the same place."""
    entry = await usecases.change_quantity(room, event, buyer, body.quantity)
    return EntryView.of(entry, await room.office.sales.sheet(event))


@router.delete(_PATH, status_code=204, responses=_refuses(_OF_ANY, (NotWaiting, OfferOrdered)))
async def leave_waitlist(room: Room, event: Event, buyer: Buyer) -> None:
    """Give up the place, and the seats that are offered. Doing it again is no error."""
    await usecases.leave(room, event, buyer)
