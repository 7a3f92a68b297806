from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.tickets.gates import PACKAGES, Gates, open_gates

from tiketi_runtime import postgres


@pytest.fixture(scope="module")
async def served(database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gates]:
    url = await database("ticket")
    for package in PACKAGES:
        await postgres.migrate(url, package)
    async with open_gates(url, tmp_path_factory.mktemp("keys")) as gates:
        yield gates


@pytest.fixture
async def gates(served: Gates) -> AsyncIterator[Gates]:
    """Gates, and nobody has a ticket."""
    yield served
    await served.pool.execute("TRUNCATE holds, orders, order_owners, tickets, scans CASCADE")
