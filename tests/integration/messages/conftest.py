from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.messages.circuit import QUEUES, Circuit
from tests.integration.ticket.orders.box_office import EVENT, Stage
from tests.integration.ticket.orders.conftest import database_url, pool, shared_pool, stage

from tiketi_runtime import postgres
from tiketi_runtime.contracts.seating import Section

__all__ = ["database_url", "pool", "shared_pool", "stage"]

ROOM = 2000


async def forget_messages(amqp_url: str) -> None:
    """What came twice in a test may be in the queues when it ends, and would be news to the databases of the next."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        for queue in QUEUES:
            await channel.queue_delete(queue)


@pytest.fixture
async def circuit(stage: Stage, database: MakeDatabase, amqp_url: str) -> AsyncIterator[Circuit]:
    """A sale with room for all, nothing sold, no message sent."""
    await forget_messages(amqp_url)
    sheet = await stage.office.sales.sheet(EVENT)
    sections = [section for section in sheet.sections if section.name != "ST"]
    await stage.change(sections=(*sections, Section(name="ST", price=70_000, capacity=ROOM)))
    urls = {name: await database(name) for name in ("payment", "stats")}
    for name, url in urls.items():
        await postgres.migrate(url, f"tiketi_services.{name}")
    async with await postgres.connect(urls["payment"]) as payment, await postgres.connect(urls["stats"]) as stats:
        yield Circuit(stage, payment, stats, amqp_url)
