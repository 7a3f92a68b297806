"""What stats answers."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import EventId
from tiketi_services.stats.domain import Figures, OrderState


class View(BaseModel):
    """JSON in camelCase."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Money(View):
    """What only those who run the event see."""

    revenue: int
    """Paid and not refunded, in minor units of ``currency``."""
    currency: str
    orders: dict[OrderState, int]
    refused_payments: int


class EventView(View):
    """One event in numbers, nobody's own."""

    event: EventId
    updated_at: datetime
    waiting: int
    active: int
    held: int
    sold: int
    remaining: int
    admitted_per_minute: int
    money: Money | None = None

    @classmethod
    def of(cls, event: EventId, figures: Figures, *, with_money: bool) -> Self:
        """The figures as this caller may see them."""
        return cls(
            event=event,
            updated_at=figures.at,
            waiting=figures.waiting,
            active=figures.active,
            held=figures.held,
            sold=figures.totals.sold,
            remaining=figures.remaining,
            admitted_per_minute=figures.admitted_per_minute,
            money=_money(figures) if with_money else None,
        )


def _money(figures: Figures) -> Money:
    totals = figures.totals
    return Money(
        revenue=totals.revenue,
        currency=figures.currency,
        orders=dict(totals.orders),
        refused_payments=totals.refusals,
    )
