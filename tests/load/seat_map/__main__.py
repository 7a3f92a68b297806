"""``python -m tests.load.seat_map [--seconds 20]``: bytes of the map, CPU of a reading and of a push, age at the page.

60,000 seats, two ticket processes: 2,000 pages of shopping buyers listen to one, other buyers hold and release through
the other. The CPU of a push is that of the first process with everybody listening, less the same without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from tests.integration.ticket.sales.a_sale import a_sale
from tests.load.joining import read_joins, requests
from tests.load.load import send_all
from tests.load.stand import ROOT, Server, Stand, open_stand, process_cpu

from tiketi_local.world import World
from tiketi_runtime import postgres
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.orders.map_store import MapStore
from tiketi_services.ticket.orders.public_maps import PublicMaps
from tiketi_services.ticket.orders.repository import OrderBook

NAME: Final = "hall"
SECTIONS: Final = 30
PAGES: Final = 2_000
TRADERS: Final = 40
_PACKAGES: Final = tuple(f"tiketi_services.ticket.{name}" for name in ("sales", "queue", "orders"))
_ONE_BY_ONE: Final = 64


def a_hall() -> SaleSheet:
    """60,000 seats in 30 sections."""
    sections: list[dict[str, Any]] = [
        {"name": f"S{number:02d}", "price": 150_000, "rows": 50, "seatsPerRow": 40} for number in range(SECTIONS)
    ]
    sale = a_sale(NAME, queue={"totalActiveUsers": 5_000, "newUsersPerMinute": 100_000}, sections=sections)
    return sale.model_copy(
        update={
            "lines": tuple(
                line.model_copy(update={"sections": tuple(section["name"] for section in sections)})
                for line in sale.lines
            )
        }
    )


async def reading(stand: Stand, sale: SaleSheet) -> None:
    """A process that reads a house for all, empty and full; and one that sees what another has read."""
    url = await stand.database("ticket")
    for package in _PACKAGES:
        await postgres.migrate(url, package)
    async with await postgres.connect(url, 2) as pool:
        seats = [seat for section in sale.sections for seat in section.seats()]
        for share in (0, 50, 100):
            await pool.execute("TRUNCATE seats")
            await pool.execute(
                "INSERT INTO seats (event, seat, state, buyer, hold, fence, until)"
                " SELECT $1, seat, 'HELD', 'b', gen_random_uuid(), 1, now() + interval '1 h'"
                " FROM unnest($2::text[]) seat",
                sale.event,
                random.sample(seats, len(seats) * share // 100),
            )
            await pool.execute("ANALYZE seats")
            store = MapStore(pool)
            reader = PublicMaps(OrderBook(pool), store, interval=timedelta(0), max_age=timedelta(seconds=1))
            other = PublicMaps(OrderBook(pool), store, interval=timedelta(hours=1), max_age=timedelta(seconds=1))
            await reader.look(sale)
            walls, cpus = [], []
            for _ in range(10):
                began, spent = time.perf_counter(), time.process_time()
                shown = await reader.look(sale)
                walls.append(time.perf_counter() - began)
                cpus.append(time.process_time() - spent)
            began = time.process_time()
            await other.look(sale)
            seen = time.process_time() - began
            print(  # noqa: T201
                f"{share:3d} % taken: map {len(shown.map.document):,} bytes; a reading {min(walls) * 1e3:.1f} ms,"
                f" of these {min(cpus) * 1e3:.1f} ms CPU of the process; seeing another's {seen * 1e3:.1f} ms CPU"
            )


async def telling(stand: Stand, sale: SaleSheet, seconds: float) -> None:
    """2,000 pages listen while seats come and go."""
    async with stand.ticket([sale], processes=2) as server:
        buyers = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(PAGES + TRADERS)]
        tokens = [server.token(buyer) for buyer in buyers]
        receipts = [joined.receipt for joined in read_joins(await _post(server, "join", tokens))]
        passes = await _claim(server, tokens, receipts)
        credentials = [
            {"line": "public", "token": token, "receipt": receipt}
            for token, receipt in zip(tokens[:PAGES], receipts[:PAGES], strict=True)
        ]
        traders = list(zip(tokens[PAGES:], passes[PAGES:], strict=True))
        async with _pages(stand.folder, server.urls[0], f"/events/{sale.event}/live/", credentials) as pages:
            assert (await _ask(pages, "open"))["open"] == PAGES
            quiet = await _spent(server, sale, traders, seconds)
            await _ask(pages, "watch")
            await asyncio.sleep(2)
            await _ask(pages, "heard")
            told = await _spent(server, sale, traders, seconds)
            ages = sorted((await _ask(pages, "heard"))["ages"])
        changes = len(ages) / PAGES
        print(  # noqa: T201
            f"{PAGES:,} pages, {changes / seconds:.2f} changes a second each;"
            f" one costs {(told - quiet) / len(ages) * 1e6:.1f} us CPU a page,"
            f" {(told - quiet) / changes * 1e3:.1f} ms in all;"
            f" age at the page p50 {ages[len(ages) // 2]:.3f} s, p99 {ages[len(ages) * 99 // 100]:.3f} s,"
            f" worst {ages[-1]:.3f} s"
        )
        async with aiohttp.ClientSession(server.urls[0]) as http:
            async with http.get(f"/events/{sale.event}/seat-map") as answer:
                size, tag = len(await answer.read()), answer.headers["etag"]
            async with http.get(f"/events/{sale.event}/seat-map", headers={"if-none-match": tag}) as answer:
                print(f"GET {size:,} bytes; the same again {answer.status}")  # noqa: T201


async def _spent(server: Server, sale: SaleSheet, traders: Sequence[tuple[str, str]], seconds: float) -> float:
    """CPU seconds of the first process while buyers trade through the second."""
    end, before = time.monotonic() + seconds, process_cpu(server.pids[0])
    seats = [seat for section in sale.sections for seat in section.seats()]
    async with aiohttp.ClientSession(server.urls[1]) as http:

        async def trade(token: str, admission: str) -> None:
            headers = {"authorization": f"Bearer {token}", "tiketi-pass": admission}
            while time.monotonic() < end:
                wish = {"seats": random.sample(seats, 2)}
                async with http.post(f"/events/{sale.event}/holds", json=wish, headers=headers) as answer:
                    held = await answer.json()
                await asyncio.sleep(0.2)
                if answer.status == 201:
                    async with http.delete(f"/events/{sale.event}/holds/{held['hold']}", headers=headers) as freed:
                        assert freed.status == 204

        await asyncio.gather(*(trade(*trader) for trader in traders))
    return process_cpu(server.pids[0]) - before


async def _post(server: Server, action: str, tokens: Sequence[str], bodies: Sequence[bytes] | None = None) -> Any:
    return await send_all(server.urls[1], requests(NAME, action, tokens, bodies), connections=_ONE_BY_ONE)


async def _claim(server: Server, tokens: Sequence[str], receipts: Sequence[str]) -> list[str]:
    """Passes, once all are admitted."""
    passes: dict[str, str] = {}
    async with asyncio.timeout(120):
        while len(passes) < len(tokens):
            left = [(token, word) for token, word in zip(tokens, receipts, strict=True) if token not in passes]
            bodies = [json.dumps({"receipt": word}).encode() for _, word in left]
            replies = await _post(server, "claim", [token for token, _ in left], bodies)
            for (token, _), reply in zip(left, replies, strict=True):
                if (found := json.loads(reply.body)).get("status") == "admitted":
                    passes[token] = found["pass"]
            await asyncio.sleep(0.5)
    return [passes[token] for token in tokens]


@asynccontextmanager
async def _pages(
    folder: Path, url: str, path: str, credentials: Sequence[object]
) -> AsyncIterator[asyncio.subprocess.Process]:
    file, address = folder / "pages", urlsplit(url)
    file.write_text("\n".join(map(json.dumps, credentials)))
    words = ["-m", "tests.load.seat_map.listeners", str(address.hostname), str(address.port), path, str(file)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 2**20,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _ask(process: asyncio.subprocess.Process, words: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(words.encode() + b"\n")
    answer: dict[str, Any] = json.loads(await process.stdout.readline())
    return answer


async def main(seconds: float) -> None:
    """Measure on a world of its own."""
    world = World.named(os.environ.get("TIKETI_WORLD", "bench"))
    was_there = world.exists
    try:
        await world.up("stores", waits_for_disk=True)
        with tempfile.TemporaryDirectory(prefix="tiketi-bench-") as folder:
            async with open_stand(world, Path(folder), 1) as stand:
                sale = a_hall()
                await reading(stand, sale)
                await telling(stand, sale, seconds)
    finally:
        if not was_there:
            await world.down()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    asyncio.run(main(parser.parse_args().seconds))
