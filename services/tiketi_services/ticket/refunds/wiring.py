"""How refunds are put together and kept running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from fastapi import FastAPI

from tiketi_runtime.background import every, running
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.orders.repository import SeatPaint
from tiketi_services.ticket.refunds import consumers, usecases
from tiketi_services.ticket.refunds.domain import ReturnDelay
from tiketi_services.ticket.refunds.repository import PACKAGE, RefundBook, open_messages
from tiketi_services.ticket.refunds.usecases import FirstChoice, RefundDesk
from tiketi_services.ticket.settings import TicketSettings

__all__ = ["PACKAGE", "RefundBook", "open_messages", "open_refunds"]

_ASK_INTERVAL: Final = timedelta(seconds=30)


@asynccontextmanager
async def open_refunds(
    app: FastAPI,
    settings: TicketSettings,
    book: RefundBook,
    redis: Redis,
    broker: Broker,
    first: FirstChoice | None = None,
) -> AsyncIterator[None]:
    """Serve refunds from ``app.state.refund_desk`` and, in the shared service, hear of payment and give back the orders
    of cancelled events. ``first``: who is offered the seats before everybody else.
    """
    delay = ReturnDelay(settings.seats_return_soonest, settings.seats_return_latest)
    desk = app.state.refund_desk = RefundDesk(book, SeatPaint(redis), delay)
    if settings.event is not None:
        yield
        return
    loops = [
        consumers.consume(desk, broker),
        every(settings.refund_interval, "refunding cancelled events", partial(usecases.refund_cancelled, desk)),
        every(_ASK_INTERVAL, "asking again for refunds", partial(usecases.ask_again, desk)),
    ]
    if first is not None:
        offer = partial(usecases.offer_returning, desk, first)
        loops.append(every(settings.sweep_interval, "offering returned seats", offer))
    async with running(*loops):
        yield
