"""P9: everybody comes in the same second."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final

from tests.integration.ticket.sales.a_sale import a_sale
from tests.load.joining import join_everywhere, read_joins, requests
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand

_BUYERS: Final = 10_000
_CONNECTIONS: Final = 256

ROWS: Final = (
    Row(
        "P9",
        "10,000 joins arriving in one second: p99 of the answer",
        unit="s",
        must=3.0,
        aim=1.0,
        load=f"wall clock; 2 ticket processes, {_CONNECTIONS} connections to each, tokens never seen before, "
        "with Redis and their load generator on the same cores; all answered 200, every number given once",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """Each round is another event. The time of an answer counts from the moment its buyer came."""
    chance = random.Random(9)
    for number in range(stand.rounds):
        name = f"rush-{number}"
        async with stand.ticket([a_sale(name, opens_in=timedelta(minutes=5))], processes=2) as server:
            joins = requests(name, "join", [server.token(f"{name}-{index}") for index in range(_BUYERS)])
            due = sorted(chance.random() for _ in range(_BUYERS))
            replies = await join_everywhere(server, joins, connections=_CONNECTIONS, due=due)
            seqs = sorted(joined.seq for joined in read_joins(replies))
            assert seqs == list(range(1, _BUYERS + 1)), "a number was lost or given twice"
            waited = sorted(reply.seconds for reply in replies)
            yield {"P9": Sample(waited[_BUYERS * 99 // 100])}
