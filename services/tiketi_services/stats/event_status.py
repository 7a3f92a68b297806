"""``status.sales`` of each TicketEvent. Stats' only word to Kubernetes; nothing here waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiketi_runtime.contracts.identity import EventId, namespace_and_name
from tiketi_runtime.contracts.kubernetes_object import API_VERSION
from tiketi_runtime.contracts.ticket_event_status import AuditReport, Sales
from tiketi_runtime.errors import NotFound, TiketiError, Unavailable
from tiketi_runtime.kubernetes import Cluster
from tiketi_services.stats.domain import Figures
from tiketi_services.stats.usecases import Board

FIELD_MANAGER = "tiketi-stats"
Report = Callable[[EventId], AuditReport | None]
"""What the auditor says of an event; None: nothing yet."""
_POLL_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Write:
    """The last try to write an event; ``sales`` is None unless the object took it."""

    at: float
    uid: str
    sales: Sales | None


class StatusWriter:
    """Writes figures that changed, each event's at most once in ``interval``."""

    def __init__(self, cluster: Cluster, board: Board, interval: timedelta, report: Report = lambda _: None) -> None:
        self._cluster = cluster
        self._report = report
        self._board = board
        self._interval = interval.total_seconds()
        self._last: dict[EventId, _Write] = {}

    async def run(self) -> None:
        """Write until cancelled. What cannot be written now is written when the API server is back."""
        while True:
            try:
                await self.write_due(time.monotonic())
            except Unavailable as error:
                log.warning("status waits", extra={"error": error.detail})
            await asyncio.sleep(_POLL_SECONDS)

    async def write_due(self, now: float) -> None:
        """Write what is due. now: monotonic seconds. Raises Unavailable as soon as the API server is away."""
        figures = self._board.figures
        self._last = {event: write for event, write in self._last.items() if event in figures}
        for event, current in figures.items():
            if self._is_due(event, current, now):
                self._last[event] = _Write(now, current.uid, None)
                self._last[event] = _Write(now, current.uid, await self._write(event, current))

    def _is_due(self, event: EventId, figures: Figures, now: float) -> bool:
        last = self._last.get(event)
        if last is None:
            return True
        if now < last.at + self._interval:
            return False
        return (last.uid, last.sales) != (figures.uid, self._sales(event, figures))

    async def _write(self, event: EventId, figures: Figures) -> Sales | None:
        """Returns what the object now says; None if there is no such object, or it was refused."""
        sales = self._sales(event, figures)
        try:
            await self._cluster.apply_status(_manifest(event, sales, figures.at), FIELD_MANAGER)
        except NotFound:
            return None
        except Unavailable:
            raise
        except TiketiError as error:
            log.error("status refused", extra={"event": event, "error": error.detail})
            return None
        return sales

    def _sales(self, event: EventId, figures: Figures) -> Sales:
        return sales_of(figures).model_copy(update={"audit": self._report(event)})


def sales_of(figures: Figures) -> Sales:
    """The figures as ``status.sales`` has them, without the time they were taken."""
    return Sales(
        waiting=figures.waiting,
        active=figures.active,
        held=figures.held,
        sold=figures.totals.sold,
        remaining=figures.remaining,
        revenue=figures.totals.revenue,
        admitted_per_minute=figures.admitted_per_minute,
        p95_ms=figures.p95_ms,
    )


def _manifest(event: EventId, sales: Sales, taken_at: datetime) -> dict[str, object]:
    namespace, name = namespace_and_name(event)
    content = sales.model_copy(update={"updated_at": taken_at.replace(microsecond=0)})
    return {
        "apiVersion": API_VERSION,
        "kind": "TicketEvent",
        "metadata": {"namespace": namespace, "name": name},
        "status": {"sales": content.model_dump(mode="json", by_alias=True, exclude_none=True)},
    }
