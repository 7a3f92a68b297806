"""Loops that run beside the requests of a process for as long as it lives."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

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
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stop_process(ended: asyncio.Task[None]) -> None:
    error = None if ended.cancelled() else ended.exception()
    log.critical("a loop ended; stopping", exc_info=error, extra={"loop": repr(ended.get_coro())})
    signal.raise_signal(signal.SIGTERM)
