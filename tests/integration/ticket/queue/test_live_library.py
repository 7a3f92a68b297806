"""What ``sockets`` and ``fanout`` rely on in python-socketio and python-engineio, without a line behind them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import socketio
from starlette.types import Receive, Scope, Send
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.service import PATIENCE
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tiketi_services.ticket.queue.push import fanout
from tiketi_services.ticket.queue.push.fanout import Audience, event_frame
from tiketi_services.ticket.queue.push.sockets import NAMESPACE, PULSE, Sockets

CONNECT = f"40{NAMESPACE},"


@dataclass
class Hall:
    """Sockets with an application that lets everybody in, and notes who comes and goes."""

    deadline: timedelta = timedelta(seconds=60)
    ping_interval: timedelta = timedelta(seconds=15)
    admit: asyncio.Event = field(default_factory=asyncio.Event)
    came: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admit.set()
        self.sockets = Sockets(
            self._on_connect,
            self._on_connected,
            self._on_disconnect,
            connect_deadline=self.deadline,
            ping_interval=self.ping_interval,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await self.sockets.handle(scope, receive, send)

    async def _on_connect(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:
        self.came.append(sid)
        await self.admit.wait()
        if auth == {"refuse": True}:
            raise socketio.exceptions.ConnectionRefusedError("no", {"code": "test"})

    async def _on_connected(self, sid: str) -> None:
        self.connected.append(sid)
        await self.sockets.emit(sid, "welcome", {"sid": sid})

    async def _on_disconnect(self, sid: str, reason: str) -> None:
        self.gone.append(sid)


@asynccontextmanager
async def a_hall(**changes: Any) -> AsyncIterator[tuple[Hall, str]]:
    hall = Hall(**changes)
    async with serve_app(hall) as url:
        yield hall, url


@asynccontextmanager
async def a_socket(url: str) -> AsyncIterator[ClientConnection]:
    """A websocket on which Engine.IO is open."""
    async with connect(_address(url), compression=None, close_timeout=1) as socket:
        assert str(await socket.recv()).startswith("0{")
        yield socket


def _address(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/?EIO=4&transport=websocket"


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the server is in this very loop
            await asyncio.sleep(0.005)


async def heard(socket: ClientConnection) -> str:
    async with asyncio.timeout(PATIENCE):
        return str(await socket.recv())


async def test_the_opening_says_what_the_protocol_asks_for() -> None:
    async with a_hall() as (_, url), connect(_address(url)) as socket:
        opening = json.loads((await heard(socket))[1:])
    assert opening.pop("sid")
    assert opening == {"upgrades": [], "pingInterval": 15_000, "pingTimeout": 10_000, "maxPayload": 4096}


async def test_news_come_after_the_answer_to_connect() -> None:
    async with a_hall() as (hall, url), a_socket(url) as socket:
        await socket.send(CONNECT)
        assert (await heard(socket)).startswith(f'40{NAMESPACE},{{"sid":')
        assert (await heard(socket)).startswith(f'42{NAMESPACE},["welcome",')
        assert hall.connected == hall.came


async def test_the_standard_client_connects_hears_and_leaves() -> None:
    async with a_hall() as (hall, url):
        client = socketio.AsyncClient(reconnection=False)
        heard: list[Any] = []
        client.on("welcome", heard.append, namespace=NAMESPACE)
        await client.connect(url, transports=["websocket"], namespaces=[NAMESPACE])
        await until(lambda: heard)
        await hall.sockets.server.emit("welcome", "all", namespace=NAMESPACE)
        await until(lambda: heard[1:] == ["all"])
        await client.disconnect()
        await until(lambda: hall.gone == hall.came and len(hall.sockets) == 0)


async def test_another_namespace_is_refused_in_the_protocols_words() -> None:
    async with a_hall() as (hall, url), a_socket(url) as socket:
        await socket.send("40")
        assert await heard(socket) == '44{"message":"Invalid namespace"}'
        await socket.send("40/other,{}")
        assert await heard(socket) == '44/other,{"message":"Invalid namespace"}'
        await socket.send(CONNECT)
        assert (await heard(socket)).startswith(f"40{NAMESPACE}")
        assert len(hall.connected) == 1


async def test_who_was_refused_may_ask_again_on_the_same_connection() -> None:
    async with a_hall() as (hall, url), a_socket(url) as socket:
        await socket.send(CONNECT + '{"refuse":true}')
        refusal = json.loads((await heard(socket)).removeprefix(f"44{NAMESPACE},"))
        assert refusal == {"message": "no", "data": {"code": "test"}}
        await socket.send(CONNECT)
        assert (await heard(socket)).startswith(f"40{NAMESPACE}")
        assert len(hall.connected) == 1


async def test_one_connection_is_one_session() -> None:
    async with a_hall() as (hall, url), a_socket(url) as socket:
        await socket.send(CONNECT)
        await heard(socket)
        await heard(socket)
        await socket.send(CONNECT)
        assert (await heard(socket)).startswith(f"44{NAMESPACE}")
        assert len(hall.connected) == 1


async def test_who_goes_while_being_let_in_is_not_kept() -> None:
    async with a_hall() as (hall, url):
        hall.admit.clear()
        async with a_socket(url) as socket:
            await socket.send(CONNECT)
            await until(lambda: hall.came)
        await until(lambda: len(hall.sockets) == 0)
        hall.admit.set()
        await until(lambda: hall.gone == hall.came)
        assert hall.connected == []
        assert hall.sockets.server.manager.rooms == {}


async def test_a_second_wish_before_the_first_is_answered_is_hung_up_on() -> None:
    async with a_hall() as (hall, url), a_socket(url) as socket:
        hall.admit.clear()
        for _ in range(3):
            await socket.send(CONNECT)
        with pytest.raises(ConnectionClosed):
            await heard(socket)
        hall.admit.set()
        assert len(hall.came) == 1


async def test_everybody_is_pinged_and_who_does_not_answer_is_gone() -> None:
    async with a_hall(ping_interval=PULSE * 2) as (hall, url), a_socket(url) as alive, a_socket(url) as dead:
        for socket in (alive, dead):
            await socket.send(CONNECT)
            await heard(socket)
            await heard(socket)
        for _ in range(2):
            await hall.sockets.pulse()
        assert await heard(alive) == await heard(dead) == "2"
        await alive.send("3")
        await asyncio.sleep(0.05)
        for _ in range(2):
            await hall.sockets.pulse()
        assert await heard(alive) == "2"
        with pytest.raises(ConnectionClosed):
            await heard(dead)
        await until(lambda: len(hall.sockets) == 1)
        assert len(hall.gone) == 1


async def test_a_round_of_the_wheel_takes_the_ping_interval() -> None:
    async with a_hall(ping_interval=timedelta(seconds=2)) as (hall, url), a_socket(url) as socket:
        await asyncio.sleep(0.05)
        for _ in range(round(timedelta(seconds=2) / PULSE) - 1):
            await hall.sockets.pulse()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.1)
        await hall.sockets.pulse()
        assert await heard(socket) == "2"


async def test_who_never_says_what_it_wants_or_stays_after_leaving_is_put_out() -> None:
    async with (
        a_hall(deadline=timedelta(seconds=0.2)) as (hall, url),
        a_socket(url) as silent,
        a_socket(url) as leaver,
        a_socket(url) as listener,
    ):
        for socket in (leaver, listener):
            await socket.send(CONNECT)
            await heard(socket)
            await heard(socket)
        await leaver.send(f"41{NAMESPACE},")
        await until(lambda: hall.gone)
        await asyncio.sleep(0.25)
        await hall.sockets.reap()
        for socket in (silent, leaver):
            with pytest.raises(ConnectionClosed):
                await heard(socket)
        assert len(hall.sockets) == 1


async def test_a_connection_waits_without_tasks_or_its_request() -> None:
    async with a_hall() as (hall, url), a_socket(url) as socket:
        await socket.send(CONNECT)
        await heard(socket)
        await heard(socket)
        names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
        assert not [name for name in names if "ngine" in name or "ocket" in name or "asgi" in name]
        server = hall.sockets.server
        (environ,) = server.environ.values()
        assert environ.keys() == {"tiketi.event"}
        assert list(server.manager.rooms[NAMESPACE]) == [None], "no room for every single client"
        (client,) = server.eio.sockets.values()
        assert client.queue is None


async def test_draining_closes_without_a_goodbye_spread_over_time() -> None:
    async with a_hall() as (hall, url), a_socket(url) as first, a_socket(url) as second:
        for socket in (first, second):
            await socket.send(CONNECT)
            await heard(socket)
            await heard(socket)
        began = time.monotonic()
        await hall.sockets.drain(timedelta(minutes=5))
        assert time.monotonic() - began < 60, "few connections need no five minutes"
        for socket in (first, second):
            with pytest.raises(ConnectionClosed) as closed:
                await heard(socket)  # neither 41, which tells the standard client to stay away, nor 1
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        await until(lambda: len(hall.gone) == 2)


async def test_an_audience_is_told_group_by_group_and_only_what_is_new() -> None:
    async with a_hall() as (hall, url), a_socket(url) as first, a_socket(url) as second:
        audience = Audience()
        for group, socket in enumerate((first, second)):
            await socket.send(CONNECT)
            await heard(socket)
            await heard(socket)
            audience.add(hall.sockets.client(hall.connected[-1]), group)
        tags = {0: "a", 1: "b"}

        def news(group: int | None) -> tuple[str, Callable[[], bytes]]:
            number = group or 0
            return tags[number], lambda: event_frame(NAMESPACE, "state", b'{"group":%d}' % number)

        async def tell() -> int:
            return await audience.tell(news)

        assert await tell() == 2
        assert await heard(first) == f'42{NAMESPACE},["state",{{"group":0}}]'
        assert await heard(second) == f'42{NAMESPACE},["state",{{"group":1}}]'
        assert await tell() == 0
        tags[1] = "c"
        assert await tell() == 1
        assert await heard(second) == f'42{NAMESPACE},["state",{{"group":1}}]'


async def test_who_is_behind_misses_states_and_is_queued_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_hall() as (hall, url), a_socket(url) as socket:
        await socket.send(CONNECT)
        await heard(socket)
        client = hall.sockets.client((await heard(socket)).split('"')[5])
        socket.transport.pause_reading()
        frame, written = event_frame(NAMESPACE, "state", b'"%b"' % (b"x" * 4000)), 0
        while fanout.push(client, frame):
            written += 1
            await asyncio.sleep(0)
            assert written < 4000
        assert client.unsent < fanout.MOST_UNSENT + 2 * len(frame)
        socket.transport.abort()
