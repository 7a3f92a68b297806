"""Loops that end what is open: attempts whose answer is not known, those that a webhook was about, and money that must
go back. Another one tells of what stays open for too long.

Any number of processes may run them: each row is leased for a while by the one that takes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from prometheus_client import Gauge

from tiketi_runtime.outages import is_outage
from tiketi_services.payment.usecases import Cashier

BATCH = 16
"""Rows a process works on at once."""
HINTS_AT_ONCE = 4
"""Look-ups because of webhooks that a process makes at once: anybody may send webhooks, and confirms need the vendor
more."""
TOO_LONG = timedelta(minutes=30)
"""After this somebody must know."""

UNKNOWN_OVERDUE = Gauge(
    "tiketi_payment_unknown_overdue", "Attempts whose end is not known for 30 minutes: their seats wait."
)
NOT_GIVEN_BACK_OVERDUE = Gauge(
    "tiketi_payment_not_given_back_overdue", "Charges that should have been given back 30 minutes ago."
)

log = logging.getLogger(__name__)


class Resolver:
    """``interval``: pause when nothing is due. ``lease``: longer than one vendor call.
    ``hints_per_second``: look-ups that a process makes because of webhooks at most.
    """

    def __init__(self, cashier: Cashier, interval: timedelta, lease: timedelta, hints_per_second: float) -> None:
        self._cashier = cashier
        self._interval = interval.total_seconds()
        self._lease = lease
        self._hint_pause = 1 / hints_per_second

    async def run_attempts(self) -> None:
        """Resolve attempts until cancelled."""
        await self._repeat(self.resolve_due)

    async def run_cancellations(self) -> None:
        """Give money back until cancelled."""
        await self._repeat(self.give_back_due)

    async def run_hints(self) -> None:
        """Look at what webhooks were about until cancelled, within the budget."""
        while True:
            looked = await self._once(self.look_at_hinted)
            await asyncio.sleep(max(looked * self._hint_pause, 0 if looked == HINTS_AT_ONCE else self._interval))

    async def look_at_hinted(self) -> int:
        """Look at a few; returns how many."""
        due = await self._cashier.payments.take_hinted(HINTS_AT_ONCE, self._lease)
        await _all(self._cashier.look_again(hinted) for hinted in due)
        return len(due)

    async def tell_overdue(self) -> None:
        """Count what is open for too long, and log each attempt once an hour."""
        payments = self._cashier.payments
        unknown, not_given_back = await payments.count_overdue(TOO_LONG)
        UNKNOWN_OVERDUE.set(unknown)
        NOT_GIVEN_BACK_OVERDUE.set(not_given_back)
        for attempt in await payments.alarm_unknown(TOO_LONG) if unknown else ():
            facts = {"order": str(attempt.order_id), "payment_key": attempt.payment_key, "code": attempt.code}
            log.error(
                "payment not known for too long; see docs/payments.md, resolve",
                extra={"attempt": str(attempt.attempt_id), "since": attempt.since.isoformat(), **facts},
            )

    async def resolve_due(self) -> int:
        """Resolve one batch; returns how many were due."""
        due = await self._cashier.payments.take_attempts(BATCH, self._lease)
        await _all(self._cashier.resolve(attempt) for attempt in due)
        return len(due)

    async def give_back_due(self) -> int:
        """Work on one batch of cancellations; returns how many were due."""
        due = await self._cashier.payments.take_cancellations(BATCH, 2 * self._lease)  # cancel, then look
        await _all(self._cashier.give_back(cancellation) for cancellation in due)
        return len(due)

    async def _repeat(self, once: Callable[[], Awaitable[int]]) -> None:
        while True:
            if await self._once(once) < BATCH:
                await asyncio.sleep(self._interval)

    async def _once(self, once: Callable[[], Awaitable[int]]) -> int:
        try:
            return await once()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("resolver waits", extra={"error": f"{type(error).__name__}: {error}"})
            return 0


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Let every work end before the first error is raised: one bad row must not stop the others."""
    results = await asyncio.gather(*works, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if not is_outage(error):
            raise error
    if errors:
        raise errors[0]
