"""The ticket service: what it is made of, and in which order it comes up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request

from tiketi_runtime import postgres, redis
from tiketi_runtime.observability import configure_logging
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_runtime.web import DRAIN, create_app, serve
from tiketi_services.ticket.orders.routes import router as orders_router
from tiketi_services.ticket.orders.wiring import PACKAGE as ORDERS
from tiketi_services.ticket.orders.wiring import open_orders
from tiketi_services.ticket.queue.answers import Answers, Kind
from tiketi_services.ticket.queue.codes import PresaleCodes
from tiketi_services.ticket.queue.doorway import Doorway
from tiketi_services.ticket.queue.lottery_routes import router as lottery_router
from tiketi_services.ticket.queue.routes import router as queue_router
from tiketi_services.ticket.queue.timing import TimedAnswers
from tiketi_services.ticket.queue.wiring import PACKAGE as QUEUE
from tiketi_services.ticket.queue.wiring import open_queue
from tiketi_services.ticket.sales.routes import router as sales_router
from tiketi_services.ticket.sales.wiring import PACKAGE as SALES
from tiketi_services.ticket.sales.wiring import open_sales
from tiketi_services.ticket.settings import TicketSettings

ISSUER = "tiketi-ticket"
TIMED: Final = {"/events/{namespace}/{name}/holds": Kind.HOLD, "/events/{namespace}/{name}/orders": Kind.ORDER}
"""Routes by which adaptive admission judges how the service is."""

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
        for package in (SALES, QUEUE, ORDERS):
            await postgres.migrate(settings.database_url, package)
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                await postgres.connect(settings.database_url, settings.database_pool_size)
            )
            store = await stack.enter_async_context(redis.connect(settings.redis_url))
            app.state.checks.update(postgresql=lambda: pool.execute("SELECT 1"), redis=store.ping)
            app.state.signer = TokenSigner.from_pem_file(settings.signing_key_file, ISSUER)
            app.state.access_tokens = TokenVerifier(settings.auth_jwks_url)
            codes = PresaleCodes(store, pool)
            app.state.sales = await stack.enter_async_context(open_sales(settings, pool, store, codes.adopt))
            live = await stack.enter_async_context(
                open_queue(
                    app, settings, pool, store, app.state.sales, codes, app.state.access_tokens, app.state.signer
                )
            )
            broker = await stack.enter_async_context(Broker(settings.amqp_url, "ticket"))
            await stack.enter_async_context(
                open_orders(app, settings, pool, store, broker, app.state.sales, app.state.admissions, app.state.signer)
            )
            doorway.live = live
            yield {DRAIN: live.drain}

    routers = [sales_router, queue_router, lottery_router, orders_router, _keys]
    app = create_app("ticket", lifespan=lifespan, routers=routers, shortcut=queue_router)
    app.state.answers = Answers()
    app.add_middleware(TimedAnswers, answers=app.state.answers, routes=TIMED)
    doorway = Doorway(app, allowed_origins=settings.allowed_origins, max_connections=settings.max_connections)
    return doorway


def main() -> None:
    """Console script ``tiketi-ticket``."""
    settings = TicketSettings()
    configure_logging(settings.log_level, "ticket")
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
