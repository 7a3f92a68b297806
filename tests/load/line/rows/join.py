"""P1: what one join costs, and what it would cost at least."""

from __future__ import annotations

import asyncio
import resource
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from tests.integration.ticket.sales.a_sale import a_sale
from tests.load.joining import CONNECTIONS, idle_share, join_us, requests, verify_tokens
from tests.load.load import send_all
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Server, Stand, free_port, process_cpu, until_answers

_SLICES: Final = 5
_SLICE: Final = 800
_JOINS: Final = _SLICES * _SLICE
_CALLS: Final = 10_000
"""Of the script, in each slice."""
_FLOOR: Final = "the same answer by a bare ASGI application + the same script by redis-benchmark -P 16, both sides"
_LOAD: Final = (
    f"{_JOINS:,} buyers join for the first time, {CONNECTIONS} kept connections; CPU of ticket and Redis "
    "beyond what they use without buyers"
)

ROWS: Final = (
    Row(
        "P1",
        "join: CPU of ticket and Redis, access token verified before",
        unit="x floor",
        must=2.5,
        aim=1.5,
        floor=_FLOOR,
        floor_unit="us",
        load=_LOAD,
    ),
    Row(
        "P1-first",
        "join: the same, access token never seen before (Ed25519)",
        unit="x floor",
        floor=_FLOOR,
        floor_unit="us",
        load=_LOAD,
    ),
)
_SALE: Final = "crowd"


async def measure(stand: Stand) -> Rounds:
    """Each round measures the floor and the joins in slices, by turns: a machine that is busy meanwhile slows all."""
    sale = a_sale(_SALE, opens_in=timedelta(minutes=5))
    async with stand.ticket([sale]) as server:
        script, answer = await join_script(stand, server)
        async with _echo(stand, answer) as (echo, echo_pid):
            for number in range(stand.rounds):
                floor = seen = first = 0.0
                idle = await idle_share(stand, server)
                for part in range(_SLICES):
                    known, unknown = (_tokens(server, f"{number}-{part}-{kind}") for kind in ("known", "unknown"))
                    await verify_tokens(server, _SALE, known)
                    joins = requests(_SALE, "join", known)
                    floor += await echo_us(echo, echo_pid, joins) + await script_us(stand, script)
                    seen += await join_us(stand, server, joins, idle)
                    first += await join_us(stand, server, requests(_SALE, "join", unknown), idle)
                floor_us = floor / _SLICES
                yield {"P1": Sample(seen / floor, floor_us), "P1-first": Sample(first / floor, floor_us)}


@asynccontextmanager
async def _echo(stand: Stand, answer: bytes) -> AsyncIterator[tuple[str, int]]:
    """URL and process id of the bare application."""
    port, file = free_port(), stand.folder / "answer"
    file.write_bytes(answer)
    async with stand.python("-m", "tests.load.line.echo", str(port), str(file)) as pid:
        await until_answers(f"http://127.0.0.1:{port}", ["/"])
        yield f"http://127.0.0.1:{port}", pid


async def echo_us(url: str, pid: int, joins: Sequence[bytes]) -> float:
    """CPU (us) of the echo server for one of the joins."""
    before = process_cpu(pid)
    await send_all(url, joins, connections=CONNECTIONS, stays_awake=True)
    return (process_cpu(pid) - before) / len(joins) * 1e6


async def join_script(stand: Stand, server: Server) -> tuple[list[str], bytes]:
    """The command the service sends for a join, with a random buyer in place of its own; and what it answered."""
    async with stand.redis.monitor() as monitor:
        (reply,) = await send_all(server.url, requests(_SALE, "join", [server.token("witness")]), connections=1)
        assert reply.status == 200, reply
        async with asyncio.timeout(5):
            while True:
                words = (await monitor.next_command())["command"].split()
                if words[0].upper() == "EVALSHA" and "witness" in words:
                    script = ["__rand_int__" if word == "witness" else word for word in words]
                    return script, reply.head + b"\r\n\r\n" + reply.body


async def script_us(stand: Stand, script: Sequence[str]) -> float:
    """CPU (us) for one call of the script by redis-benchmark, pipelined: Redis' and the caller's."""
    program = shutil.which("redis-benchmark")
    assert program is not None, "redis-benchmark comes with Redis' package"
    site = stand.world.site
    login = ["--user", "ticket", "-a", site.secret("redis/ticket"), "-p", str(site.port("redis"))]
    words = [program, *login, "-c", "32", "-P", "16", "-n", str(_CALLS), "-r", "999999999", "-q", *script]
    before = await stand.redis_cpu() + _children_cpu()
    child = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await child.communicate()
    assert child.returncode == 0, told
    return (await stand.redis_cpu() + _children_cpu() - before) / _CALLS * 1e6


def _children_cpu() -> float:
    """CPU seconds of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tokens(server: Server, prefix: str) -> list[str]:
    return [server.token(f"{prefix}-{index}") for index in range(_SLICE)]
