"""How holds, orders and tickets are put together and kept running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
from fastapi import FastAPI

from tiketi_runtime.background import every, running
from tiketi_runtime.outbox import Housekeeping, OutboxRelay
from tiketi_runtime.postgres import Pool
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_services.ticket.orders import consumers, usecases
from tiketi_services.ticket.orders.map_store import MapStore
from tiketi_services.ticket.orders.payment import PaymentDesk
from tiketi_services.ticket.orders.public_maps import PublicMaps
from tiketi_services.ticket.orders.repository import PACKAGE, OrderBook, SeatPaint
from tiketi_services.ticket.orders.seat_feed import STEP, TOPIC, SeatFeed
from tiketi_services.ticket.orders.seat_maps import SeatMaps
from tiketi_services.ticket.orders.sweeper import Sweeper
from tiketi_services.ticket.orders.usecases import BoxOffice, RefundsOf, no_refunds
from tiketi_services.ticket.queue.admissions import Admissions
from tiketi_services.ticket.queue.push.watching import Watching
from tiketi_services.ticket.queue.recovery.recoveries import Recoveries
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
    watching: Watching,
    refunds: RefundsOf = no_refunds,
    kept_messages: str = "false",
) -> AsyncIterator[None]:
    """Serve orders from ``app.state.box_office`` and seat maps from ``app.state.public_maps``, tell those who are
    ``watching`` of seats, let lost events be recovered (``app.state.recoveries``) and, in the shared service, do what
    nobody asks for.

    ``kept_messages``: which of the outbox are not deleted, however old they are.

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
            refunds=refunds,
        )
        app.state.box_office = office
        recoveries: Recoveries = app.state.recoveries
        recoveries.on_recovered = partial(usecases.repaint, office)
        maps = app.state.public_maps = PublicMaps(
            book, MapStore(pool), interval=settings.seat_map_interval, max_age=settings.seat_map_age
        )
        listeners = watching.offer(TOPIC)
        feed = SeatFeed(maps, sales, listeners)
        listeners.greet = feed.greet
        telling = every(STEP, "telling seat changes", feed.step, is_punctual=True)
        if settings.event is not None:
            async with running(telling):
                yield
            return
        sweeper = Sweeper(office, settings.closing_retry)
        tasks = running(
            telling,
            OutboxRelay(pool, broker).run(),
            Housekeeping(pool, keep=kept_messages).run(),
            consumers.consume(office, app.state.answers, broker),
            every(settings.sweep_interval, "closing orders", sweeper.close_orders),
            every(settings.sweep_interval, "sweeping holds", sweeper.sweep_holds),
            every(settings.mend_interval, "mending paint", sweeper.mend_paint),
        )
        async with tasks:
            yield
