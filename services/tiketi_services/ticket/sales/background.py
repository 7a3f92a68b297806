"""Tasks that run beside the requests for as long as the process does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta

from tiketi_runtime.errors import TiketiError
from tiketi_runtime.outages import is_outage

log = logging.getLogger(__name__)


@asynccontextmanager
async def running(*tasks: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run the tasks until the block ends, then cancel them and wait. A task that fails is logged when it does."""
    started = [asyncio.create_task(task) for task in tasks]
    for task in started:
        task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


async def every(interval: timedelta, what: str, step: Callable[[], Awaitable[object]]) -> None:
    """Take ``step`` again and again, ``interval`` after the last one ended. A store that is away is waited for.

    The same trouble is logged once, not at every step.
    """
    trouble = ""
    while True:
        try:
            await step()
            trouble = ""
        except Exception as error:
            if not is_outage(error) and not (isinstance(error, TiketiError) and error.retryable):
                log.exception("background step failed", extra={"what": what})
            elif trouble != (trouble := f"{type(error).__name__}: {error}"):
                log.warning("a part is away", extra={"what": what, "error": trouble})
        await asyncio.sleep(interval.total_seconds())


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task ended", exc_info=error)
