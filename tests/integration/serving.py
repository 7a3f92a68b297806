"""A real server for an application under test, in the test's own event loop, on a free port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from tiketi_runtime.settings import RuntimeSettings
from tiketi_runtime.web import Server, server_config


@dataclass
class Running:
    """A server at work."""

    url: str
    server: Server
    work: asyncio.Task[None]

    def ask_to_stop(self) -> None:
        """What SIGTERM does; a second time, cut it short."""
        self.server.force_exit = self.server.should_exit
        self.server.should_exit = True


@asynccontextmanager
async def run_app(app: ASGIApp) -> AsyncIterator[Running]:
    """Run ``app`` with the options of production. Ends, without draining, when the block does.

    The lifespan has run when the block begins. Raises RuntimeError if the application does not start.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Server(server_config(app, RuntimeSettings(host="127.0.0.1")))
        work = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            address, port = listener.getsockname()
            while not server.started:
                await asyncio.wait([work], timeout=0.01)
                if work.done():
                    break
            else:
                yield Running(f"http://{address}:{port}", server, work)
        finally:
            server.should_exit = True
            server.skips_draining = True
            await work


@asynccontextmanager
async def serve_app(app: ASGIApp) -> AsyncIterator[str]:
    """As ``run_app``; gives the base URL."""
    async with run_app(app) as running:
        yield running.url


class _Server(Server):
    """Leaves signals and the end of the process to pytest."""

    skips_draining = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise RuntimeError("the application did not start; its log says why") from error

    async def drain(self) -> None:
        if not self.skips_draining:
            await super().drain()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
