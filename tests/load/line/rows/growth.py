"""P11: whether a join costs more when many wait already."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tests.integration.ticket.sales.a_sale import a_sale
from tests.load.joining import idle_share, join_us, requests, verify_tokens
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Server, Stand

from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys

_FEW, _MANY = "few", "many"
_WAITING: Final = {_FEW: 1_000, _MANY: 1_000_000}
_SLICES: Final = 10
_SLICE: Final = 400
_AT_ONCE: Final = 10_000
"""Buyers in one call of the script that fills a line: Redis is busy with it for 50 ms."""
_BYTES: Final = 2 * 2**30

ROWS: Final = (
    Row(
        "P11",
        "cost of a join with 1,000,000 waiting, as a part of that with 1,000",
        unit="x",
        must=1.3,
        aim=1.1,
        floor="join with 1,000 waiting",
        floor_unit="us",
        load="CPU of ticket and Redis beyond what they use without buyers; two events on one process and one Redis, "
        "by turns; tokens seen before",
    ),
)
_FILL: Final = """
for number = ARGV[1], ARGV[2] do
  local buyer = string.format('filler-%08d', number)
  redis.call('HSET', KEYS[1], buyer, number)
  redis.call('ZADD', KEYS[2], number, buyer)
  redis.call('ZADD', KEYS[3], ARGV[3], buyer)
  redis.call('SETBIT', KEYS[4], number, 1)
end
redis.call('SET', KEYS[5], ARGV[2])
redis.call('HSET', KEYS[6], 'seq', ARGV[2] * 2 + 1000000)
"""


async def measure(stand: Stand) -> Rounds:
    """Each round joins both events in slices, by turns, with the same buyers."""
    patient = {"ghostTimeout": timedelta(hours=1)}
    sales = [a_sale(name, opens_in=timedelta(minutes=14), queue=patient) for name in _WAITING]
    most = str((await stand.redis.config_get("maxmemory"))["maxmemory"])
    await stand.redis.config_set("maxmemory", _BYTES)
    try:
        async with stand.ticket(sales) as server:
            for name, waiting in _WAITING.items():
                await _fill(stand, name, waiting)
            for number in range(stand.rounds):
                few, many = await _round(stand, server, number)
                yield {"P11": Sample(many / few, few)}
    finally:
        await stand.redis.config_set("maxmemory", most)


async def _round(stand: Stand, server: Server, number: int) -> tuple[float, float]:
    """CPU (us) of a join with few and with many waiting."""
    few = many = 0.0
    idle = await idle_share(stand, server)
    for part in range(_SLICES):
        tokens = [server.token(f"{number}-{part}-{index}") for index in range(_SLICE)]
        await verify_tokens(server, _FEW, tokens)
        few += await join_us(stand, server, requests(_FEW, "join", tokens), idle) / _SLICES
        many += await join_us(stand, server, requests(_MANY, "join", tokens), idle) / _SLICES
    return few, many


async def _fill(stand: Stand, name: str, waiting: int) -> None:
    """As if so many had joined this moment."""
    keys = EventKeys(event_id("demo", name)).line(PUBLIC)
    now = int((await stand.redis.time())[0]) * 1000
    names = [keys.places, keys.waiting, keys.alive, keys.living, keys.seq, keys.limits]
    for first in range(1, waiting + 1, _AT_ONCE):
        await stand.redis.eval(_FILL, len(names), *names, first, min(waiting, first + _AT_ONCE - 1), now)
