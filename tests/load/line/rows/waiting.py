"""P3, N1, B4: ten thousand buyers who wait, each with a live connection to the ticket process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from statistics import quantiles
from typing import Final

from tests.integration.ticket.sales.a_sale import a_sale
from tests.load.line.crowds import Crowd, a_crowd
from tests.load.load import request_bytes, send_all
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Server, Stand

_CLIENTS: Final = 10_000
_SECONDS: Final = 8
_JOINS_PER_SECOND: Final = 20
_POLLS: Final = 10_000
_POLL_SECONDS: Final = 0.375
"""A live connection's position is 0.75 s old at most, and what it takes to tell all. A poller's is as old as the answer
it got, and the time since: at most 0.75 s if both are half of that."""
_CONNECTIONS: Final = 64
_SALE: Final = "waiting"
_LINE: Final = f"/events/demo/{_SALE}/queue/public"
_LOAD: Final = (
    f"{_CLIENTS:,} connected buyers, one ticket process, all states different from the last "
    f"({_JOINS_PER_SECOND} joins/s); Redis and {_CLIENTS:,} clients on the same cores; no Envoy between"
)

ROWS: Final = (
    Row(
        "P3",
        "resident memory per waiting client (ticket process, all of it)",
        unit="KiB",
        must=36,
        aim=24,
        floor="of these, what each client adds",
        floor_unit="KiB",
        load=_LOAD,
    ),
    Row(
        "N1", "age of the position a waiting client knows, p99", unit="s", must=1.5, aim=1, load=f"{_LOAD}; wall clock"
    ),
    Row(
        "B4",
        "server CPU of live push beside polling clients that see no fresher positions",
        unit="x polling",
        must=1 / 2,
        aim=1 / 10,
        floor=f"GET state every {_POLL_SECONDS} s, answers cached as long, no heartbeats",
        floor_unit="us per client and second",
        load=f"{_LOAD}; CPU of ticket and Redis, pings and heartbeats included",
    ),
)


@dataclass(frozen=True, slots=True)
class Watched:
    """What one spell of waiting showed."""

    p99: float
    """s"""
    us_per_client_second: float


async def measure(stand: Stand) -> Rounds:
    """All join once; each round connects everybody anew."""
    sale = a_sale(_SALE, opens_in=timedelta(minutes=14), queue={"ghostTimeout": timedelta(hours=1)})
    async with stand.ticket([sale]) as server:
        credentials = await join_all(server, [f"waiting-{number}" for number in range(_CLIENTS)])
        empty = server.memory()
        for number in range(stand.rounds):
            async with a_crowd(stand.folder, server.url, f"/events/demo/{_SALE}/live/", credentials) as crowd:
                connected = await crowd.open()
                assert connected == _CLIENTS, f"{connected} of {_CLIENTS} clients are connected"
                async with joining(server, f"late-{number}"):
                    await asyncio.sleep(2)  # the rush of connecting is over
                    watched = await watch(stand, server, crowd)
                    full = server.memory()
            polling = await poll_us(stand, server) / _POLL_SECONDS
            yield {
                "P3": Sample(full / _CLIENTS / 1024, (full - empty) / _CLIENTS / 1024),
                "N1": Sample(watched.p99),
                "B4": Sample(watched.us_per_client_second / polling, polling),
            }


async def watch(stand: Stand, server: Server, crowd: Crowd) -> Watched:
    """Look on for a while. Raises AssertionError if a client was lost."""
    before, began = server.cpu() + await stand.redis_cpu(), time.perf_counter()
    ages, present = await crowd.ages(_SECONDS)
    spent, seconds = server.cpu() + await stand.redis_cpu() - before, time.perf_counter() - began
    assert present == _CLIENTS, f"{_CLIENTS - present} clients were lost"
    return Watched(quantiles(ages, n=100)[98], spent / seconds / _CLIENTS * 1e6)


async def poll_us(stand: Stand, server: Server) -> float:
    """CPU (us) of ticket and Redis for one poll of a group's state."""
    polls = [request_bytes("GET", f"{_LINE}/state?group={number % 157}") for number in range(_POLLS)]
    before = server.cpu() + await stand.redis_cpu()
    replies = await send_all(server.url, polls, connections=_CONNECTIONS)
    spent = server.cpu() + await stand.redis_cpu() - before
    assert all(reply.status == 200 for reply in replies)
    return spent / _POLLS * 1e6


async def join_all(server: Server, buyers: Sequence[str]) -> list[dict[str, str]]:
    """Let them join; what their clients then connect with. Raises AssertionError if one is refused."""
    tokens = [server.token(buyer) for buyer in buyers]
    requests = [request_bytes("POST", f"{_LINE}/join", token) for token in tokens]
    replies = await send_all(server.url, requests, connections=_CONNECTIONS)
    refused = [reply for reply in replies if reply.status != 200]
    assert not refused, refused[0]
    receipts = [json.loads(reply.body)["receipt"] for reply in replies]
    return [
        {"line": "public", "token": token, "receipt": receipt} for token, receipt in zip(tokens, receipts, strict=True)
    ]


@asynccontextmanager
async def joining(server: Server, prefix: str) -> AsyncIterator[None]:
    """Meanwhile others join, so that there is something new in every second."""

    over = asyncio.Event()

    async def go_on() -> None:
        number = 0
        while not over.is_set():
            await join_all(server, [f"{prefix}-{number}-{index}" for index in range(_JOINS_PER_SECOND // 4)])
            number += 1
            await asyncio.sleep(0.25)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        over.set()
        await task
