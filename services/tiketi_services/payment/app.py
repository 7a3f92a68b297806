"""Payment: wiring only."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from fastapi import FastAPI
from pydantic import ValidationError

from tiketi_runtime import postgres
from tiketi_runtime.background import running
from tiketi_runtime.observability import configure_logging
from tiketi_runtime.outbox import OutboxRelay
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_runtime.web import create_app, serve
from tiketi_services.payment import routes
from tiketi_services.payment.consumers import consume
from tiketi_services.payment.repository import PACKAGE, Payments
from tiketi_services.payment.resolver import Resolver
from tiketi_services.payment.settings import PaymentSettings
from tiketi_services.payment.toss import TossClient, TossSettings
from tiketi_services.payment.usecases import Cashier

ISSUER = "tiketi-payment"


def build_app(settings: PaymentSettings) -> FastAPI:
    """The application. Raises ValueError or OSError if a key cannot be used."""
    signer = TokenSigner.from_pem_file(settings.signing_key_file, ISSUER)
    toss = TossSettings(
        url=settings.toss_url,
        secret_key=settings.toss_secret_key(),
        connect_timeout=settings.toss_connect_timeout,
        read_timeout=settings.toss_read_timeout,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Database before all; loops last, so that they end before what they use."""
        await postgres.migrate(settings.database_url, PACKAGE)
        async with AsyncExitStack() as stack:
            pool = await postgres.connect(settings.database_url, settings.database_pool_size)
            stack.push_async_callback(pool.close)
            broker = await stack.enter_async_context(Broker(settings.amqp_url, "payment"))
            cashier = Cashier(
                payments=Payments(pool),
                toss=await stack.enter_async_context(TossClient(toss)),
                signer=signer,
                patience=settings.confirm_patience,
                outcome_lifetime=settings.outcome_lifetime,
            )
            # A row may need a look-up and a confirm.
            lease = 2 * settings.confirm_patience + timedelta(seconds=10)
            resolver = Resolver(cashier, settings.resolve_interval, lease)
            app.state.cashier = cashier
            app.state.checks["database"] = partial(pool.fetchval, "SELECT 1")
            loops = running(
                consume(broker, cashier.payments),
                OutboxRelay(pool, broker).run(),
                resolver.run_attempts(),
                resolver.run_cancellations(),
            )
            await stack.enter_async_context(loops)
            yield

    app = create_app("payment", lifespan=lifespan, routers=[routes.router])
    app.state.signer = signer
    app.state.toss_client_key = settings.toss_client_key
    app.state.access_tokens = TokenVerifier(settings.auth_jwks_url)
    app.state.ticket_tokens = TokenVerifier(settings.ticket_jwks_url)
    return app


def main() -> None:
    """Run payment with the settings of the environment. Ends with 2 and one line if they cannot be used."""
    try:
        settings = PaymentSettings()
        app = build_app(settings)
    except ValidationError as error:
        _refuse("; ".join(f"TIKETI_PAYMENT_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()))
    except (ValueError, OSError) as error:
        _refuse(str(error))
    else:
        configure_logging(settings.log_level, "payment")
        serve(app, settings)


def _refuse(fault: str) -> None:
    sys.stderr.write(f"tiketi-payment: {fault}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
