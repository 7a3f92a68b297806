"""A real server for an application under test, in the test's own event loop, on a free port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from tiketi_runtime.settings import RuntimeSettings
from tiketi_runtime.web import server_config


@asynccontextmanager
async def serve_app(app: ASGIApp) -> AsyncIterator[str]:
    """Run ``app`` with the options of production; gives its base URL. Ends when the block does.

    The lifespan has run when the block begins. Raises RuntimeError if the application does not start.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Server(server_config(app, RuntimeSettings(host="127.0.0.1")))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            address, port = listener.getsockname()
            while not server.started:
                await asyncio.wait([running], timeout=0.01)
                if running.done():
                    break
            else:
                yield f"http://{address}:{port}"
        finally:
            server.should_exit = True
            await running


class _Server(uvicorn.Server):
    """Leaves signals and the end of the process to pytest."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise RuntimeError("the application did not start; its log says why") from error

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
