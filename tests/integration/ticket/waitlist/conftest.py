from __future__ import annotations

import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.orders.box_office import PRESALE, Stage, sale_sheet
from tests.integration.ticket.orders.conftest import pool, shared_pool
from tests.integration.ticket.orders.conftest import stage as empty_stage
from tests.integration.ticket.waitlist.waiting_room import SECTIONS, Room, room_of

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import PUBLIC
from tiketi_runtime.contracts.sale_sheet import LineSheet

__all__ = ["empty_stage", "pool", "shared_pool"]

PACKAGES = ("sales", "queue", "orders", "tickets", "refunds", "waitlist")


@pytest.fixture(scope="module")
async def database_url(database: MakeDatabase) -> str:
    url = await database("ticket")
    for package in PACKAGES:
        await postgres.migrate(url, f"tiketi_services.ticket.{package}")
    return url


@pytest.fixture
async def stage(empty_stage: Stage) -> Stage:
    """A house of six seats: four in a row, and two standing places. A presale sells the row as well."""
    sale = sale_sheet()
    opens, closes = sale.opens_at, sale.closes_at
    await empty_stage.change(
        sections=SECTIONS,
        lines=(
            LineSheet(name=PRESALE, opens_at=opens, closes_at=closes, sections=("A",)),
            LineSheet(name=PUBLIC, opens_at=opens, closes_at=closes, sections=("A", "ST")),
        ),
    )
    return empty_stage


@pytest.fixture
async def room(stage: Stage) -> Room:
    """The waitlist of that house. It is looked after."""
    room = room_of(stage)
    await room.sweep()
    return room
