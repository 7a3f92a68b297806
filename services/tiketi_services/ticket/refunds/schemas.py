"""Bodies of requests and answers: JSON in camelCase."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from tiketi_runtime.contracts.identity import EventId, OrderId
from tiketi_services.ticket.orders.schemas import MOST_SEATS, RefundView, Request, View
from tiketi_services.ticket.refunds.domain import Progress, Refused


def _all_different(ids: tuple[UUID, ...]) -> tuple[UUID, ...]:
    if len(set(ids)) < len(ids):
        raise ValueError("one is named twice")
    return ids


Ids = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_SEATS), AfterValidator(_all_different)]


class RefundRequest(Request):
    """Either ``tickets`` by their ids, or ``all`` that are left of the order."""

    tickets: Ids | None = None
    all: Literal[True] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.tickets is None) == (self.all is None):
            raise ValueError("give tickets, or all")
        return self

    def wanted(self) -> tuple[str, ...] | None:
        """Ids of the tickets; None for all."""
        return None if self.tickets is None else tuple(map(str, self.tickets))


class OrganiserRequest(Request):
    """Either ``orders`` that get all their money back, or ``cancelEvent``: everybody does."""

    orders: Ids | None = None
    cancel_event: Literal[True] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.orders is None) == (self.cancel_event is None):
            raise ValueError("give orders, or cancelEvent")
        return self


class RefusedView(View):
    """An order that was not refunded, and why."""

    order: OrderId
    code: str
    detail: str

    @classmethod
    def of(cls, refused: Refused) -> Self:
        """The view of a refusal."""
        return cls(order=refused.order, code=refused.error.code, detail=refused.error.detail)


class ProgressView(View):
    """How far the refunds of an event are. Amounts in minor units."""

    event: EventId
    cancelled_at: datetime | None = Field(description="When the organiser cancelled the event; null if not.")
    issued: int = Field(description="Tickets that still count.")
    used: int = Field(description="Tickets somebody was let in with; a cancelled event leaves them.")
    under_way: int
    done: int
    amount_under_way: int
    amount_done: int

    @classmethod
    def of(cls, event: EventId, progress: Progress) -> Self:
        """The view of the counts."""
        return cls(
            event=event,
            cancelled_at=progress.cancelled_at,
            issued=progress.issued,
            used=progress.used,
            under_way=progress.under_way,
            done=progress.done,
            amount_under_way=progress.amount_under_way,
            amount_done=progress.amount_done,
        )


class OrganiserView(View):
    """What became of the organiser's request."""

    refunds: tuple[RefundView, ...] = ()
    refused: tuple[RefusedView, ...] = ()
    progress: ProgressView
