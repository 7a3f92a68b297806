"""The standard socket.io-client from npm, unmodified, as a buyer's page uses it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.ticket.queue.pods import MOVING, Pods, a_front_door
from tests.integration.ticket.queue.service import PATIENCE

from tiketi_services.ticket.queue.push import live

PACKAGE = Path(__file__).parents[3] / "e2e" / "socket_io_client"
EVENT = f"demo/{MOVING}"

pytestmark = pytest.mark.skipif(shutil.which("npm") is None and "CI" not in os.environ, reason="npm is not installed")


@dataclass
class Browser:
    """One run of the client; ``credentials`` answer its auth callback in turn, the last one for ever."""

    process: asyncio.subprocess.Process
    credentials: list[dict[str, Any]]
    told: dict[str, list[Any]] = field(default_factory=dict)
    asked: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        async for line in self.process.stdout:
            message = json.loads(line)
            if message["event"] == "auth":
                answer = self.credentials[min(self.asked, len(self.credentials) - 1)]
                self.asked += 1
                self.process.stdin.write(json.dumps(answer).encode() + b"\n")
            else:
                self.told.setdefault(message["event"], []).append(message["body"])
                self._news.set()

    async def heard(self, event: str, number: int = 1) -> Any:
        """The body of the event's ``number``-th telling, within 10 s."""
        async with asyncio.timeout(PATIENCE):
            while len(self.told.get(event, ())) < number:
                self._news.clear()
                await self._news.wait()
        return self.told[event][number - 1]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, installed from the lock into a folder of its own."""
    return Path(shutil.copytree(PACKAGE, tmp_path_factory.mktemp("npm") / "client"))


@asynccontextmanager
async def a_browser(
    package: Path, origin: str, *credentials: dict[str, Any], event: str = EVENT, topics: tuple[str, ...] = ()
) -> AsyncIterator[Browser]:
    if not (package / "node_modules").exists():
        install = await asyncio.create_subprocess_exec(
            *("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"),
            cwd=package,
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await install.wait() == 0
    process = await asyncio.create_subprocess_exec(
        *("node", str(package / "client.js"), origin, f"/events/{event}/live/", *topics),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    browser = Browser(process, list(credentials))
    listening = asyncio.create_task(browser.listen())
    try:
        yield browser
    finally:
        process.terminate()
        await process.wait()
        await listening


async def test_it_connects_and_hears_place_and_state(package: Path, pods: Pods) -> None:
    auth = await pods.service.credentials(EVENT, "anna")
    async with a_browser(package, pods.first.url, auth) as browser:
        await browser.heard("connect")
        assert await browser.heard("place") == {"seq": 1, "place": 1}
        state = await browser.heard("state")
    assert (state["event"], state["line"], state["group"]) == (EVENT, "public", 0)


async def test_it_hears_why_it_is_refused(package: Path, pods: Pods) -> None:
    auth = await pods.service.credentials(EVENT, "anna")
    thief = {**auth, "token": pods.service.token("thief")}
    async with a_browser(package, pods.first.url, thief) as browser:
        refusal = await browser.heard("connect_error")
    assert refusal["data"] == {"code": "foreign-receipt", "status": 403}


async def test_it_moves_to_another_pod_by_itself_when_its_own_drains(package: Path, pods: Pods) -> None:
    auth = await pods.service.credentials(EVENT, "anna")
    async with a_front_door(pods.first.url) as door, a_browser(package, door.url, auth) as browser:
        await browser.heard("place")
        door.target = pods.second.url
        pods.first.ask_to_stop()
        assert await browser.heard("disconnect") == {"reason": "transport close", "active": True}
        await browser.heard("connect", 2)
        assert await browser.heard("place", 2) == {"seq": 1, "place": 1}


async def test_it_asks_for_a_fresh_token_when_the_old_one_has_expired(
    package: Path, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LEEWAY", timedelta())
    monkeypatch.setattr(live, "_LEAST_STAY", 1)
    old = await pods.service.credentials(EVENT, "anna", ttl=timedelta(seconds=1))
    fresh = {**old, "token": pods.service.token("anna")}
    async with a_browser(package, pods.first.url, old, fresh) as browser:
        await browser.heard("place")
        await browser.heard("disconnect")
        assert await browser.heard("place", 2) == {"seq": 1, "place": 1}
        assert browser.asked == 2


async def test_it_hears_that_the_seats_are_for_those_who_shop(package: Path, pods: Pods) -> None:
    auth = await pods.service.credentials(EVENT, "anna")
    async with a_browser(package, pods.first.url, auth, topics=("seats",)) as browser:
        assert await browser.heard("unwatched") == {"topic": "seats", "code": "not-admitted"}
