"""Auth: wiring only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import asyncpg
from argon2 import PasswordHasher
from fastapi import FastAPI

from tiketi_runtime import dead_letters, postgres, redis
from tiketi_runtime.background import running
from tiketi_runtime.mail import MailServer
from tiketi_runtime.observability import configure_logging
from tiketi_runtime.outbox import Housekeeping
from tiketi_runtime.postgres import Pool
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_runtime.settings import from_environment
from tiketi_runtime.web import create_app, serve
from tiketi_services.auth import commands, routes
from tiketi_services.auth.consumers import QUEUE, consume
from tiketi_services.auth.passwords import Passwords
from tiketi_services.auth.postman import LetterWriter, Postman, VerificationWriter
from tiketi_services.auth.repository import PACKAGE, Accounts, Budget, LetterBook, Mails, Sessions
from tiketi_services.auth.settings import AuthSettings
from tiketi_services.auth.tokens import ISSUER, Tokens, VerificationTokens
from tiketi_services.auth.usecases import Doorkeeper


def build_app(settings: AuthSettings) -> FastAPI:
    """The application. Raises ValueError or OSError if signing key or mail server's URL cannot be used."""
    signer = TokenSigner.from_pem_file(settings.signing_key_file, ISSUER)
    mail_server = MailServer.from_url(settings.smtp_url, settings.mail_from)
    verifications = VerificationTokens(signer, settings.verification_lifetime)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Tables before the pool that uses them; hashing threads and the sending of mails last, to end before the
        stores they need.

        Redis, broker and mail server are not asked: they are connected to when they are needed.
        """
        await postgres.migrate(settings.database_url, PACKAGE)
        async with AsyncExitStack() as stack:
            pool = await postgres.connect(settings.database_url, settings.database_pool_size)
            stack.push_async_callback(pool.close)
            store = await stack.enter_async_context(redis.connect(settings.redis_url))
            passwords = stack.enter_context(_passwords(settings))
            app.state.doorkeeper = Doorkeeper(
                accounts=Accounts(pool),
                sessions=Sessions(store, settings.session_lifetime, settings.refresh_grace),
                attempts=Budget(store, "attempts", settings.failed_log_ins, settings.failed_log_in_refill),
                mails=Budget(store, "mails", settings.verification_mails, settings.verification_mail_refill),
                passwords=passwords,
                tokens=Tokens(signer, settings.access_token_lifetime),
                verifications=verifications,
            )
            broker = await stack.enter_async_context(Broker(settings.amqp_url, "auth"))
            await stack.enter_async_context(
                running(
                    _verification_postman(settings, pool, mail_server, verifications).run(),
                    _letter_postman(settings, pool, mail_server).run(),
                    consume(broker, LetterBook(pool)),
                    Housekeeping(pool, has_outbox=False).run(),
                )
            )
            app.state.checks.update(database=partial(pool.fetchval, "SELECT 1"), redis=store.ping)
            yield

    app = create_app("auth", lifespan=lifespan, routers=[routes.router])
    app.state.signer = signer
    app.state.access_tokens = TokenVerifier.of(signer.jwks())
    return app


def _verification_postman(
    settings: AuthSettings, pool: Pool, server: MailServer, tokens: VerificationTokens
) -> Postman:
    mails = Mails(pool, "verifications", settings.mail_first_pause, settings.mail_longest_pause)
    writer = VerificationWriter(tokens, settings.public_url, settings.verification_lifetime)
    return Postman(mails, server, writer, settings)


def _letter_postman(settings: AuthSettings, pool: Pool, server: MailServer) -> Postman:
    """One of its own: who signs up does not wait behind the letters of a sale."""
    mails = Mails(pool, "letters", settings.mail_first_pause, settings.mail_longest_pause)
    return Postman(mails, server, LetterWriter(), settings, settings.letters_per_second)


def _passwords(settings: AuthSettings) -> Passwords:
    hasher = PasswordHasher(time_cost=settings.argon2_time_cost, memory_cost=settings.argon2_memory_kib, parallelism=1)
    return Passwords(hasher, settings.hashing_workers, settings.hashing_waiting_room)


def main() -> None:
    """Serve, or run one of the commands. Ends with 2 and one line if command line, settings or key are wrong."""
    arguments = commands.parse(sys.argv[1:])
    settings = from_environment(AuthSettings)
    try:
        if arguments.command == dead_letters.COMMAND:
            configure_logging("WARNING", "auth")
            sys.exit(asyncio.run(dead_letters.run(arguments, settings.amqp_url, "auth", [QUEUE])))
        if arguments.command is not None:
            sys.exit(asyncio.run(commands.run(arguments, settings)))
        app = build_app(settings)
    except (ValueError, OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"tiketi-auth: {error}\n")
        sys.exit(2)
    configure_logging(settings.log_level, "auth")
    serve(app, settings)


if __name__ == "__main__":
    main()
