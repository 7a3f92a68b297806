"""The ticket service: what it is made of, and in which order it comes up."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request

from tiketi_runtime import dead_letters, postgres, redis
from tiketi_runtime.contracts.answer_times import Kind
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.observability import configure_logging
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_runtime.settings import from_environment
from tiketi_runtime.web import DRAIN, create_app, serve
from tiketi_services.ticket.orders.consumers import QUEUE as PAYMENTS_QUEUE
from tiketi_services.ticket.orders.map_routes import router as seat_map_router
from tiketi_services.ticket.orders.routes import router as orders_router
from tiketi_services.ticket.orders.wiring import PACKAGE as ORDERS
from tiketi_services.ticket.orders.wiring import open_orders
from tiketi_services.ticket.queue.gates.codes import PresaleCodes
from tiketi_services.ticket.queue.lottery.promises import Promises
from tiketi_services.ticket.queue.lottery.routes import router as lottery_router
from tiketi_services.ticket.queue.pace.answers import Answers
from tiketi_services.ticket.queue.pace.timing import TimedAnswers
from tiketi_services.ticket.queue.push.doorway import Doorway
from tiketi_services.ticket.queue.routes import router as queue_router
from tiketi_services.ticket.queue.wiring import PACKAGE as QUEUE
from tiketi_services.ticket.queue.wiring import open_queue
from tiketi_services.ticket.refunds.consumers import QUEUE as REFUNDS_QUEUE
from tiketi_services.ticket.refunds.routes import router as refunds_router
from tiketi_services.ticket.refunds.wiring import PACKAGE as REFUNDS
from tiketi_services.ticket.refunds.wiring import RefundBook, open_messages, open_refunds
from tiketi_services.ticket.sales.routes import router as sales_router
from tiketi_services.ticket.sales.wiring import PACKAGE as SALES
from tiketi_services.ticket.sales.wiring import open_sales
from tiketi_services.ticket.settings import TicketSettings
from tiketi_services.ticket.tickets.routes import router as tickets_router
from tiketi_services.ticket.tickets.wiring import PACKAGE as TICKETS
from tiketi_services.ticket.tickets.wiring import open_tickets
from tiketi_services.ticket.waitlist.routes import router as waitlist_router
from tiketi_services.ticket.waitlist.wiring import PACKAGE as WAITLIST
from tiketi_services.ticket.waitlist.wiring import open_waitlist

ISSUER = "tiketi-ticket"
TIMED: Final = {"/events/{namespace}/{name}/holds": Kind.HOLD, "/events/{namespace}/{name}/orders": Kind.ORDER}
"""Routes by which adaptive admission judges how the service is."""
QUEUES: Final = [PAYMENTS_QUEUE, REFUNDS_QUEUE]
"""All queues ticket consumes."""

_keys = APIRouter(include_in_schema=False)


@_keys.get("/.well-known/jwks.json")
async def _jwks(request: Request) -> dict[str, Any]:
    signer: TokenSigner = request.app.state.signer
    return signer.jwks()


def build_app(settings: TicketSettings) -> Doorway:
    """The application, ready to be served."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        """In the order of need: tables before anything reads them; the sales before the lines that serve them; orders
        before buyers; live connections last, so that whoever is told to buy can.
        """
        for package in (SALES, QUEUE, ORDERS, TICKETS, REFUNDS, WAITLIST):
            await postgres.migrate(settings.database_url, package)
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                await postgres.connect(settings.database_url, settings.database_pool_size)
            )
            store = await stack.enter_async_context(redis.connect(settings.redis_url))
            app.state.checks.update(postgresql=lambda: pool.execute("SELECT 1"), redis=store.ping)
            app.state.signer = TokenSigner.from_pem_file(settings.signing_key_file, ISSUER, settings.other_keys_file)
            app.state.access_tokens = TokenVerifier(settings.auth_jwks_url)
            codes, promises = PresaleCodes(store, pool), Promises(store, pool)

            async def prepare(sheet: SaleSheet) -> bool:
                return await promises.are_kept(sheet) and await codes.adopt(sheet)

            app.state.sales = await stack.enter_async_context(open_sales(settings, pool, store, prepare))
            live = await stack.enter_async_context(
                open_queue(
                    app, settings, pool, store, app.state.sales, codes, app.state.access_tokens, app.state.signer
                )
            )
            broker = await stack.enter_async_context(Broker(settings.amqp_url, "ticket"))
            refunds = RefundBook(pool)
            await stack.enter_async_context(
                open_orders(
                    app,
                    settings,
                    pool,
                    store,
                    broker,
                    app.state.sales,
                    app.state.admissions,
                    app.state.signer,
                    live.watching,
                    refunds.of_order,
                    open_messages(),
                )
            )
            open_tickets(app, pool, app.state.signer)
            waitlist = await stack.enter_async_context(open_waitlist(app, settings, pool, app.state.box_office))
            await stack.enter_async_context(open_refunds(app, settings, refunds, store, broker, waitlist))
            doorway.live = live
            yield {DRAIN: live.drain}

    routers = [
        sales_router,
        queue_router,
        lottery_router,
        seat_map_router,
        orders_router,
        tickets_router,
        refunds_router,
        waitlist_router,
        _keys,
    ]
    app = create_app("ticket", lifespan=lifespan, routers=routers, shortcut=queue_router, doors=[("POST", "holds")])
    app.state.answers = Answers()
    app.add_middleware(TimedAnswers, answers=app.state.answers, routes=TIMED)
    doorway = Doorway(app, allowed_origins=settings.allowed_origins, max_connections=settings.max_connections)
    return doorway


def main() -> None:
    """Console script ``tiketi-ticket``."""
    arguments = dead_letters.parse("tiketi-ticket", sys.argv[1:])
    settings = from_environment(TicketSettings)
    configure_logging(settings.log_level, "ticket")
    if arguments.command == dead_letters.COMMAND:
        sys.exit(asyncio.run(dead_letters.run(arguments, settings.amqp_url, "ticket", QUEUES)))
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
