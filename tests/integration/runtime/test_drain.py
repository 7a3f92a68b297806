"""The end of a process: not ready any more, connections sent away, requests under way answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter, FastAPI
from tests.integration.serving import Running, run_app

from tiketi_runtime.web import DRAIN, create_app

slow = APIRouter()


@slow.get("/slow")
async def _slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@asynccontextmanager
async def a_process(drain: Callable[[], Awaitable[None]] | None) -> AsyncIterator[Running]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield {} if drain is None else {DRAIN: drain}

    async with run_app(create_app("test", lifespan=lifespan, routers=[slow])) as process:
        yield process


async def test_a_draining_process_is_not_ready_and_still_answers() -> None:
    drained = asyncio.Event()

    async def drain() -> None:
        await drained.wait()

    async with a_process(drain) as process, aiohttp.ClientSession(process.url) as http:
        assert (await http.get("/readyz")).status == 200
        process.ask_to_stop()
        async with asyncio.timeout(15):
            while (answer := await http.get("/readyz")).status == 200:  # noqa: ASYNC110 - uvicorn looks ten times a second
                await asyncio.sleep(0.02)
        assert (answer.status, (await answer.json())["draining"]) == (503, True)
        assert (await http.get("/healthz")).status == 200
        assert await (await http.get("/slow", params={"seconds": 0})).json() == "done"
        drained.set()
        await asyncio.wait_for(process.work, 15)


async def test_a_request_under_way_is_answered_before_the_process_ends() -> None:
    async with a_process(None) as process, aiohttp.ClientSession(process.url) as http:
        answer = asyncio.create_task(http.get("/slow", params={"seconds": 0.5}))
        await asyncio.sleep(0.1)
        process.ask_to_stop()
        assert await (await answer).json() == "done"
        await asyncio.wait_for(process.work, 15)


async def test_a_second_signal_cuts_the_draining_short() -> None:
    async def drain() -> None:
        await asyncio.sleep(60)

    async with a_process(drain) as process:
        process.ask_to_stop()
        await asyncio.sleep(0.3)
        process.ask_to_stop()
        await asyncio.wait_for(process.work, 15)


async def test_a_drain_that_fails_is_logged_and_ends_the_process_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def drain() -> None:
        raise RuntimeError("no way out")

    async with a_process(drain) as process:
        process.ask_to_stop()
        await asyncio.wait_for(process.work, 15)
    assert "draining failed" in caplog.messages
