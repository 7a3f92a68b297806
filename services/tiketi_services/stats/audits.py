"""``Audits``: the auditor beside the service, and what it reports of each event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.ticket_event_status import AuditReport
from tiketi_runtime.outages import is_outage
from tiketi_services.stats.audit import Audit
from tiketi_services.stats.auditor import Auditor
from tiketi_services.stats.ledgers import Ledgers
from tiketi_services.stats.settings import StatsSettings

_REPORT_INTERVAL: Final = timedelta(minutes=2)
"""How often a report is written anew that says nothing new, but that it is still so."""
_AWAY: Final = timedelta(seconds=5)
_TOLD: Final = 5
"""Findings named in a report."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_ledgers(settings: StatsSettings) -> AsyncIterator[Ledgers]:
    """Both databases. Raises ValueError if they are not set, OSError or PostgresError if they are away."""
    ticket, payment = settings.ticket_database_url, settings.payment_database_url
    if ticket is None or payment is None:
        raise ValueError("set TIKETI_STATS_TICKET_DATABASE_URL and TIKETI_STATS_PAYMENT_DATABASE_URL")
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(await postgres.connect(url, size=2)) for url in (ticket, payment)]
        yield Ledgers(*pools)


class Audits:
    """Audits for as long as it runs; both databases may come later, and go."""

    def __init__(self, settings: StatsSettings) -> None:
        self._settings = settings
        self._auditor: Auditor | None = None
        self._reports: dict[EventId, AuditReport] = {}

    async def run(self) -> None:
        """Audit until cancelled; nothing to do without the two databases."""
        if self._settings.ticket_database_url is None or self._settings.payment_database_url is None:
            log.warning("orders are not audited: no databases are set")
            await asyncio.Event().wait()
        trouble = ""
        while True:
            try:
                async with open_ledgers(self._settings) as ledgers:
                    self._auditor = self._auditor or Auditor(ledgers, self._settings.audit_patience)
                    self._auditor.ledgers = ledgers
                    while True:
                        await self._auditor.step()
                        trouble = ""
                        await asyncio.sleep(self._settings.audit_interval.total_seconds())
            except Exception as error:
                # Before ticket and payment have migrated for the first time there are no tables, or no rights.
                if not (is_outage(error) or isinstance(error, asyncpg.SyntaxOrAccessError)):
                    raise
                if trouble != (trouble := f"{type(error).__name__}: {error}"):
                    log.warning("orders are not audited for now", extra={"error": trouble})
            await asyncio.sleep(_AWAY.total_seconds())

    def report(self, event: EventId) -> AuditReport | None:
        """What the event's status is to say. The time moves on at intervals only: each write goes to every watcher."""
        if self._auditor is None or (found := self._auditor.of(event)) is None:
            return None
        at = self._auditor.completed_at or datetime.now(UTC)
        fresh, last = report_of(found, at), self._reports.get(event)
        is_same = last is not None and last.model_copy(update={"completed_at": fresh.completed_at}) == fresh
        if last is None or not is_same or fresh.completed_at >= last.completed_at + _REPORT_INTERVAL:
            self._reports[event] = fresh
        return self._reports[event]


def report_of(audit: Audit, at: datetime) -> AuditReport:
    """An audit as ``status.sales`` has it."""
    told = [f"{each.kind}, order {each.subject}: {each.told}" for each in audit.findings[:_TOLD]]
    if audit.cancelled_by is not None:
        told.append(f"The event was cancelled by {audit.cancelled_by}: nothing is sold any more, and all is given back")
    left = len(audit.findings) - min(len(audit.findings), _TOLD)
    return AuditReport(
        completed_at=at.replace(microsecond=0),
        orders=audit.orders,
        under_way=sum(audit.lags.values()),
        mismatches=len(audit.findings),
        accepted=audit.accepted,
        stopped=audit.is_stopped,
        message="; ".join([*told, *([f"and {left} more"] if left else [])])[:1024],
    )
