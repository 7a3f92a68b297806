"""Where a sale stands, by the clock: one pure function, asked by operator and services alike.

What it answers reports; it never decides. Admission is decided by the event's Redis scripts, seats by PostgreSQL.
"""

from __future__ import annotations

from datetime import datetime

from tiketi_runtime.contracts.sale_sheet import Admission, Phase, SaleContent


def phase_at(sale: SaleContent, now: datetime, *, sold: int = 0) -> Phase:
    """The phase at ``now`` when ``sold`` places are sold."""
    if now >= sale.closes_at:
        return Phase.CLOSED
    if sold >= sale.capacity:
        return Phase.SOLD_OUT
    if any(line.is_open(now) for line in sale.lines):
        if sale.admission is Admission.PAUSED:
            return Phase.PAUSED
        return Phase.ON_SALE if now >= sale.opens_at else Phase.PRESALE
    if sale.prequeue_at is not None and now >= sale.prequeue_at:
        return Phase.PREQUEUE
    return Phase.ARMED if now >= sale.arm_at else Phase.SCHEDULED


def boundaries(sale: SaleContent) -> list[datetime]:
    """Every instant at which the phase may change by time alone, in order."""
    lines = (instant for line in sale.lines for instant in (line.opens_at, line.closes_at))
    prequeue = () if sale.prequeue_at is None else (sale.prequeue_at,)
    return sorted({sale.arm_at, *prequeue, *lines, sale.opens_at, sale.closes_at})
