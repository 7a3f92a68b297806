"""N1 through Envoy: as many clients as one Envoy process has files for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from statistics import quantiles
from typing import Final

from tests.integration.ticket.sales.a_sale import a_sale
from tests.load.line.crowds import a_crowd
from tests.load.line.door import a_door
from tests.load.line.rows.waiting import join_all, joining
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand

_CLIENTS: Final = 9_900
"""Two connections each: a process may open 20,000 files here."""
_SECONDS: Final = 8
_SALE: Final = "waiting"

ROWS: Final = (
    Row(
        "N1-envoy",
        "age of the position a waiting client knows, p99, through Envoy",
        unit="s",
        load=f"{_CLIENTS:,} clients reached; one Envoy, one ticket process, Redis and the clients on the same cores",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """All join once; each round connects everybody anew."""
    sale = a_sale(_SALE, opens_in=timedelta(minutes=14), queue={"ghostTimeout": timedelta(hours=1)})
    async with stand.ticket([sale]) as server, a_door(stand.folder, server.url) as door:
        credentials = await join_all(server, [f"waiting-{number}" for number in range(_CLIENTS)])
        for number in range(stand.rounds):
            async with a_crowd(stand.folder, door, f"/events/demo/{_SALE}/live/", credentials) as crowd:
                connected = await crowd.open()
                assert connected == _CLIENTS, f"{connected} of {_CLIENTS} clients are connected"
                async with joining(server, f"late-{number}"):
                    await asyncio.sleep(2)
                    ages, present = await crowd.ages(_SECONDS)
                assert present == _CLIENTS, f"{_CLIENTS - present} clients were lost"
            yield {"N1-envoy": Sample(quantiles(ages, n=100)[98])}
