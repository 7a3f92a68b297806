"""HTTP of refunds: by the buyer of an order, and by the organiser of an event."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from tiketi_runtime.contracts.identity import OrderId
from tiketi_runtime.errors import InvalidRequest, InvalidToken, TooLarge, Unauthenticated, Unavailable
from tiketi_runtime.problems import MalformedJson
from tiketi_runtime.security import Identity, RoleNeeded
from tiketi_runtime.web import requires_role
from tiketi_services.ticket.orders.domain import (
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    OrderNotFound,
    RequestInFlight,
)
from tiketi_services.ticket.orders.routes import Buyer, IdempotencyKey, needs_key
from tiketi_services.ticket.orders.schemas import RefundView
from tiketi_services.ticket.queue.refusals import Kinds, documented
from tiketi_services.ticket.refunds import usecases
from tiketi_services.ticket.refunds.domain import (
    NoRefunds,
    OrderNotPaid,
    RefundsOver,
    TicketsNotFound,
    TicketsNotRefundable,
)
from tiketi_services.ticket.refunds.schemas import (
    OrganiserRequest,
    OrganiserView,
    ProgressView,
    RefundRequest,
    RefusedView,
)
from tiketi_services.ticket.refunds.usecases import RefundDesk
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.sales.routes import KnownEvent

_OF_ANY: Final[Kinds] = (Unauthenticated, InvalidToken, InvalidRequest, Unavailable)
_OF_BODY: Final[Kinds] = (*_OF_ANY, MalformedJson, TooLarge, IdempotencyKeyMissing)
_OF_BUYER: Final[Kinds] = (
    *_OF_BODY, IdempotencyMismatch, RequestInFlight, OrderNotFound, OrderNotPaid, NoRefunds, RefundsOver,
    TicketsNotFound, TicketsNotRefundable,
)  # fmt: skip

router = APIRouter(tags=["refunds"])


def _refuses(*kinds: Kinds) -> dict[int | str, dict[str, Any]]:
    return {int(status): response for status, response in documented(sum(kinds, ())).items()}


async def _desk(request: Request) -> RefundDesk:
    desk: RefundDesk = request.app.state.refund_desk
    return desk


Desk = Annotated[RefundDesk, Depends(_desk)]
Organiser = Annotated[Identity, Depends(requires_role("organiser"))]


@router.post("/orders/{order}/refunds", status_code=202, openapi_extra=needs_key(), responses=_refuses(_OF_BUYER))
async def refund_order(desk: Desk, buyer: Buyer, key: IdempotencyKey, order: UUID, body: RefundRequest) -> RefundView:
    """Give tickets of an order back. They are void at once; the order says when the money is back."""
    refund = await usecases.refund_own(desk, buyer, OrderId(str(order)), key, body.wanted())
    return RefundView.of(refund.told)


@router.post(
    "/events/{namespace}/{name}/refunds",
    status_code=202,
    openapi_extra=needs_key(),
    responses=_refuses(_OF_BODY, (RoleNeeded, UnknownEvent)),
)
async def refund_event(
    desk: Desk, organiser: Organiser, event: KnownEvent, key: IdempotencyKey, body: OrganiserRequest
) -> OrganiserView:
    """Give orders back, or everything if the event is cancelled. Needs the role organiser.

    The key counts for each order: the same request again is answered as the first time.
    """
    if body.orders is None:
        progress = await usecases.cancel_event(desk, event, organiser.subject)
        return OrganiserView(progress=ProgressView.of(event, progress))
    orders = [OrderId(str(order)) for order in body.orders]
    refunds, refused = await usecases.refund_orders(desk, event, organiser.subject, key, orders)
    return OrganiserView(
        refunds=tuple(RefundView.of(refund.told) for refund in refunds),
        refused=tuple(map(RefusedView.of, refused)),
        progress=ProgressView.of(event, await desk.book.progress(event)),
    )


@router.get("/events/{namespace}/{name}/refunds", responses=_refuses(_OF_ANY, (RoleNeeded, UnknownEvent)))
async def show_progress(desk: Desk, organiser: Organiser, event: KnownEvent) -> ProgressView:
    """How far the refunds of an event are. Needs the role organiser."""
    return ProgressView.of(event, await desk.book.progress(event))
