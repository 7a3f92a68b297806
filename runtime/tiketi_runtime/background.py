"""Loops that run beside the requests of a process for as long as it lives."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from tiketi_runtime.errors import TiketiError
from tiketi_runtime.outages import is_outage

_CANCEL_AGAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run endless loops during the block; they are cancelled at its end.

    A loop that ends by itself is a fault of ours. The process then stops in good order, to be started anew:
    it must not go on serving with a part of it dead.
    """
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(_stop_process)
    try:
        yield
    finally:
        for task in tasks:
            task.remove_done_callback(_stop_process)
        await _end(tasks)


async def every(
    interval: timedelta, what: str, step: Callable[[], Awaitable[object]], *, is_punctual: bool = False
) -> None:
    """Take ``step`` again and again, ``interval`` after the last one ended. A store that is away is waited for.

    ``is_punctual``: ``interval`` after the last one began, or at once if it took longer. The same trouble is logged
    once, not at every step.
    """
    trouble = ""
    while True:
        began = time.monotonic()
        try:
            await step()
            trouble = ""
        except Exception as error:
            if not is_outage(error) and not (isinstance(error, TiketiError) and error.retryable):
                log.exception("background step failed", extra={"what": what})
            elif trouble != (trouble := f"{type(error).__name__}: {error}"):
                log.warning("a part is away", extra={"what": what, "error": trouble})
        spent = time.monotonic() - began if is_punctual else 0
        await asyncio.sleep(max(0, interval.total_seconds() - spent))


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: a library may lose a cancellation that comes while it closes something."""
    pending: Collection[asyncio.Task[None]] = tasks  # asyncio.wait takes no empty one
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)


def _stop_process(ended: asyncio.Task[None]) -> None:
    error = None if ended.cancelled() else ended.exception()
    log.critical("a loop ended; stopping", exc_info=error, extra={"loop": repr(ended.get_coro())})
    signal.raise_signal(signal.SIGTERM)
