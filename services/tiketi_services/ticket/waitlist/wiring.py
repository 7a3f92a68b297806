"""How the waitlist is put together and kept running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tiketi_runtime.background import every, running
from tiketi_runtime.postgres import Pool
from tiketi_services.ticket.orders.house import Plans
from tiketi_services.ticket.orders.usecases import BoxOffice
from tiketi_services.ticket.settings import TicketSettings
from tiketi_services.ticket.waitlist.repository import PACKAGE, Waitlists
from tiketi_services.ticket.waitlist.sweeper import Sweeper
from tiketi_services.ticket.waitlist.usecases import WaitingRoom

__all__ = ["PACKAGE", "open_waitlist"]


@asynccontextmanager
async def open_waitlist(
    app: FastAPI, settings: TicketSettings, pool: Pool, office: BoxOffice
) -> AsyncIterator[Sweeper]:
    """Serve waitlists from ``app.state.waiting_room`` and, in the shared service, make offers.

    Gives who has the first choice of returned seats.
    """
    room = app.state.waiting_room = WaitingRoom(
        office=office,
        lists=Waitlists(pool),
        plans=Plans(),
        window=settings.waitlist_window,
        gathering=settings.waitlist_gathering,
    )
    sweeper = Sweeper(room)
    if settings.event is not None:
        yield sweeper
        return
    async with running(every(settings.waitlist_interval, "serving waitlists", sweeper.sweep)):
        yield sweeper
