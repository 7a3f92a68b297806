"""Both sides of the catcher in one event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from tiketi_local.mail import smtp
from tiketi_local.mail.box import Mailbox
from tiketi_local.mail.pages import create_app


@dataclass(frozen=True, slots=True)
class Catcher:
    """A catcher that listens."""

    box: Mailbox
    smtp_port: int
    http_port: int


@asynccontextmanager
async def catching(host: str = "127.0.0.1", smtp_port: int = 0, http_port: int = 0) -> AsyncIterator[Catcher]:
    """Catch mail while the block runs; port 0 stands for any free one. Raises OSError if a port is taken."""
    box = Mailbox()
    runner = web.AppRunner(create_app(box), access_log=None, shutdown_timeout=0.1)
    server = await smtp.listen(box, host, smtp_port)
    try:
        await runner.setup()
        await web.TCPSite(runner, host, http_port).start()
        yield Catcher(box, server.sockets[0].getsockname()[1], runner.addresses[0][1])
    finally:
        server.close()
        await runner.cleanup()
