"""The daily reconciliation: every transaction at the vendor has an attempt of ours, and every attempt its transaction.

What does not agree is recorded, counted and logged. It is mended only where nothing is left to guess: the vendor's word
is applied to an attempt that had ended as refused, and a charge under an order id of ours that its attempt never asked
for is cancelled in full, recorded before the call like every cancellation. All else is for people: docs/payments.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from prometheus_client import Counter, Gauge

from tiketi_services.payment.books import (
    Action,
    Finding,
    Kind,
    Listed,
    OurPayment,
    agrees,
    bounds,
    by_payment,
    day_of,
    find_ours,
    judge_books,
    missing,
)
from tiketi_services.payment.repository import Books
from tiketi_services.payment.toss import VendorRefusal
from tiketi_services.payment.usecases import FOUND_OUT, Cashier

DAYS_BACK: Final = 7
"""A vendor or database that was away for longer needs the command for the older days."""
LEASE: Final = timedelta(minutes=30)
PAGE: Final = 1000
LOOKS_AT_ONCE: Final = 4

FOUND = Counter(
    "tiketi_payment_findings_total", "Disagreements with the vendor's books that were new, by kind.", ["kind"]
)
OPEN_FINDINGS = Gauge(
    "tiketi_payment_findings_open", "Disagreements with the vendor's books that no later run found mended.", ["kind"]
)
RECONCILED = Gauge(
    "tiketi_payment_reconciled_until_timestamp_seconds", "End of the newest day that was reconciled; 0: none yet."
)

_Look = Coroutine[Any, Any, Finding | None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """One day's reconciliation."""

    day: date
    transactions: int
    findings: tuple[tuple[Finding, Action], ...]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """``mends``: whether what is certain is mended, or all is only recorded. ``after``: a day is settled at the vendor
    so long after its end.
    """

    cashier: Cashier
    books: Books
    mends: bool
    after: timedelta

    async def run_due(self) -> Report | None:
        """Reconcile the oldest day of the last week that is not yet; None if there is none. Raises AnswerLost."""
        last = day_of(datetime.now(UTC) - self.after) - timedelta(days=1)
        day = await self.books.take_day(last - timedelta(days=DAYS_BACK - 1), last, LEASE)
        try:
            return None if day is None else await self.run(day)
        finally:
            await self._tell()

    async def run(self, day: date) -> Report:
        """Reconcile one day; again as often as one likes. Raises AnswerLost or VendorRefusal if the vendor is away."""
        started = datetime.now(UTC)
        rows = [row async for row in self.cashier.toss.transactions(*bounds(day))]
        listed = by_payment(rows, day)
        doubtful = [pair async for pair in self._doubtful(listed)]
        found = [finding for finding in await _some_at_once([self._look(*pair) for pair in doubtful]) if finding]
        found += await self._not_listed(day, listed)
        report = Report(day, len(rows), tuple([(finding, await self._deal_with(finding, day)) for finding in found]))
        await self.books.finish_day(day, len(rows), len(found), started)
        log.info("reconciled", extra={"day": str(day), "transactions": len(rows), "findings": len(found)})
        return report

    async def _doubtful(self, listed: dict[str, Listed]) -> AsyncIterator[tuple[str, OurPayment | None]]:
        """Payments that the list and our books do not agree on at first sight."""
        payments = list(listed.values())
        for start in range(0, len(payments), PAGE):
            page = payments[start : start + PAGE]
            rows = await self.books.ours([each.payment_key for each in page], [each.order_id for each in page])
            by_key, by_order = {row.payment_key: row for row in rows}, {row.vendor_order_id: row for row in rows}
            for each in page:
                candidates = [by_key.get(each.payment_key), by_order.get(each.order_id)]
                ours = find_ours(each.payment_key, each.order_id, [row for row in candidates if row is not None])
                if not agrees(each, ours):
                    yield each.payment_key, ours

    async def _not_listed(self, day: date, listed: dict[str, Listed]) -> list[Finding]:
        """Attempts that ended as DONE on this day, without a transaction on it: charged on another day, or never."""
        found: list[Finding] = []
        begin, end = bounds(day)
        after = ""
        while keys := await self.books.done_between(begin, end, after, PAGE):
            after = keys[-1]
            rows = await self.books.ours([key for key in keys if key not in listed], [])
            looks = [self._look(row.payment_key, row) for row in rows if row.payment_key is not None]
            found += [finding for finding in await _some_at_once(looks) if finding]
        return found

    async def _look(self, payment_key: str, ours: OurPayment | None) -> Finding | None:
        """Read the payment itself. Our row is older than this reading: it is read again if they do not agree."""
        try:
            payment = await self.cashier.toss.look_up(payment_key)
        except VendorRefusal as refusal:
            if refusal.code != "NOT_FOUND_PAYMENT":
                raise
            return missing(ours) if ours is not None and ours.payment_key == payment_key else None
        if judge_books(payment, ours) is None:
            return None
        now_ours = find_ours(payment_key, payment.order_id, await self.books.ours([payment_key], [payment.order_id]))
        return judge_books(payment, now_ours)

    async def _deal_with(self, finding: Finding, day: date) -> Action:
        action = await self._mend(finding) if self.mends else Action.RECORDED
        if await self.books.record(finding, day, action):
            FOUND.labels(finding.kind).inc()
            facts = {"kind": finding.kind, "payment_key": finding.payment_key, "told": finding.told, "action": action}
            log.error(
                "books differ from the vendor's", extra={**facts, "attempt": str(finding.attempt_id), "day": str(day)}
            )
        return action

    async def _mend(self, finding: Finding) -> Action:
        if finding.attempt_id is None:
            return Action.RECORDED
        if finding.kind is Kind.STRAY_CHARGE:
            cancels = await self.books.cancel_stray(finding.attempt_id, finding.payment_key, finding.kind.value)
            return Action.CANCELLED if cancels else Action.RECORDED
        if finding.kind is Kind.CHARGED_THOUGH_REFUSED:
            attempt = await self.cashier.payments.attempt(finding.attempt_id)
            payment = await self.cashier.toss.look_up(finding.payment_key)
            if attempt is not None and await self.cashier.apply(attempt, payment, FOUND_OUT):
                return Action.APPLIED
        return Action.RECORDED

    async def _tell(self) -> None:
        """Gauges, from the rows: every process says the same."""
        open_findings = await self.books.count_findings()
        for kind in Kind:
            OPEN_FINDINGS.labels(kind).set(open_findings.get(kind.value, 0))
        last = await self.books.last_reconciled()
        RECONCILED.set(0 if last is None else bounds(last)[1].timestamp())


async def _some_at_once(looks: Sequence[_Look]) -> list[Finding | None]:
    """The looks' results; a few at a time, because confirms need the vendor more."""
    turn = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def one(look: _Look) -> Finding | None:
        async with turn:
            return await look

    return await asyncio.gather(*(one(look) for look in looks))
