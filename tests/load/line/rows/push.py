"""P2: what one state to one client costs, beside python-socketio's own way."""

from __future__ import annotations

import time
from typing import Final

import aiohttp
from tests.load.line.crowds import Crowd, a_crowd
from tests.load.line.pushers import PATH
from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand, free_port, process_cpu, until_answers

_CLIENTS: Final = 2_000
_PUSHES: Final = 10

ROWS: Final = (
    Row(
        "P2",
        "push of one state to one client: CPU beside python-socketio's emit",
        unit="x stock",
        must=1 / 2.5,
        aim=1 / 4,
        floor="sio.emit of python-socketio on the same uvicorn",
        floor_unit="us",
        load=f"{_CLIENTS:,} clients, {_PUSHES} pushes of 700 bytes, groups of 64 told words of their own",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """Each round pushes by both servers, in turn."""
    ports = {kind: free_port() for kind in ("stock", "direct")}
    urls = {kind: f"http://127.0.0.1:{port}" for kind, port in ports.items()}
    async with (
        stand.python("-m", "tests.load.line.pushers", "stock", str(ports["stock"])) as stock,
        stand.python("-m", "tests.load.line.pushers", "direct", str(ports["direct"])) as direct,
        a_crowd(stand.folder, urls["stock"], PATH, [{}] * _CLIENTS, processes=1) as at_stock,
    ):
        for url in urls.values():
            await until_answers(url, ["/"])
        assert await at_stock.open() == _CLIENTS
        async with a_crowd(stand.folder, urls["direct"], PATH, [{}] * _CLIENTS, processes=1) as at_direct:
            assert await at_direct.open() == _CLIENTS
            for _ in range(stand.rounds):
                peer = await push_us(urls["stock"], stock, at_stock)
                ours = await push_us(urls["direct"], direct, at_direct)
                yield {"P2": Sample(ours / peer, peer)}


async def push_us(url: str, pid: int, crowd: Crowd) -> float:
    """CPU (us) of the server for one state that one client has received. Raises AssertionError if one is missing."""
    await crowd.messages()
    before = process_cpu(pid)
    async with aiohttp.ClientSession() as http:
        for _ in range(_PUSHES):
            await http.get(f"{url}/push")
    end, received = time.monotonic() + 10, 0
    while received < _CLIENTS * _PUSHES and time.monotonic() < end:
        received += await crowd.messages()
    spent = process_cpu(pid) - before
    assert received == _CLIENTS * _PUSHES, received
    return spent / received * 1e6
