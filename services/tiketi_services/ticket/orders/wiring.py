"""How holds, orders and tickets are put together and kept running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
from fastapi import FastAPI

from tiketi_runtime.background import every, running
from tiketi_runtime.outbox import OutboxRelay
from tiketi_runtime.postgres import Pool
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_services.ticket.orders import consumers, usecases
from tiketi_services.ticket.orders.payment import PaymentDesk
from tiketi_services.ticket.orders.repository import PACKAGE, OrderBook, SeatPaint
from tiketi_services.ticket.orders.seat_maps import SeatMaps
from tiketi_services.ticket.orders.sweeper import Sweeper
from tiketi_services.ticket.orders.usecases import BoxOffice
from tiketi_services.ticket.queue.admissions import Admissions
from tiketi_services.ticket.queue.recovery import Recoveries
from tiketi_services.ticket.sales.sales import Sales
from tiketi_services.ticket.settings import TicketSettings

__all__ = ["PACKAGE", "open_orders"]


@asynccontextmanager
async def open_orders(
    app: FastAPI,
    settings: TicketSettings,
    pool: Pool,
    redis: Redis,
    broker: Broker,
    sales: Sales,
    admissions: Admissions,
    signer: TokenSigner,
) -> AsyncIterator[None]:
    """Serve orders from ``app.state.box_office``, let lost events be recovered (``app.state.recoveries``) and, in the
    shared service, do what nobody asks for.

    A lane (``settings.event``) serves buyers only: it may sleep while orders of its event are still open.
    """
    async with aiohttp.ClientSession() as session:
        book = OrderBook(pool)
        office = BoxOffice(
            sales=sales,
            admissions=admissions,
            book=book,
            paint=SeatPaint(redis),
            maps=SeatMaps(book, settings.seat_map_age),
            signer=signer,
            outcomes=TokenVerifier(settings.payment_jwks_url),
            payment=PaymentDesk(session, settings.payment_url.rstrip("/"), signer),
        )
        app.state.box_office = office
        recoveries: Recoveries = app.state.recoveries
        recoveries.on_recovered = partial(usecases.repaint, office)
        if settings.event is not None:
            yield
            return
        sweeper = Sweeper(office, settings.closing_retry)
        tasks = running(
            OutboxRelay(pool, broker).run(),
            consumers.consume(office, app.state.answers, broker),
            every(settings.sweep_interval, "closing orders", sweeper.close_orders),
            every(settings.sweep_interval, "sweeping holds", sweeper.sweep_holds),
            every(settings.mend_interval, "mending paint", sweeper.mend_paint),
        )
        async with tasks:
            yield
