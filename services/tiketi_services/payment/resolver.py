"""Loops that end what is open: attempts whose answer is not known, and money that must go back.

Any number of processes may run them: each row is leased for a while by the one that takes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from tiketi_runtime.outages import is_outage
from tiketi_services.payment.usecases import Cashier

BATCH = 16
"""Rows a process works on at once."""

log = logging.getLogger(__name__)


class Resolver:
    """``interval``: pause when nothing is due. ``lease``: longer than the vendor calls made for one row."""

    def __init__(self, cashier: Cashier, interval: timedelta, lease: timedelta) -> None:
        self._cashier = cashier
        self._interval = interval.total_seconds()
        self._lease = lease

    async def run_attempts(self) -> None:
        """Resolve attempts until cancelled."""
        await self._repeat(self.resolve_due)

    async def run_cancellations(self) -> None:
        """Give money back until cancelled."""
        await self._repeat(self.give_back_due)

    async def resolve_due(self) -> int:
        """Resolve one batch; returns how many were due."""
        due = await self._cashier.payments.take_attempts(BATCH, self._lease)
        await _all(self._cashier.resolve(attempt) for attempt in due)
        return len(due)

    async def give_back_due(self) -> int:
        """Work on one batch of cancellations; returns how many were due."""
        due = await self._cashier.payments.take_cancellations(BATCH, self._lease)
        await _all(self._cashier.give_back(cancellation) for cancellation in due)
        return len(due)

    async def _repeat(self, once: Callable[[], Awaitable[int]]) -> None:
        while True:
            try:
                worked = await once()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("resolver waits", extra={"error": f"{type(error).__name__}: {error}"})
                worked = 0
            if worked < BATCH:
                await asyncio.sleep(self._interval)


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Let every work end before the first error is raised: one bad row must not stop the others."""
    results = await asyncio.gather(*works, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if not is_outage(error):
            raise error
    if errors:
        raise errors[0]
