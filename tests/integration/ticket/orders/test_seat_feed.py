"""Seat changes as pages of buyers hear them, from two processes and through every reconnection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.serving import run_app
from tests.integration.ticket.orders.box_office import new_signer
from tests.integration.ticket.queue.service import PATIENCE, Page, Service, settings_for
from tests.integration.ticket.queue.test_npm_client import PACKAGE, a_browser
from tests.integration.ticket.sales.a_sale import a_sale, publish
from tests.seat_map_client import Follower, Map, decode

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.postgres import Pool
from tiketi_services.ticket.app import build_app
from tiketi_services.ticket.orders import seat_feed, seat_format
from tiketi_services.ticket.queue.push import topics
from tiketi_services.ticket.queue.push.doorway import Doorway
from tiketi_services.ticket.queue.push.sockets import NAMESPACE

EVENT = "demo/hall"
SEATS = 12 * 20
_buyers = count(1)


@dataclass
class Process:
    service: Service
    app: Doorway


@dataclass
class Hall:
    """An event that two processes serve."""

    processes: list[Process]
    pool: Pool

    @property
    def service(self) -> Service:
        return self.processes[0].service

    async def admit(self) -> Shopper:
        """Somebody who is shopping."""
        buyer = f"{next(_buyers):08d}-1111-4000-8000-000000000000"
        joined = await self.service.join(EVENT, buyer)
        claimed = await self.service.claim_until_admitted(EVENT, buyer, joined.body["receipt"])
        assert claimed.body["status"] == "admitted"
        auth = {"line": "public", "token": self.service.token(buyer), "receipt": joined.body["receipt"]}
        return Shopper(self, buyer, auth, claimed.body["pass"])

    async def truth(self) -> dict[str, int]:
        """Seats that are not free."""
        rows = await self.pool.fetch(
            "SELECT seat, state FROM seats WHERE event = $1 AND (state <> 'HELD' OR until > clock_timestamp())", EVENT
        )
        return {row["seat"]: 2 if row["state"] == "SOLD" else 1 for row in rows}


@dataclass
class Shopper:
    """A buyer's page that follows the seats, as docs/seat-map.md asks."""

    hall: Hall
    buyer: str
    auth: dict[str, Any]
    admission: str
    follower: Follower = field(default_factory=Follower)
    page: Page = field(default_factory=Page)
    ages: list[float] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    fetches: int = 0
    process: Process | None = None
    _fetching: asyncio.Task[None] | None = None

    async def connect(self, process: Process, topic: str = "seats") -> None:
        """Open the page, watch."""
        self.process, self.page = process, Page()
        self.page.socket.on("seats", self._hear, namespace=NAMESPACE)
        self.page.socket.on("unwatched", self._refused, namespace=NAMESPACE)
        await self.page.open(process.service, EVENT, self.auth)
        await self.page.socket.emit("watch", topic, namespace=NAMESPACE)

    async def close(self) -> None:
        await self.page.close()
        if self._fetching is not None:
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def hold(self, *seats: str) -> str | None:
        """The hold, if it was made."""
        answer = await self.hall.service.post(
            f"/events/{EVENT}/holds", self.buyer, {"seats": list(seats)}, **{"tiketi-pass": self.admission}
        )
        assert answer.status in (201, 409)
        return answer.body["hold"] if answer.status == 201 else None

    async def release(self, hold: str) -> None:
        headers = {"authorization": f"Bearer {self.hall.service.token(self.buyer)}"}
        url = f"{self.hall.service.url}/events/{EVENT}/holds/{hold}"
        async with self.hall.service.http.delete(url, headers=headers) as answer:
            assert answer.status == 204

    async def until_shown(self, wanted: dict[str, int]) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.follower.map is None or self.follower.map.shown() != wanted:  # noqa: ASYNC110 - comes by socket
                await asyncio.sleep(0.02)

    async def _hear(self, message: bytes) -> None:
        self.follower.hear(message)
        change = decode(message)
        if not isinstance(change, Map) and change.seats:
            self.ages.append(time.time() - change.version / 1000)
            self.heard_at.append(time.monotonic())
        if self.follower.wanted is not None and (self._fetching is None or self._fetching.done()):
            self._fetching = asyncio.create_task(self._fetch())

    async def _refused(self, refusal: dict[str, Any]) -> None:
        self.refusals.append(refusal)

    async def _fetch(self) -> None:
        assert self.process is not None
        while (wanted := self.follower.wanted) is not None:
            self.fetches += 1
            url = f"{self.process.service.url}/events/{EVENT}/seat-map?version={wanted}"
            async with self.hall.service.http.get(url) as answer:
                assert answer.status == 200
                self.follower.fetched(await answer.read())


@pytest.fixture(scope="module")
async def opened(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, database: MakeDatabase, amqp_url: str
) -> AsyncIterator[Hall]:
    folder: Path = tmp_path_factory.mktemp("keys")
    auth, url = new_signer("tiketi-auth"), await database("ticket")
    settings = settings_for(folder, auth, redis_url=redis_url, database_url=url, amqp_url=amqp_url)
    sale = a_sale(
        "hall",
        queue={"totalActiveUsers": 200},
        holdDuration=timedelta(minutes=5),
        sections=[{"name": "A", "price": 99_000, "rows": 12, "seatsPerRow": 20}],
    )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(runtime_redis.connect(redis_url))
        await publish(client, sale)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        processes = []
        for _ in range(2):
            app = build_app(settings)
            running = await stack.enter_async_context(run_app(app))
            service = Service(running.url, http, client, auth)
            await service.until_served("hall")
            processes.append(Process(service, app))
        pool = await stack.enter_async_context(await postgres.connect(url, 2))
        yield Hall(processes, pool)


@pytest.fixture
async def hall(opened: Hall) -> AsyncIterator[Hall]:
    """Nobody has held anything."""
    yield opened
    await opened.pool.execute("DELETE FROM seats WHERE event = $1", EVENT)
    await opened.service.redis.delete(f"tiketi:{{{EVENT.replace('/', '.')}}}:seats")


def a_seat(number: int) -> str:
    return f"A-{number // 20 + 1:02d}-{number % 20 + 1:02d}"


async def test_who_is_shopping_hears_of_every_change(hall: Hall) -> None:
    watching, other = await hall.admit(), await hall.admit()
    await watching.connect(hall.processes[0])
    held = await other.hold("A-01-01", "A-12-20")
    await watching.until_shown({"A-01-01": 1, "A-12-20": 1})
    assert held is not None
    await other.release(held)
    await watching.until_shown({})
    await watching.close()
    assert watching.follower.mistakes == 0
    assert watching.refusals == []


async def test_on_the_connection_on_which_it_waited(hall: Hall) -> None:
    """Not while it waits; as soon as it shops."""
    buyer = f"{next(_buyers):08d}-1111-4000-8000-000000000000"
    joined = await hall.service.join(EVENT, buyer)
    receipt = joined.body["receipt"]
    waiting = Shopper(hall, buyer, {"line": "public", "token": hall.service.token(buyer), "receipt": receipt}, "")
    await waiting.connect(hall.processes[0])
    async with asyncio.timeout(PATIENCE):
        while not waiting.refusals:  # noqa: ASYNC110 - comes by socket
            await asyncio.sleep(0.02)
    waiting.admission = (await hall.service.claim_until_admitted(EVENT, buyer, receipt)).body["pass"]
    await asyncio.sleep(1)  # for so long a refusal stands
    await waiting.page.socket.emit("watch", "seats", namespace=NAMESPACE)
    await waiting.hold("A-05-05")
    await waiting.until_shown({"A-05-05": 1})
    assert waiting.page.places
    await waiting.close()


@pytest.mark.skipif(shutil.which("npm") is None and "CI" not in os.environ, reason="npm is not installed")
async def test_the_standard_client_hears_the_bytes(hall: Hall, tmp_path: Path) -> None:
    package = Path(shutil.copytree(PACKAGE, tmp_path / "client"))
    shopper = await hall.admit()
    url = hall.processes[0].service.url
    async with a_browser(package, url, shopper.auth, event=EVENT, topics=("seats",)) as browser:
        notice = decode(bytes.fromhex(await browser.heard("seats")))
        async with hall.service.http.get(f"{url}/events/{EVENT}/seat-map") as answer:
            shopper.follower.fetched(await answer.read())
        await shopper.hold("A-03-04")
        for number in count(2):
            shopper.follower.hear(bytes.fromhex(await browser.heard("seats", number)))
            assert shopper.follower.map is not None
            if shopper.follower.map.shown() == {"A-03-04": 1}:
                break
    assert not isinstance(notice, Map)
    assert notice.before == notice.version


async def test_who_has_heard_enough_hears_nothing_more(hall: Hall) -> None:
    watching, other = await hall.admit(), await hall.admit()
    await watching.connect(hall.processes[0])
    await watching.until_shown({})
    await watching.page.socket.emit("unwatch", "seats", namespace=NAMESPACE)
    await asyncio.sleep(0.1)
    await other.hold("A-01-01")
    heard = len(watching.heard_at)
    await asyncio.sleep(1)
    assert len(watching.heard_at) == heard
    await watching.page.socket.emit("watch", "seats", namespace=NAMESPACE)
    await watching.until_shown({"A-01-01": 1})
    await watching.close()


async def test_who_is_not_shopping_looks_over_http(hall: Hall) -> None:
    """Nobody in particular, and somebody whose session is over."""
    left = await hall.admit()
    await left.connect(hall.processes[0])
    await left.until_shown({})
    receipt = {"receipt": left.auth["receipt"]}
    assert (await hall.service.post(f"/events/{EVENT}/queue/public/leave", left.buyer, receipt)).status == 204
    live = hall.processes[0].app.live
    assert live is not None
    await live.watching.review()
    unnamed = Shopper(hall, "", {"line": "public"}, "")
    await unnamed.connect(hall.processes[0])
    async with asyncio.timeout(PATIENCE):
        while not (left.refusals and unnamed.refusals):  # noqa: ASYNC110 - comes by socket
            await asyncio.sleep(0.02)
    assert left.refusals == unnamed.refusals == [{"topic": "seats", "code": "not-admitted"}]
    async with hall.service.http.get(f"{hall.service.url}/events/{EVENT}/seat-map") as answer:
        assert answer.headers["content-type"] == seat_format.MEDIA_TYPE
        found, tag = decode(await answer.read()), answer.headers["etag"]
    assert isinstance(found, Map)
    assert len(found.states) == SEATS
    async with hall.service.http.get(
        f"{hall.processes[1].service.url}/events/{EVENT}/seat-map", headers={"if-none-match": tag}
    ) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    for page in (left, unnamed):
        await page.close()


async def test_a_topic_that_nobody_offers_is_refused(hall: Hall) -> None:
    curious = await hall.admit()
    await curious.connect(hall.processes[0], topic="prices")
    async with asyncio.timeout(PATIENCE):
        while not curious.refusals:  # noqa: ASYNC110 - comes by socket
            await asyncio.sleep(0.02)
    assert curious.refusals == [{"topic": "prices", "code": "unknown-topic"}]
    await curious.close()


async def _trade(hall: Hall, seconds: float) -> None:
    """Buyers hold and release seats without a pause."""
    end = time.monotonic() + seconds
    traders = [await hall.admit() for _ in range(4)]

    async def trade(number: int, trader: Shopper) -> None:
        """The last hold is kept."""
        held = None
        while time.monotonic() < end:
            if held is not None:
                await trader.release(held)
            held = await trader.hold(*(a_seat(each) for each in random.sample(range(number, SEATS, 4), 2)))
            await asyncio.sleep(random.random() * 0.2)

    await asyncio.gather(*(trade(number, trader) for number, trader in enumerate(traders)))


async def test_every_page_is_right_whatever_it_reconnects_to(hall: Hall) -> None:
    """Pages hop between two processes in the middle of the rush: none is ever wrong, all are right at the end."""
    shoppers = [await hall.admit() for _ in range(8)]
    for number, shopper in enumerate(shoppers):
        await shopper.connect(hall.processes[number % 2])
    is_over = asyncio.Event()

    async def hop(shopper: Shopper) -> None:
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), random.random() * 1.5)
            await shopper.close()
            await asyncio.sleep(random.random() * 0.4)
            await shopper.connect(random.choice(hall.processes))

    hoppers = [asyncio.create_task(hop(shopper)) for shopper in shoppers[2:]]
    await _trade(hall, 6)
    is_over.set()
    await asyncio.gather(*hoppers)
    truth = await hall.truth()
    for shopper in shoppers:
        await shopper.until_shown(truth)
        await shopper.close()
    assert [shopper.follower.mistakes for shopper in shoppers] == [0] * 8
    assert any(shopper.follower.applied for shopper in shoppers[2:])
    for still in shoppers[:2]:  # those who stayed connected: a map, then changes only, two a second at most
        applied = still.follower.applied
        assert still.fetches <= 3
        assert len(applied) >= 5
        assert all(after - before >= 499 for before, after in pairwise(applied))
        assert statistics.median(still.ages) < 0.5


async def test_two_processes_tell_the_same_versions(hall: Hall) -> None:
    one, other = await hall.admit(), await hall.admit()
    await one.connect(hall.processes[0])
    await other.connect(hall.processes[1])
    await asyncio.gather(one.until_shown({}), other.until_shown({}))
    await _trade(hall, 3)
    truth = await hall.truth()
    await asyncio.gather(one.until_shown(truth), other.until_shown(truth))
    assert one.follower.map is not None
    assert other.follower.map is not None
    assert one.follower.map.version == other.follower.map.version
    assert len(set(one.follower.applied) & set(other.follower.applied)) >= 3
    for page in (one, other):
        await page.close()


async def test_a_server_that_drops_a_seat_is_found_out(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in a change: the client sees by the checksum that its map is wrong, and fetches the right one."""
    whole = seat_format._steps

    def lossy(before: bytes, after: bytes) -> Iterator[int]:
        yield from list(whole(before, after))[1:]

    watching, other = await hall.admit(), await hall.admit()
    await watching.connect(hall.processes[0])
    await watching.until_shown({})
    monkeypatch.setattr(seat_format, "_steps", lossy)
    await other.hold("A-01-01", "A-01-07")
    await watching.until_shown({"A-01-01": 1, "A-01-07": 1})
    assert watching.follower.mistakes == 1
    await watching.close()


async def test_a_change_that_never_arrives_is_missed(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    watching, other = await hall.admit(), await hall.admit()
    await watching.connect(hall.processes[0])
    await watching.until_shown({})
    fetches, hear = watching.fetches, watching.follower.hear
    monkeypatch.setattr(watching.follower, "hear", lambda _: None)
    heard = len(watching.heard_at)
    await other.hold("A-01-01")
    async with asyncio.timeout(PATIENCE):
        while len(watching.heard_at) == heard:  # noqa: ASYNC110 - comes by socket
            await asyncio.sleep(0.02)
    monkeypatch.setattr(watching.follower, "hear", hear)
    await other.hold("A-01-02")
    await watching.until_shown({"A-01-01": 1, "A-01-02": 1})
    assert watching.fetches == fetches + 1
    assert watching.follower.mistakes == 0
    await watching.close()


async def test_the_last_change_is_missed_too_when_it_never_arrives(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes after it but the version, which everybody is told now and then."""
    watching, other = await hall.admit(), await hall.admit()
    await watching.connect(hall.processes[0])
    await watching.until_shown({})
    monkeypatch.setattr(seat_feed, "_REASSURANCE", 1.0)
    with monkeypatch.context() as network:
        network.setattr(topics, "push", lambda _client, _frame: True)  # taken, and lost
        await other.hold("A-01-01")
        await asyncio.sleep(1)
    await watching.until_shown({"A-01-01": 1})
    await watching.close()
