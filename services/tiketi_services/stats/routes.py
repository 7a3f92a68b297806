"""GET /stats: the same numbers for everybody, and the money for those who run the event."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.security import Identity
from tiketi_runtime.web import bearer_identity
from tiketi_services.stats.schemas import EventView
from tiketi_services.stats.usecases import Board

ROLES_THAT_SEE_MONEY = ("organiser", "sre")

router = APIRouter(prefix="/stats", tags=["stats"])


async def _board(request: Request) -> Board:
    board: Board = request.app.state.board
    return board


async def _viewer(request: Request) -> Identity | None:
    """The caller, or None without a token. Raises InvalidToken for one that does not hold."""
    return await bearer_identity(request) if "authorization" in request.headers else None


@router.get("/events/{namespace}/{name}", response_model_exclude_none=True)
async def read_event(
    namespace: str,
    name: str,
    response: Response,
    board: Annotated[Board, Depends(_board)],
    viewer: Annotated[Identity | None, Depends(_viewer)],
) -> EventView:
    """One event in numbers; with an organiser's or SRE's token of its namespace also in money."""
    event = event_id(namespace, name)
    figures = board.of(event)
    sees_money = viewer is not None and any(viewer.has_role(role, namespace) for role in ROLES_THAT_SEE_MONEY)
    response.headers["cache-control"] = "public, max-age=1" if viewer is None else "private, no-store"
    response.headers["vary"] = "authorization"
    return EventView.of(event, figures, with_money=sees_money)
