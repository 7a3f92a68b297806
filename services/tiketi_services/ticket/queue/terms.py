"""A line's numbers as its scripts take them, compiled from the sale sheet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.sale_sheet import Admission, LineSheet, QueueingMethod, SaleSheet
from tiketi_services.ticket.queue.domain import to_ms

_CLOCK_SKEW: Final = timedelta(seconds=10)
"""A pod's clock may differ from Redis' by this much without harm."""
UNLIMITED: Final = 60_000_000
"""Slots, or users per minute, where the method knows no limit."""


@dataclass(frozen=True, slots=True)
class LineTerms:
    """What the organiser wants of one line. Instants and durations in milliseconds."""

    event: EventId
    line: Line
    lines: tuple[Line, ...]
    """All lines of the event: their offers share the slots."""
    joins_from: int
    draw_at: int
    """When the entries close and their order is drawn; 0: the order is that of joining."""
    opens: int
    closes: int
    per_minute: int
    slots: int
    stock: int
    """Places of the sections sold in this line."""
    sections: tuple[str, ...]
    session: int
    claim_window: int
    ghost_timeout: int
    is_paused: bool
    """Nobody is admitted: by the organiser's pause, or because the policy rejects everybody."""
    takes_new: bool


_LINES_KEPT: Final = 1024
_compiled: dict[tuple[EventId, Line], tuple[SaleSheet, LineTerms]] = {}
"""Terms of the sheets in force: compiling them on every join would cost as much as asking Redis."""


def terms_of(sale: SaleSheet, line: LineSheet) -> LineTerms:
    """The terms of one line of this very sheet."""
    known = _compiled.get((sale.event, line.name))
    if known is not None and known[0] is sale:
        return known[1]
    if len(_compiled) >= _LINES_KEPT:
        _compiled.clear()
    terms = _compile(sale, line)
    _compiled[sale.event, line.name] = (sale, terms)
    return terms


def _compile(sale: SaleSheet, line: LineSheet) -> LineTerms:
    sections = line.sections or tuple(section.name for section in sale.sections)
    is_limited = sale.queue.method is not QueueingMethod.PASSTHROUGH
    is_rejecting = sale.queue.method is QueueingMethod.REJECT
    return LineTerms(
        event=sale.event,
        line=line.name,
        lines=tuple(each.name for each in sale.lines),
        joins_from=to_ms(sale.lead_in_at(line)),
        draw_at=0 if line.draw_at is None else to_ms(line.draw_at),
        opens=to_ms(line.opens_at),
        closes=to_ms(line.closes_at),
        per_minute=sale.queue.new_users_per_minute if is_limited else UNLIMITED,
        slots=sale.queue.total_active_users if is_limited else UNLIMITED,
        stock=sum(section.size for section in sale.sections if section.name in sections),
        sections=sections,
        session=_duration_ms(sale.queue.session_duration),
        claim_window=_duration_ms(sale.queue.claim_window),
        ghost_timeout=_duration_ms(sale.queue.ghost_timeout),
        is_paused=sale.admission is Admission.PAUSED or is_rejecting,
        takes_new=sale.admission is not Admission.DRAIN and not is_rejecting,
    )


def may_serve(line: LineSheet, now: datetime) -> bool:
    """Whether slots may be offered in the line. A generous guess by a pod's clock: the scripts decide by Redis'."""
    return line.opens_at - _CLOCK_SKEW <= now < line.closes_at + _CLOCK_SKEW


def may_wait(sale: SaleSheet, line: LineSheet, now: datetime) -> bool:
    """Whether buyers may be in the line. A generous guess by a pod's clock."""
    return sale.lead_in_at(line) - _CLOCK_SKEW <= now < line.closes_at + _CLOCK_SKEW


def _duration_ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
