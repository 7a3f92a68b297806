"""The simulator as a process: what was charged is still there after kill -9."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY

HEADERS = {"authorization": aiohttp.encode_basic_auth(SECRET_KEY, ""), "idempotency-key": "k"}


@asynccontextmanager
async def _simulator(port: int, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python -m tiketi_local.toss``, ready; killed at the end if it still runs."""
    command = (sys.executable, "-m", "tiketi_local.toss", "--port", str(port), *options)
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(20):
            while not await _answers(port):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/healthz"):
            return True
    except aiohttp.ClientConnectionError:
        return False


async def _pay(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    request = {
        "clientKey": CLIENT_KEY,
        "orderId": "order-restart",
        "orderName": "x",
        "amount": 1000,
        "successUrl": "https://a/s",
        "failUrl": "https://a/f",
    }
    async with http.post(f"{url}/checkout", json=request) as answer:
        window = await answer.json()
    async with http.post(window["payUrl"], json={"card": "4000000000000077"}, allow_redirects=False):
        return {"paymentKey": window["paymentKey"], "orderId": "order-restart", "amount": 1000}


async def test_payments_and_idempotency_keys_survive_kill_9(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, journal = f"http://127.0.0.1:{port}", tmp_path / "journal.jsonl"
    options = ("--journal", str(journal), "--client-key", CLIENT_KEY)
    async with aiohttp.ClientSession() as http:
        async with _simulator(port, *options):
            body = await _pay(http, url)
            async with http.post(f"{url}/v1/payments/confirm", json=body, headers=HEADERS) as answer:
                first = await answer.read()
                assert answer.status == 200
        with journal.open("a") as torn:
            torn.write('{"payment": {"payment_key"')
        async with _simulator(port, *options) as process:
            async with http.post(f"{url}/v1/payments/confirm", json=body, headers=HEADERS) as answer:
                assert await answer.read() == first
            async with http.get(f"{url}/__sim/ledger") as answer:
                assert (await answer.json())["totals"]["kept"] == 1000
            process.terminate()
            assert await process.wait() == 0
