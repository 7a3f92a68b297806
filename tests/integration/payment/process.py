"""Payment as a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from tests.integration.payment.shop import until

from tiketi_services.payment.settings import PaymentSettings


def environment(settings: PaymentSettings, port: int) -> Mapping[str, str]:
    """The settings as a process gets them."""
    values = settings.model_dump(mode="json", exclude_unset=True) | {"host": "127.0.0.1", "port": port}
    return os.environ | {f"TIKETI_PAYMENT_{name.upper()}": str(value) for name, value in values.items()}


@asynccontextmanager
async def payment_process(settings: PaymentSettings) -> AsyncIterator[tuple[Process, str]]:
    """The process and its URL, once it answers; killed at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (sys.executable, "-m", "tiketi_services.payment.app")
    process = await asyncio.create_subprocess_exec(*program, env=environment(settings, port), stdout=DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        await until(lambda: _answers(url))
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False
