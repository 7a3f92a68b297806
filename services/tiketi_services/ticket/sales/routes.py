"""The catalogue over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.refusals import refuses
from tiketi_services.ticket.sales.conditional import cacheable, tag_of
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.sales.sales import Sales
from tiketi_services.ticket.sales.schemas import (
    Catalogue,
    EventSummary,
    EventView,
    TimedCatalogue,
    TimedEvent,
)

router = APIRouter(tags=["catalogue"])


async def sales_of(request: Request) -> Sales:
    """FastAPI dependency: the sales this process serves."""
    sales: Sales = request.app.state.sales
    return sales


async def sale_of(namespace: str, name: str, sales: Annotated[Sales, Depends(sales_of)]) -> SaleSheet:
    """FastAPI dependency: the sale the path names. Raises UnknownEvent."""
    return await sales.sheet(event_id(namespace, name))


async def known_event(namespace: str, name: str, sales: Annotated[Sales, Depends(sales_of)]) -> EventId:
    """FastAPI dependency: the event the path names, which may have been deleted since. Raises UnknownEvent."""
    event = event_id(namespace, name)
    await sales.require_known(event)
    return event


KnownEvent = Annotated[EventId, Depends(known_event)]
AllSales = Annotated[Sales, Depends(sales_of)]
OpenSale = Annotated[SaleSheet, Depends(sale_of)]
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "If-None-Match named this very answer."}}


@router.get("/events", response_model=TimedCatalogue, responses=_UNCHANGED)
async def list_events(request: Request, sales: AllSales) -> Response:
    """Every event, by opening time."""
    now = datetime.now(UTC)
    sheets = sorted(sales.all().values(), key=lambda sale: (sale.opens_at, sale.event))
    return _answer(
        request, Catalogue(events=tuple(EventSummary.of(sale, now, sales.sold(sale.event)) for sale in sheets)), now
    )


@router.get("/events/{namespace}/{name}", response_model=TimedEvent, responses={**_UNCHANGED, **refuses(UnknownEvent)})
async def show_event(request: Request, sale: OpenSale, sales: AllSales) -> Response:
    """One event: times, sections, prices, lines."""
    now = datetime.now(UTC)
    return _answer(request, EventView.of(sale, now, sales.sold(sale.event)), now)


def _answer(request: Request, view: Catalogue | EventView, now: datetime) -> Response:
    content = view.model_dump(mode="json", by_alias=True)
    timed = TimedCatalogue if isinstance(view, Catalogue) else TimedEvent
    body = timed(**dict(view), server_time=now).model_dump_json(by_alias=True).encode()
    return cacheable(request, body, tag_of(content))
