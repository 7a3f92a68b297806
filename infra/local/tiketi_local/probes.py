"""Questions whether a part serves: each returns when it does, else raises NotReady or OSError."""

import asyncio
import ssl
from pathlib import Path

import aiohttp

from tiketi_local.part import NotReady


async def listens(port: int) -> None:
    """Somebody accepts connections on a port of this machine."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()


async def healthy(url: str, authority: Path | None = None) -> None:
    """Returns when ``url`` answers 200. Without an authority the server's own certificate is not checked."""
    context: ssl.SSLContext | bool = False
    if authority is not None:
        context = ssl.create_default_context(cafile=str(authority))
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=context) as answer:
            if answer.status != 200:
                raise NotReady(f"{url} answered {answer.status}")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotReady(f"{url}: {error!r}") from error
