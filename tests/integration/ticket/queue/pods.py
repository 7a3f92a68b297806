"""Two pods of the ticket service, and one address before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.serving import Running, run_app
from tests.integration.ticket.queue.service import Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app

MOVING = "moving"
"""The event that both serve; it opens in ten minutes."""


@dataclass
class FrontDoor:
    """One address before several pods; new connections go to ``target``."""

    target: str
    url: str = ""

    async def admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        address = urlsplit(self.target)
        there, back = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
    except ConnectionError:
        pass  # the other direction ends as well
    finally:
        writer.close()


@asynccontextmanager
async def a_front_door(target: str) -> AsyncIterator[FrontDoor]:
    door = FrontDoor(target)
    server = await asyncio.start_server(door.admit, "127.0.0.1", 0)
    door.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield door


@dataclass
class Pods:
    """Two of them; ``service`` speaks with the first one."""

    service: Service
    first: Running
    second: Running


@asynccontextmanager
async def two_pods(
    folder: Path, redis: Redis, *, redis_url: str, database_url: str, amqp_url: str
) -> AsyncIterator[Pods]:
    """Pods that drain within a second."""
    auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    await publish(redis, a_sale(MOVING, opens_in=timedelta(minutes=10)))
    settings = settings_for(
        folder,
        auth,
        redis_url=redis_url,
        database_url=database_url,
        amqp_url=amqp_url,
        drain_duration=timedelta(seconds=1),
        shutdown_grace=timedelta(seconds=3),
    )
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(run_app(build_app(settings))) for _ in range(2)]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for pod in (second, first):
            service = Service(pod.url, http, redis, auth)
            await service.until_served(MOVING)
        yield Pods(service, first, second)
