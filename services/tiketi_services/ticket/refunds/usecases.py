"""What buyers, organisers and payment do about refunds. One function is one intent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID, uuid4

from prometheus_client import Counter, Gauge

from tiketi_runtime.contracts.identity import BuyerId, EventId, OrderId
from tiketi_runtime.contracts.messages import PaymentRefunded
from tiketi_runtime.errors import TiketiError
from tiketi_services.ticket.orders.repository import SeatPaint
from tiketi_services.ticket.refunds.domain import (
    Progress,
    Reason,
    Refund,
    Refused,
    ReturnDelay,
    Returning,
    UnknownRefund,
    Wanted,
    conclude,
)
from tiketi_services.ticket.refunds.repository import RefundBook
from tiketi_services.ticket.sales.domain import UnknownEvent

_AT_ONCE: Final = 50
"""Orders of cancelled events that are taken up together, and returning seats that are offered together."""

_SILENT: Final = timedelta(minutes=10)
"""Payment is asked again for a refund it has not answered for so long: the message or its answer may be lost."""
_ASKED_AGAIN_AT_ONCE: Final = 100
_TOO_LONG: Final = timedelta(minutes=30)
"""After this somebody must know."""

REFUNDS: Final = Counter("tiketi_refunds_total", "Wanted refunds by outcome.", ["reason", "outcome"])
ASKED_AGAIN: Final = Counter("tiketi_refunds_asked_again_total", "Refunds that payment was asked for once more.")
OVERDUE: Final = Gauge("tiketi_refunds_overdue", "Refunds that are REQUESTED for longer than 30 minutes.")

log = logging.getLogger(__name__)


class FirstChoice(Protocol):
    """Those who may take seats of void tickets before everybody else: the waitlist."""

    async def offer(self, returning: Returning) -> None:
        """Take some of the seats over, or none; whatever is left is free at ``returning.free_at``.

        To take one is to change its row WHERE ``hold`` is the refund's and ``until`` is not over. May be called again
        for the same seats. If it raises, the seats are offered again later.
        """


@dataclass(frozen=True, slots=True)
class RefundDesk:
    """Everything it takes to give tickets back."""

    book: RefundBook
    paint: SeatPaint
    delay: ReturnDelay


async def refund_own(
    desk: RefundDesk, buyer: BuyerId, order: OrderId, key: str, tickets: tuple[str, ...] | None
) -> Refund:
    """A buyer gives tickets back, or all that are left of an order. Raises what ``conclude`` raises."""
    return await _refund(desk, Wanted(order, buyer, key, Reason.BUYER, buyer=buyer, tickets=tickets))


async def refund_orders(
    desk: RefundDesk, event: EventId, organiser: str, key: str, orders: Sequence[OrderId]
) -> tuple[list[Refund], list[Refused]]:
    """The organiser gives all of some orders back, each for itself: one that cannot be does not stop the others."""
    done: list[Refund] = []
    refused: list[Refused] = []
    for order in orders:
        try:
            done.append(await _refund(desk, Wanted(order, organiser, key, Reason.ORGANISER, event=event)))
        except TiketiError as error:
            refused.append(Refused(order, error))
    return done, refused


async def cancel_event(desk: RefundDesk, event: EventId, organiser: str) -> Progress:
    """The event does not take place: everybody gets their money back. ``refund_cancelled`` does the work.

    Raises UnknownEvent.
    """
    is_new = await desk.book.cancel_event(event, organiser)
    if is_new is None:
        raise UnknownEvent(f"There never was a sale of {event}.")
    if is_new:
        log.warning("event cancelled", extra={"event": event, "by": organiser})
    return await desk.book.progress(event)


async def refund_cancelled(desk: RefundDesk) -> None:
    """Give back the orders of cancelled events, until none is left. What was done is done if this is killed.

    An order that cannot be refunded is logged and left for the next time; the others go on.
    """
    failed: set[UUID] = set()
    while due := await desk.book.to_refund(_AT_ONCE, sorted(failed)):
        for order, event, organiser in due:
            wanted = Wanted(order, organiser, str(uuid4()), Reason.EVENT_CANCELLED, event=event)
            try:
                await _refund(desk, wanted)
            except TiketiError as error:
                failed.add(UUID(order))
                log.error("order not refunded", extra={"order": order, "event": event, "error": error.detail})


async def finish(desk: RefundDesk, message: PaymentRefunded) -> None:
    """Payment has given the money of a refund back. Raises UnknownRefund."""
    is_known, is_done, is_refunded = await desk.book.finish(message)
    facts = {"refund": str(message.refund), "order": message.order, "event": message.event}
    if not is_known:
        raise UnknownRefund(f"Payment tells of refund {message.refund} of order {message.order}, which nobody wanted.")
    if is_done:
        log.info("refund done", extra={**facts, "amount": message.amount})
    if is_refunded:
        log.info("order refunded", extra=facts)


async def ask_again(desk: RefundDesk) -> None:
    """Ask payment again for refunds it is silent about, and tell the metrics which are open too long.

    The message is the same one, so that nobody applies it twice; payment answers each time once the money is back.
    """
    if asked := await desk.book.ask_again(_SILENT, _ASKED_AGAIN_AT_ONCE):
        ASKED_AGAIN.inc(len(asked))
        log.warning("refunds asked for again", extra={"count": len(asked), "refunds": asked[:10]})
    OVERDUE.set(await desk.book.overdue(_TOO_LONG))


async def offer_returning(desk: RefundDesk, first: FirstChoice) -> None:
    """Let those who wait have the seats that are on their way back to the sale."""
    while returning := await desk.book.returning(_AT_ONCE):
        for seats in returning:
            await first.offer(seats)
            await desk.book.offered(seats.refund)


async def _refund(desk: RefundDesk, wanted: Wanted) -> Refund:
    ruling = await desk.book.request(wanted, desk.delay)
    REFUNDS.labels(wanted.reason, ruling.outcome).inc()
    refund = conclude(ruling)
    told = refund.told
    if ruling.outcome == "requested":
        facts = {"refund": told.refund, "order": told.order, "event": refund.event, "by": wanted.by}
        log.info("tickets void", extra={**facts, "reason": wanted.reason, "tickets": told.tickets})
        paint = [(seat.seat, seat.paint(refund.told.requested_at)) for seat in refund.seats]
        await desk.paint.unsell(refund.event, paint)
    return refund
