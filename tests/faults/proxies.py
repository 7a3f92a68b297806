"""Toxiproxy between two parts: what a network does to a conversation."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from tests.integration.redis_servers import free_port

from tiketi_local import binaries
from tiketi_local.catalogue import silently
from tiketi_local.process import Command, Process, alive, spawn, stop

REQUEST, ANSWER = "upstream", "downstream"


@dataclass(frozen=True)
class Proxies:
    """A running toxiproxy and its links by name."""

    http: aiohttp.ClientSession
    url: str
    ports: Mapping[str, int]

    async def spoil(self, link: str, kind: str, stream: str = ANSWER, **attributes: int) -> None:
        """Put a toxic on a link: all that passes it is harmed until ``heal``."""
        toxic = {"name": kind, "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes}
        await self._post(f"/proxies/{link}/toxics", toxic)

    async def cut(self, link: str) -> None:
        """End all connections of a link and take no new ones."""
        await self._post(f"/proxies/{link}", {"enabled": False})

    async def heal(self) -> None:
        """All links are as new."""
        await self._post("/reset", {})

    async def add(self, link: str, upstream: int) -> None:
        """Lead a link to a port of this machine."""
        listen = f"127.0.0.1:{self.ports[link]}"
        await self._post("/proxies", {"name": link, "listen": listen, "upstream": f"127.0.0.1:{upstream}"})

    async def _post(self, path: str, body: Any) -> None:
        async with self.http.post(self.url + path, json=body) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"toxiproxy refused {path} {body}: {answer.status} {await answer.text()}")


@asynccontextmanager
async def running_proxies(folder: Path, upstreams: Mapping[str, int]) -> AsyncIterator[Proxies]:
    """A toxiproxy with a link to each upstream port, during the block."""
    program, port = await binaries.toxiproxy(silently), free_port()
    argv = [str(program), "-host", "127.0.0.1", "-port", str(port)]
    process = spawn(Command(argv, folder, folder / "toxiproxy.log", {"LOG_LEVEL": "error"}))
    ports = {link: free_port() for link in upstreams}
    try:
        async with aiohttp.ClientSession() as http:
            proxies = Proxies(http, f"http://127.0.0.1:{port}", ports)
            await _until_ready(process, proxies)
            for link, upstream in upstreams.items():
                await proxies.add(link, upstream)
            yield proxies
    finally:
        await stop(process, signal.SIGTERM, 2)


async def _until_ready(process: Process, proxies: Proxies) -> None:
    async with asyncio.timeout(10):
        while True:
            if not alive(process):
                raise RuntimeError("toxiproxy ended while starting; its log says why")
            try:
                async with proxies.http.get(f"{proxies.url}/version") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
