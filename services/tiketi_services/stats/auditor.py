"""``Auditor``: compares every order again and again, a few at a time, and stops a sale that cannot be right."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from prometheus_client import Counter, Gauge

from tiketi_services.stats.audit import (
    Audit,
    Delivery,
    Finding,
    Judgement,
    StraySeat,
    Suspicions,
    accepted,
    cancelled,
    judge,
    stopped,
    stray,
)
from tiketi_services.stats.ledgers import Ledgers

LOOKED_AT = Counter("tiketi_audit_orders_total", "Orders compared between ticket and payment.")
UNDER_WAY = Gauge("tiketi_audit_under_way", "Orders of which one side knows more than the other, so far.", ["kind"])
MISMATCHES = Gauge("tiketi_audit_mismatches", "What cannot be, found twice and not accepted by anybody.", ["kind"])
STOPPED = Gauge("tiketi_audit_stopped_sales", "Sales that are stopped because of a mismatch.")
COMPLETED = Gauge("tiketi_audit_completed_timestamp_seconds", "When all orders had last been compared.")

_BATCH: Final = 1000
"""Orders read in one statement."""
_FIRST_SEAT: Final = ("", "")
_REASON: Final = "orders, payments and tickets do not agree"

log = logging.getLogger(__name__)


@dataclass
class _Pass:
    """All orders of all events, once."""

    after: UUID | None = None
    seat: tuple[str, str] | None = _FIRST_SEAT
    orders_done: bool = False
    orders: Tally[str] = field(default_factory=Tally)
    lags: dict[str, Tally[str]] = field(default_factory=dict)

    def note(self, judgement: Judgement) -> None:
        """Count one order."""
        if judgement.event is not None:
            self.orders[judgement.event] += 1
            self.lags.setdefault(judgement.event, Tally()).update(judgement.lags)


class Auditor:
    """One process audits. What it knows it has read; when it starts anew it reads everything again."""

    def __init__(
        self,
        ledgers: Ledgers,
        patience: timedelta,
        *,
        event: str | None = None,
        stops: bool = True,
        batch: int = _BATCH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``patience``: how far apart two readings must be. ``event``: only this one. ``stops``: whether a sale
        with a mismatch is stopped.
        """
        self.ledgers = ledgers
        self._stops = stops
        self._event = event
        self._batch = batch
        self._clock = clock
        self._suspicions = Suspicions(patience)
        self._delivery = Delivery()
        self._pass = _Pass()
        self._certain: dict[tuple[str, str], Finding] = {}
        self._lags: Mapping[str, Tally[str]] = {}
        self._orders: Mapping[str, int] = {}
        self._audits: Mapping[str, Audit] = {}
        self.completed_at: datetime | None = None
        """When all orders had last been compared; None: not yet."""

    @property
    def suspects(self) -> int:
        """What was found and has to be seen again, or was."""
        return len(self._suspicions.subjects)

    def of(self, event: str) -> Audit | None:
        """What is to be said of an event; None before all orders were compared once."""
        return None if self.completed_at is None else self._audits.get(event, Audit())

    def audits(self) -> Mapping[str, Audit]:
        """Events that have orders, or were stopped."""
        return self._audits

    async def step(self) -> bool:
        """Compare some more orders, and whatever is suspected; True if that completed a pass.

        Raises an outage of either database: nothing is concluded from what could not be read.
        """
        judged = await self._next_orders()
        seats = await self._next_seats()
        again = await self._suspects(judged)
        found = [finding for each in (*judged.values(), *again.values()) for finding in each.findings]
        looked_at = [*map(str, judged), *map(str, again), *(f"{event} {seat}" for event, seat in seats[1])]
        self._conclude(looked_at, [*found, *map(stray, seats[0])])
        is_complete = self._pass.orders_done and self._pass.seat is None
        if is_complete:
            self._orders, self._lags = self._pass.orders, self._pass.lags
            self.completed_at = datetime.now(UTC)
            self._pass = _Pass()
        await self._act()
        return is_complete

    async def complete(self) -> None:
        """Compare everything once."""
        while not await self.step():
            pass

    async def _next_orders(self) -> dict[UUID, Judgement]:
        if self._pass.orders_done:
            return {}
        ids = await self.ledgers.next_orders(self._pass.after, self._event, self._batch)
        judged = await self._judge(ids)
        for judgement in judged.values():
            self._pass.note(judgement)
        self._pass.orders_done = len(ids) < self._batch
        self._pass.after = ids[-1] if ids else self._pass.after
        return judged

    async def _next_seats(self) -> tuple[set[StraySeat], list[tuple[str, str]]]:
        """Stray seats, and the seats that were asked for by name."""
        found: set[StraySeat] = set()
        if self._pass.seat is not None:
            strays, last = await self.ledgers.next_strays(self._pass.seat, self._event, self._batch)
            found.update(strays)
            self._pass.seat = last
        asked = [(event, seat) for event, _, seat in (s.partition(" ") for s in self._suspicions.subjects) if seat]
        found.update(await self.ledgers.strays_among(asked))
        return found, asked

    async def _suspects(self, judged: Mapping[UUID, Judgement]) -> dict[UUID, Judgement]:
        wanted = {UUID(subject) for subject in self._suspicions.subjects if " " not in subject}
        return await self._judge(sorted(wanted.difference(judged)))

    async def _judge(self, orders: list[UUID]) -> dict[UUID, Judgement]:
        ours, theirs = await self.ledgers.read(orders)
        LOOKED_AT.inc(len(orders))
        self._delivery = self._delivery.seen(ours.values())
        return {
            order: judge(ours.get(order), theirs.get(order), self._delivery)
            for order in orders
            if order in ours or order in theirs
        }

    def _conclude(self, looked_at: Iterable[str], found: list[Finding]) -> None:
        asked = set(looked_at)
        certain = self._suspicions.weigh(asked, found, self._clock())
        self._certain = {key: each for key, each in self._certain.items() if key[1] not in asked}
        self._certain.update({finding.key: finding for finding in certain})

    async def _act(self) -> None:
        """Stop the sale of every event with a mismatch that nobody has accepted."""
        history = await self.ledgers.stops()
        known = accepted(history)
        by_event: dict[str, list[Finding]] = {}
        for key, finding in self._certain.items():
            if key not in known:
                by_event.setdefault(finding.event, []).append(finding)
        standing = set(stopped(history))
        for event in sorted(by_event.keys() - standing):
            if self._stops and await self.ledgers.stop(event, _REASON, by_event[event]):
                standing.add(event)
                log.error("sale stopped", extra={"event": event, "findings": [f.told for f in by_event[event]]})
        self._publish(by_event, standing, known, {event: stop.by for event, stop in cancelled(history).items()})

    def _publish(
        self,
        by_event: Mapping[str, list[Finding]],
        standing: set[str],
        known: set[tuple[str, str]],
        called_off: Mapping[str, str],
    ) -> None:
        waived = Tally(finding.event for key, finding in self._certain.items() if key in known)
        self._audits = {
            event: Audit(
                self._orders.get(event, 0),
                dict(self._lags.get(event, {})),
                tuple(by_event.get(event, ())),
                waived[event],
                event in standing,
                called_off.get(event),
            )
            for event in sorted({*self._orders, *by_event, *standing, *waived})
        }
        STOPPED.set(len(standing - called_off.keys()))
        _show(MISMATCHES, Tally(each.kind for found in by_event.values() for each in found))
        _show(UNDER_WAY, sum((Tally(audit.lags) for audit in self._audits.values()), Tally()))
        if self.completed_at is not None:
            COMPLETED.set(self.completed_at.timestamp())


def _show(gauge: Gauge, counts: Mapping[str, int]) -> None:
    gauge.clear()
    for kind, count in counts.items():
        gauge.labels(kind).set(count)
