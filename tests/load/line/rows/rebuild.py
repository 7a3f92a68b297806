"""P12: Redis loses everything while ten thousand wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
from tests.integration.ticket.sales.a_sale import a_sale
from tests.load.joining import Joined, join_everywhere, read_joins, requests
from tests.load.load import Reply
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Server, Stand

_BUYERS: Final = 10_000
_CONNECTIONS: Final = 128
_PAUSE: Final = 0.25
"""Seconds after which a page asks again that was told to."""
_PATIENCE: Final = 60

ROWS: Final = (
    Row(
        "P12",
        "rebuild after FLUSHALL with 10,000 waiting: until the last of them has its place again",
        unit="s",
        must=10.0,
        aim=2.0,
        load="wall clock; 2 ticket processes; everybody presents the receipt at once, and again 0.25 s after a 503; "
        "every place checked to be the old one",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """Each round loses another event."""
    for number in range(stand.rounds):
        name = f"lost-{number}"
        sale = a_sale(name, opens_in=timedelta(minutes=10), queue={"ghostTimeout": timedelta(minutes=5)})
        async with stand.ticket([sale], processes=2) as server:
            tokens = [server.token(f"{name}-{index}") for index in range(_BUYERS)]
            joins = requests(name, "join", tokens)
            before = read_joins(await join_everywhere(server, joins, connections=_CONNECTIONS))
            await stand.redis.flushall()
            began = time.monotonic()
            after = await _present(server, name, tokens, before)
            took = time.monotonic() - began
            assert [joined.seq for joined in after] == [joined.seq for joined in before], "a place was lost"
            yield {"P12": Sample(took)}


async def _present(server: Server, name: str, tokens: Sequence[str], places: Sequence[Joined]) -> list[Joined]:
    """Present every receipt until it is taken. Raises TimeoutError when that takes a minute."""
    bodies = [msgspec.json.encode({"receipt": place.receipt}) for place in places]
    presented = requests(name, "join", tokens, bodies)
    answers: dict[int, Reply] = {}
    async with asyncio.timeout(_PATIENCE):
        while left := [index for index in range(len(presented)) if index not in answers]:
            replies = await _send_even(server, [presented[index] for index in left])
            answers |= {index: reply for index, reply in zip(left, replies, strict=True) if reply.status != 503}
            if len(answers) < len(presented):
                await asyncio.sleep(_PAUSE)
    return read_joins([answers[index] for index in range(len(presented))])


async def _send_even(server: Server, joins: list[bytes]) -> list[Reply]:
    """``join_everywhere`` for any number of requests."""
    short = -len(joins) % len(server.urls)
    return (await join_everywhere(server, joins + joins[:1] * short, connections=_CONNECTIONS))[: len(joins)]
