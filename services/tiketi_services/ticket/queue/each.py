"""``for_each``: background work for many events or lines, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from tiketi_services.ticket.queue.domain import Recovering

T = TypeVar("T")


async def for_each(step: Callable[[T], Awaitable[object]], things: Iterable[T]) -> None:
    """All at once; one that is being rebuilt keeps no other waiting, nor does one that fails.

    Raises the first of other troubles, once all are done.
    """
    results = await asyncio.gather(*(step(thing) for thing in things), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Recovering):
            raise result
