"""Instants: when an event is armed, when it sleeps again, and when it must next be looked at. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from tiketi_runtime.contracts.identity import PUBLIC
from tiketi_runtime.contracts.phase import boundaries
from tiketi_runtime.contracts.sale_sheet import LineSheet, Phase, SaleContent
from tiketi_runtime.contracts.ticket_event import Lane, Presale
from tiketi_runtime.contracts.ticket_event import Sale as SaleWish
from tiketi_runtime.contracts.ticket_event_status import PresaleTimes, Timeline

GUARDED_PHASES = frozenset({Phase.ARMED, Phase.PREQUEUE, Phase.PRESALE, Phase.ON_SALE, Phase.PAUSED})
"""Phases in which deleting the event would hurt buyers."""


_ON_SALE = frozenset({Phase.PRESALE, Phase.ON_SALE, Phase.PAUSED, Phase.SOLD_OUT})
_WAITING = frozenset({None, Phase.SCHEDULED, Phase.ARMED, Phase.PREQUEUE, Phase.DELAYED})
"""Phases, as shown before, of a sale that had not begun. Once it has, no fault takes it back."""


def shown_phase(by_clock: Phase, before: Phase | None, *, is_served: bool, has_buyers: bool) -> Phase:
    """The phase to show: on sale only once buyers can come in, or did.

    ``by_clock``: as ``phase_at`` says; ``before``: what was shown last; ``is_served``: whether services and front door
    have the sale now; ``has_buyers``: whether somebody was admitted, holds or has bought.
    """
    may_be_late = by_clock in _ON_SALE - {Phase.SOLD_OUT} and before in _WAITING
    return Phase.DELAYED if may_be_late and not is_served and not has_buyers else by_clock


def phase_without_sale(wish: SaleWish, before: Phase | None, now: datetime) -> Phase:
    """The phase of an event that cannot be compiled and of which no sheet can be read: by what is asked for."""
    if now >= wish.closes_at:
        return Phase.CLOSED
    if before not in _WAITING:
        return before or Phase.SCHEDULED
    if now >= min([wish.opens_at, *(presale.opens_at for presale in wish.presales)]):
        return Phase.DELAYED
    return Phase.SCHEDULED if before in (None, Phase.DELAYED) else before


class Stage(StrEnum):
    """What the event needs of the platform; the phase is for people."""

    ASLEEP = "Asleep"
    """No pod of its own."""
    ARMED = "Armed"
    """Everything at its peak; nothing is made smaller, no image changes."""
    WINDING_DOWN = "WindingDown"
    """Closed, but somebody may still be paying."""


def stage_at(sale: SaleContent, now: datetime) -> Stage:
    """The stage at ``now``."""
    if sale.arm_at <= now < sale.closes_at:
        return Stage.ARMED
    return Stage.WINDING_DOWN if sale.closes_at <= now < asleep_at(sale) else Stage.ASLEEP


def asleep_at(sale: SaleContent) -> datetime:
    """When the last session and the last hold that began in time have ended, and an order had time to be paid."""
    return sale.closes_at + sale.queue.session_duration + sale.hold_duration


def instants(sale: SaleContent) -> list[datetime]:
    """Every instant at which phase, stage or a draw may change by time alone, in order."""
    draws = (line.draw_at for line in sale.lines if line.draw_at is not None)
    return sorted({*boundaries(sale), *draws, asleep_at(sale)})


def next_instant(sale: SaleContent, now: datetime) -> datetime | None:
    """The first instant after ``now``; None when nothing changes by time any more."""
    return next((instant for instant in instants(sale) if instant > now), None)


def timeline_of(sale: SaleContent) -> Timeline:
    """The instants as the status shows them, in UTC. Only a lane of its own ever sleeps."""
    return Timeline(
        arm_at=sale.arm_at.astimezone(UTC),
        prequeue_at=None if sale.prequeue_at is None else sale.prequeue_at.astimezone(UTC),
        presales=presale_times([line for line in sale.lines if line.name != PUBLIC]),
        opens_at=sale.opens_at.astimezone(UTC),
        closes_at=sale.closes_at.astimezone(UTC),
        asleep_at=asleep_at(sale).astimezone(UTC) if sale.lane == Lane.DEDICATED else None,
    )


def presale_times(presales: Sequence[LineSheet | Presale]) -> tuple[PresaleTimes, ...] | None:
    """When each presale is open, in UTC; None if there is none."""
    return (
        tuple(
            PresaleTimes(
                name=presale.name,
                opens_at=presale.opens_at.astimezone(UTC),
                closes_at=presale.closes_at.astimezone(UTC),
            )
            for presale in presales
        )
        or None
    )
