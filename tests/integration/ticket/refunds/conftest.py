from __future__ import annotations

from datetime import timedelta

import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.orders.box_office import Stage
from tests.integration.ticket.orders.conftest import PACKAGES, pool, shared_pool, stage

from tiketi_runtime import postgres
from tiketi_services.ticket.orders.repository import SeatPaint
from tiketi_services.ticket.refunds.domain import ReturnDelay
from tiketi_services.ticket.refunds.repository import RefundBook
from tiketi_services.ticket.refunds.usecases import RefundDesk

__all__ = ["pool", "shared_pool", "stage"]


@pytest.fixture(scope="module")
async def database_url(database: MakeDatabase) -> str:
    url = await database("ticket")
    for package in (*PACKAGES, "tiketi_services.ticket.tickets", "tiketi_services.ticket.refunds"):
        await postgres.migrate(url, package)
    return url


@pytest.fixture
async def desk(stage: Stage) -> RefundDesk:
    """Refunds of the stage's tickets; their seats stay away for a minute to two. No broker is there."""
    delay = ReturnDelay(timedelta(minutes=1), timedelta(minutes=2))
    return RefundDesk(RefundBook(stage.pool), SeatPaint(stage.redis), delay)
