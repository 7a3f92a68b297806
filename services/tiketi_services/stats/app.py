"""The stats service: wiring only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
from fastapi import FastAPI
from prometheus_client import REGISTRY

from tiketi_runtime import dead_letters, postgres, redis
from tiketi_runtime.background import running
from tiketi_runtime.kubernetes import Cluster
from tiketi_runtime.observability import configure_logging
from tiketi_runtime.outbox import Housekeeping
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.security import TokenVerifier
from tiketi_runtime.settings import from_environment
from tiketi_runtime.web import create_app, serve
from tiketi_services.stats import commands, routes
from tiketi_services.stats.audits import Audits, open_ledgers
from tiketi_services.stats.collector import BoardCollector
from tiketi_services.stats.consumers import QUEUE, consume
from tiketi_services.stats.event_status import StatusWriter
from tiketi_services.stats.repository import LiveSales, Orders
from tiketi_services.stats.settings import StatsSettings
from tiketi_services.stats.usecases import Board


def build_app(settings: StatsSettings) -> FastAPI:
    """The application; it connects when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Its own database first, without which it cannot start; Redis, broker and API server may come later."""
        async with AsyncExitStack() as stack:
            await postgres.migrate(settings.database_url, __package__)
            pool = await stack.enter_async_context(
                await postgres.connect(settings.database_url, settings.database_pool_size)
            )
            client = await stack.enter_async_context(redis.connect(settings.redis_url))
            cluster = await stack.enter_async_context(await Cluster.connect(settings.kubeconfig))
            broker = await stack.enter_async_context(Broker(settings.amqp_url, "stats"))

            orders = Orders(pool)
            board = Board(LiveSales(client), orders, settings.read_interval)
            audits = Audits(settings)
            status = StatusWriter(cluster, board, settings.write_interval, audits.report)
            collector = BoardCollector(board)
            REGISTRY.register(collector)
            stack.callback(REGISTRY.unregister, collector)
            app.state.board = board
            app.state.access_tokens = TokenVerifier(settings.auth_jwks_url)
            app.state.checks |= {"postgresql": lambda: pool.execute("SELECT 1"), "redis": client.ping}
            await stack.enter_async_context(
                running(
                    board.run(),
                    status.run(),
                    consume(broker, orders),
                    audits.run(),
                    Housekeeping(pool, has_outbox=False).run(),
                )
            )
            yield

    return create_app("stats", lifespan=lifespan, routers=[routes.router])


async def run_command(arguments: commands.Arguments, settings: StatsSettings) -> int:
    """Run one command beside the service; returns the exit code."""
    if arguments.command == dead_letters.COMMAND:
        return await dead_letters.run(arguments, settings.amqp_url, "stats", [QUEUE])
    async with open_ledgers(settings) as ledgers:
        return await commands.run(arguments, ledgers, settings.audit_patience)


def main() -> None:
    """Console script ``tiketi-stats``: serve, or run one of the commands. Ends with 2 and one line if it cannot."""
    arguments = commands.parse(sys.argv[1:])
    settings = from_environment(StatsSettings)
    if arguments.command is None:
        configure_logging(settings.log_level, "stats")
        serve(build_app(settings), settings)
        return
    configure_logging("WARNING", "stats")
    try:
        sys.exit(asyncio.run(run_command(arguments, settings)))
    except (ValueError, OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"tiketi-stats: {error}\n")
        sys.exit(commands.WRONG)
