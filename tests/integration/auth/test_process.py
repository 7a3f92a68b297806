"""The process as it runs in production: starts, logs JSON, ends in good order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from tests.integration.auth.conftest import Client, new_email

from tiketi_services.auth.settings import AuthSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(settings: AuthSettings, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tiketi_services.auth.app",
        env={
            "PATH": os.environ["PATH"],
            "TIKETI_AUTH_HOST": "127.0.0.1",
            "TIKETI_AUTH_PORT": str(port),
            "TIKETI_AUTH_DATABASE_URL": settings.database_url,
            "TIKETI_AUTH_REDIS_URL": settings.redis_url,
            "TIKETI_AUTH_AMQP_URL": settings.amqp_url,
            "TIKETI_AUTH_SIGNING_KEY_FILE": str(settings.signing_key_file),
            "TIKETI_AUTH_SMTP_URL": settings.smtp_url,
            "TIKETI_AUTH_MAIL_FROM": settings.mail_from,
            "TIKETI_AUTH_PUBLIC_URL": settings.public_url,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_ready(client: Client) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await client.ask("GET", "/readyz")).status == 200:
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


async def test_a_request_under_way_at_sigterm_is_answered(settings: AuthSettings) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with running(settings, port) as process, aiohttp.ClientSession(url) as session:
        client = Client(session, url)
        await until_ready(client)
        signing_up = asyncio.gather(*(client.sign_up(new_email()) for _ in range(10)))
        await asyncio.sleep(0.03)
        process.send_signal(signal.SIGTERM)
        answers = await signing_up
        async with asyncio.timeout(10):
            out, _ = await process.communicate()
    assert {answer.status for answer in answers} == {201}
    lines = [json.loads(line) for line in out.decode().splitlines()]
    assert {line["service"] for line in lines} == {"auth"}
    assert sum(line["message"] == "signed up" for line in lines) == 10
    assert not [line for line in lines if line["level"] in {"ERROR", "CRITICAL"}]
