"""``OpenDoor``: while Redis cannot decide, a passthrough sale lets buyers in past the line.

Such a sale has no limit of slots or rate that Redis would have to guard. What bounds it is the front door, and the
seats themselves. Every other sale is closed until its line is back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.sale_sheet import LineSheet, QueueingMethod, SaleSheet
from tiketi_runtime.outages import is_outage
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import (
    Admission,
    AlreadyAdmitted,
    Place,
    QueueClosed,
    Recovering,
    SaleClosed,
    Standing,
    Turn,
    to_ms,
)
from tiketi_services.ticket.queue.repository import PACKAGE, not_open
from tiketi_services.ticket.queue.terms import terms_of
from tiketi_services.ticket.sales.sales import Sales

_NO_PLACE: Final = Seq(0)
"""Number and place of those who need none. A line that is back gives them one when they join again."""
_NO_EPOCH: Final = 0


def utc_now() -> datetime:
    """This process' clock: Redis' cannot be asked. PostgreSQL judges each hold by its own."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The session that a place was spent for."""

    session: str
    ends_at: datetime
    is_live: bool


class OpenDoor:
    """Decides for passthrough sales in Redis' stead: one session per account and line, as ever."""

    def __init__(self, pool: Pool, sales: Sales, clock: Callable[[], datetime] = utc_now) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)
        self._sales = sales
        self._clock = clock

    def leads_past(self, event: EventId, trouble: BaseException) -> bool:
        """Whether buyers of the event come in although the line answered with this error."""
        return self.is_of(event) and (isinstance(trouble, Recovering) or is_outage(trouble))

    def is_of(self, event: EventId) -> bool:
        """Whether the event's sale is one that fails open."""
        sale = self._sales.all().get(event)
        return sale is not None and sale.queue.method is QueueingMethod.PASSTHROUGH

    def place(self, sale: SaleSheet, line: LineSheet) -> Place:
        """What joining answers: nothing to wait for. Raises QueueNotOpen, SaleClosed, QueueClosed."""
        terms, now = terms_of(sale, line), self._clock()
        if to_ms(now) < terms.joins_from:
            raise not_open(terms, to_ms(now))
        if now >= line.closes_at:
            raise SaleClosed("The sale of this line is over.")
        if not terms.takes_new:
            raise QueueClosed("The organiser lets nobody new join.")
        is_open = now >= line.opens_at and not terms.is_paused
        return Place(_NO_PLACE, _NO_PLACE, _NO_EPOCH, Standing.OFFERED if is_open else Standing.WAITING, now)

    async def admit(self, sale: SaleSheet, line: LineSheet, buyer: BuyerId) -> Turn:
        """Admit the buyer, to the same session every time. Raises SaleClosed; AlreadyAdmitted when that is over."""
        now = self._clock()
        if now >= line.closes_at:
            raise SaleClosed("The sale of this line is over.")
        if now < line.opens_at or terms_of(sale, line).is_paused:
            return Turn(Standing.WAITING, _NO_EPOCH, now)
        length = sale.queue.session_duration
        done = await self._pool.execute(
            self._sql["admit_past_line"], sale.event, line.name, buyer, str(uuid4()), length
        )
        if done == "INSERT 0 1":
            metrics.ADMITTED_PAST_LINE.labels(sale.event, line.name).inc()
        return await self.session_of(sale.event, line.name, buyer)

    async def session_of(self, event: EventId, line: Line, buyer: BuyerId) -> Turn:
        """The session that the buyer has already. Raises AlreadyAdmitted if it is over, or there is none."""
        kept = await self._kept(event, line, buyer)
        if kept is None or not kept.is_live:
            raise AlreadyAdmitted("Your place was used: your shopping session is over.")
        return Turn(Standing.ADMITTED, _NO_EPOCH, self._clock(), kept.session, kept.ends_at)

    async def is_live(self, admission: Admission) -> bool | None:
        """Whether a session goes on; None if the buyer never had it."""
        kept = await self._kept(admission.event, admission.line, admission.buyer)
        return None if kept is None or kept.session != admission.session else kept.is_live

    async def _kept(self, event: EventId, line: Line, buyer: BuyerId) -> _Kept | None:
        row = await self._pool.fetchrow(self._sql["session_of_buyer"], event, line, buyer)
        return None if row is None else _Kept(**dict(row))
