"""Adaptive admission at work: counts this process' answers with those of all, and once a window sets the next rate.

Any number of pods do the same; the script takes one decision for a window. Without ``adaptive`` in the policy answers
are counted for the event's status alone, and the policy's rate is restored.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from tiketi_runtime.contracts.answer_times import window_of
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import AdaptiveSheet, QueueingMethod, SaleSheet
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.each import for_each
from tiketi_services.ticket.queue.pace.adaptive import AdaptiveTerms, Change, Direction, next_rate
from tiketi_services.ticket.queue.pace.answers import Answer, Answers, counted, percentiles, sample_of
from tiketi_services.ticket.queue.pace.rates import Rates
from tiketi_services.ticket.queue.terms import may_serve
from tiketi_services.ticket.sales.sales import Sales

STEP: Final = timedelta(seconds=1)
"""How often ``Governor.step`` is to be called."""
_LATEST_COUNTS: Final = timedelta(seconds=2)
"""Into a window, until all pods have counted what belongs to the one before."""

log = logging.getLogger(__name__)


class Governor:
    """Sets the rates of all sales whose policy is adaptive."""

    def __init__(self, sales: Sales, rates: Rates, answers: Answers) -> None:
        self._sales = sales
        self._rates = rates
        self._answers = answers
        self._decided: dict[EventId, int] = {}

    async def step(self) -> None:
        """Count what was answered since the last step; decide where a window has ended. Each event by itself.

        Raises the first fault, once all were tried.
        """
        now, answers = datetime.now(UTC), self._answers.take()
        settled = window_of(now - _LATEST_COUNTS)
        sales = list(self._sales.all().values())
        open_now = {sale.event for sale in sales if any(may_serve(line, now) for line in sale.lines)}
        for event in self._decided.keys() - open_now:
            del self._decided[event]
            metrics.forget(metrics.OF_RATE, event)

        async def take_turn(sale: SaleSheet) -> None:
            await self._count(sale, answers.get(sale.event, ()), window_of(now))
            if sale.event in open_now and self._decided.get(sale.event) != settled:
                await self.decide(sale, settled)
                self._decided[sale.event] = settled

        await for_each(take_turn, sales)

    async def decide(self, sale: SaleSheet, window: int) -> Change | None:
        """Judge the windows before ``window`` and set the rate; the change, if this pod made one. Raises Recovering."""
        adaptive = _adaptive(sale)
        ceiling = sale.queue.new_users_per_minute
        if adaptive is None:
            metrics.forget(metrics.OF_RATE, sale.event)
            await self._restore(sale)
            return None
        terms = terms_of(adaptive, ceiling)
        standing = await self._rates.standing(sale.event, ceiling, window)
        lines = [line.name for line in sale.lines]
        judged = await self._rates.judge(sale.event, lines, window, standing.window)
        for kind, ms in percentiles(judged.counts).items():
            metrics.ANSWER_P95_SECONDS.labels(sale.event, kind).set(ms / 1000)
        metrics.RATE.labels(sale.event).set(standing.rate.per_minute)
        change = next_rate(standing.rate, sample_of(judged.counts, terms, judged.admitted_per_minute), terms)
        if change is None:
            return None
        message = f"{standing.rate.per_minute:.0f} to {change.rate.per_minute:.0f} buyers a minute: {change.reason}."
        if not await self._rates.change(sale.event, change, message, standing, window):
            return None
        self._tell(sale.event, change, message)
        return change

    async def _count(self, sale: SaleSheet, answers: Collection[Answer], window: int) -> None:
        adaptive = _adaptive(sale)
        if answers:
            terms = None if adaptive is None else terms_of(adaptive, sale.queue.new_users_per_minute)
            await self._rates.count(sale.event, window, counted(answers, terms))

    async def _restore(self, sale: SaleSheet) -> None:
        per_minute = sale.queue.new_users_per_minute
        message = f"{per_minute} buyers a minute, as the policy says: it is no longer adaptive."
        if await self._rates.restore(sale.event, Direction.RAISED, message):
            log.info("admission no longer adaptive", extra={"event": sale.event})

    def _tell(self, event: EventId, change: Change, message: str) -> None:
        direction = "slowed" if change.direction is Direction.SLOWED else "raised"
        metrics.RATE.labels(event).set(change.rate.per_minute)
        metrics.RATE_CHANGES.labels(event, direction).inc()
        level = logging.WARNING if change.is_warning else logging.INFO
        log.log(level, "admission %s", direction, extra={"event": event, "why": message})


def terms_of(adaptive: AdaptiveSheet, ceiling: int) -> AdaptiveTerms:
    """The policy's numbers, as they are decided by."""
    return AdaptiveTerms(
        ceiling=ceiling,
        floor=min(adaptive.floor_per_minute, ceiling),
        p95_ms=adaptive.p95_latency.total_seconds() * 1000,
        error_rate=adaptive.error_rate / 100,
    )


def _adaptive(sale: SaleSheet) -> AdaptiveSheet | None:
    """None also where nobody is held back: there is no rate to lower."""
    return None if sale.queue.method is QueueingMethod.PASSTHROUGH else sale.queue.adaptive
