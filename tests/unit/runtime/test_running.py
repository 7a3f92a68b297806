"""Loops end with their block, whatever happens to the first cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tiketi_runtime import background
from tiketi_runtime.background import running


async def test_a_loop_that_lost_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_CANCEL_AGAIN_SECONDS", 0.01)
    cancelled = 0

    async def forgetful() -> None:
        nonlocal cancelled
        while cancelled < 3:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            cancelled += 1

    async with asyncio.timeout(10):
        async with running(forgetful()):
            await asyncio.sleep(0)
    assert cancelled == 3


async def test_nothing_to_run_is_no_error() -> None:
    async with running():
        pass
