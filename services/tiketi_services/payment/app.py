"""Payment: wiring only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

import asyncpg
from fastapi import FastAPI

from tiketi_runtime import dead_letters, postgres
from tiketi_runtime.background import every, running
from tiketi_runtime.observability import configure_logging
from tiketi_runtime.outbox import Housekeeping, OutboxRelay
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_runtime.settings import from_environment
from tiketi_runtime.web import create_app, serve
from tiketi_services.payment import commands, routes
from tiketi_services.payment.consumers import QUEUE, consume
from tiketi_services.payment.reconciliation import Reconciliation
from tiketi_services.payment.refunds import Refunder
from tiketi_services.payment.refunds_book import RefundsBook
from tiketi_services.payment.repository import PACKAGE, Books, Payments
from tiketi_services.payment.resolver import Resolver
from tiketi_services.payment.settings import PaymentSettings
from tiketi_services.payment.toss import TossClient, TossSettings
from tiketi_services.payment.usecases import Cashier

ISSUER = "tiketi-payment"
_TELL_INTERVAL = timedelta(seconds=30)
_FORGET_INTERVAL = timedelta(minutes=1)
_FORGET_AT_ONCE = 5_000


def build_app(settings: PaymentSettings) -> FastAPI:
    """The application. Raises ValueError or OSError if a key cannot be used."""
    signer = TokenSigner.from_pem_file(settings.signing_key_file, ISSUER)
    toss = toss_settings(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Database before all; loops last, so that they end before what they use."""
        await postgres.migrate(settings.database_url, PACKAGE)
        async with AsyncExitStack() as stack:
            pool = await postgres.connect(settings.database_url, settings.database_pool_size)
            stack.push_async_callback(pool.close)
            broker = await stack.enter_async_context(Broker(settings.amqp_url, "payment"))
            cashier = build_cashier(settings, pool, await stack.enter_async_context(TossClient(toss)), signer)
            patience = settings.confirm_patience
            resolver = Resolver(cashier, settings.resolve_interval, patience, settings.webhook_looks_per_second)
            refunder = Refunder(RefundsBook(pool), cashier.toss, settings.resolve_interval, 2 * patience)
            reconciliation = Reconciliation(cashier, Books(pool), settings.reconcile_mends, settings.reconcile_after)
            forget = partial(cashier.payments.forget_webhooks, settings.webhooks_kept_for, _FORGET_AT_ONCE)
            app.state.cashier = cashier
            app.state.checks["database"] = partial(pool.fetchval, "SELECT 1")
            loops = running(
                consume(broker, cashier.payments, refunder.book),
                OutboxRelay(pool, broker).run(),
                Housekeeping(pool).run(),
                resolver.run_attempts(),
                resolver.run_hints(),
                resolver.run_cancellations(),
                refunder.run(),
                every(_TELL_INTERVAL, "refunds to look at", refunder.tell),
                every(_TELL_INTERVAL, "overdue payments", resolver.tell_overdue),
                every(_FORGET_INTERVAL, "old webhooks", forget),
                every(settings.reconcile_interval, "reconciliation", reconciliation.run_due),
            )
            await stack.enter_async_context(loops)
            yield

    routers = [routes.router, routes.webhooks_router]
    app = create_app(
        "payment",
        lifespan=lifespan,
        routers=routers,
        shortcut=routes.webhooks_router,
        doors=[("POST", "attempts")],
    )
    app.state.signer = signer
    app.state.toss_client_key = settings.toss_client_key
    app.state.access_tokens = TokenVerifier(settings.auth_jwks_url)
    app.state.ticket_tokens = TokenVerifier(settings.ticket_jwks_url)
    return app


def toss_settings(settings: PaymentSettings) -> TossSettings:
    """Where the vendor is. Raises ValueError or OSError if the key cannot be used."""
    return TossSettings(
        url=settings.toss_url,
        secret_key=settings.toss_secret_key(),
        connect_timeout=settings.toss_connect_timeout,
        read_timeout=settings.toss_read_timeout,
    )


def build_cashier(settings: PaymentSettings, pool: postgres.Pool, toss: TossClient, signer: TokenSigner) -> Cashier:
    """The use cases, the same for requests, loops and commands."""
    return Cashier(
        payments=Payments(pool),
        toss=toss,
        signer=signer,
        patience=settings.confirm_patience,
        outcome_lifetime=settings.outcome_lifetime,
        webhook_patience=settings.webhook_patience,
        currencies=settings.toss_currencies,
    )


async def run_command(arguments: commands.Arguments, settings: PaymentSettings) -> int:
    """Run one command beside the service; returns the exit code."""
    if arguments.command == dead_letters.COMMAND:
        configure_logging("WARNING", "payment")
        return await dead_letters.run(arguments, settings.amqp_url, "payment", [QUEUE])
    signer = TokenSigner.from_pem_file(settings.signing_key_file, ISSUER)
    toss = toss_settings(settings)
    await postgres.migrate(settings.database_url, PACKAGE)
    async with await postgres.connect(settings.database_url, size=4) as pool, TossClient(toss) as client:
        cashier = build_cashier(settings, pool, client, signer)
        reconciliation = Reconciliation(cashier, Books(pool), not arguments.record_only, settings.reconcile_after)
        return await commands.run(arguments, cashier, reconciliation)


def main() -> None:
    """Serve, or run one of the commands. Ends with 2 and one line if command line, settings or a key are wrong."""
    arguments = commands.parse(sys.argv[1:])
    settings = from_environment(PaymentSettings)
    try:
        if arguments.command is not None:
            sys.exit(asyncio.run(run_command(arguments, settings)))
        app = build_app(settings)
    except (ValueError, OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"tiketi-payment: {error}\n")
        sys.exit(2)
    configure_logging(settings.log_level, "payment")
    serve(app, settings)


if __name__ == "__main__":
    main()
