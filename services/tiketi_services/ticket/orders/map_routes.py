"""HTTP of the seat map. Anybody may look."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.refusals import refuses
from tiketi_services.ticket.orders.public_maps import PublicMaps
from tiketi_services.ticket.orders.seat_format import MEDIA_TYPE, SeatMap
from tiketi_services.ticket.sales.conditional import cacheable
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.sales.routes import sale_of

_GREATEST: Final = 2**53 - 1

router = APIRouter(tags=["seat map"])


class SectionLayout(BaseModel):
    """A section as it can be drawn: rows of seats, or a number of standing places."""

    name: str
    price: int
    """Minor units of the map's currency."""
    rows: int | None = None
    seatsPerRow: int | None = None  # noqa: N815
    capacity: int | None = None


class SeatMapView(BaseModel):
    """States of all seats: one character a seat (0 free, 1 held, 2 sold) by section, row by row, seat by seat."""

    event: str
    version: int
    currency: str
    layout: list[SectionLayout]
    sections: dict[str, str]


async def _current(
    request: Request,
    sale: Annotated[SaleSheet, Depends(sale_of)],
    version: Annotated[
        int, Query(ge=0, le=_GREATEST, description="A version the client has heard of: no older one is answered.")
    ] = 0,
) -> SeatMap:
    maps: PublicMaps = request.app.state.public_maps
    return await maps.current(sale, at_least=version)


Current = Annotated[SeatMap, Depends(_current)]
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "If-None-Match named this very map."},
    **refuses(UnknownEvent),
}
_BINARY: Final[dict[int | str, dict[str, Any]]] = {
    **_UNCHANGED,
    200: {
        "description": "The map as docs/seat-map.md describes it.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
}


@router.get("/events/{namespace}/{name}/seat-map", response_class=Response, responses=_BINARY)
async def show_seat_map(seat_map: Current, request: Request) -> Response:
    """Layout and state of all seats, two bits a seat; at most a second old."""
    return cacheable(request, seat_map.document, seat_map.tag, media_type=MEDIA_TYPE)


@router.get("/events/{namespace}/{name}/seats", response_model=SeatMapView, responses=_UNCHANGED)
async def show_seats(seat_map: Current, request: Request) -> Response:
    """The same as JSON, for simple clients."""
    return cacheable(request, seat_map.plain, seat_map.tag)
