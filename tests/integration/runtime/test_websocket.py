"""Connections that are taken over from ASGI: what is relied on in uvicorn and websockets, seen from a real client."""

from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from tests.integration.serving import serve_app
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tiketi_runtime.web import MAX_FRAME_BYTES
from tiketi_runtime.websocket import SERVICE_RESTART, NotOurServer, WebSocket, text_frame


@dataclass
class Switchboard:
    """An application that takes every connection over and notes what arrives."""

    connections: list[WebSocket] = field(default_factory=list)
    heard: list[Mapping[str, Any]] = field(default_factory=list)
    calls_under_way: int = 0
    delay: float = 0
    """Seconds between accepting a connection and taking it over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        self.calls_under_way += 1
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(self.delay)
        connection = WebSocket.of(scope)
        self.connections.append(connection)
        connection.take_over(self.heard.append)
        self.calls_under_way -= 1

    async def until_heard(self, count: int) -> list[Mapping[str, Any]]:
        async with asyncio.timeout(30):
            while len(self.heard) < count:  # noqa: ASYNC110 - the server is in this very loop
                await asyncio.sleep(0.005)
        return self.heard


@asynccontextmanager
async def a_client(url: str) -> AsyncIterator[ClientConnection]:
    async with connect(url.replace("http", "ws", 1), compression=None) as client:
        yield client


@pytest.fixture
async def board() -> Switchboard:
    return Switchboard()


@pytest.fixture
async def url(board: Switchboard) -> AsyncIterator[str]:
    async with serve_app(board) as url:
        yield url


async def test_messages_reach_the_receiver_after_the_call_has_ended(board: Switchboard, url: str) -> None:
    async with a_client(url) as client:
        for word in ("one", "two", "three"):
            await client.send(word)
        heard = await board.until_heard(3)
    assert [message["text"] for message in heard[:3]] == ["one", "two", "three"]
    assert board.calls_under_way == 0


async def test_what_came_before_the_connection_was_taken_over_is_not_lost(board: Switchboard, url: str) -> None:
    board.delay = 0.1
    async with a_client(url) as client:
        for word in ("one", "two", "three"):
            await client.send(word)
        heard = await board.until_heard(3)
    assert [message["text"] for message in heard[:3]] == ["one", "two", "three"]


async def test_an_encoded_frame_reaches_many_clients(board: Switchboard, url: str) -> None:
    frame = text_frame("한".encode() * 300)
    async with a_client(url) as one, a_client(url) as other:
        for connection in board.connections:
            connection.write(frame)
        assert await one.recv() == await other.recv() == "한" * 300


async def test_the_receiver_hears_of_the_clients_end(board: Switchboard, url: str) -> None:
    async with a_client(url):
        pass
    assert (await board.until_heard(1))[-1]["type"] == "websocket.disconnect"


async def test_hanging_up_tells_the_client_why(board: Switchboard, url: str) -> None:
    async with a_client(url) as client:
        board.connections[0].hang_up(SERVICE_RESTART)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == SERVICE_RESTART
    assert (await board.until_heard(1))[0]["type"] == "websocket.disconnect"
    assert board.connections[0].is_closing
    board.connections[0].write(text_frame(b"too late"))
    board.connections[0].hang_up(SERVICE_RESTART)


async def test_a_client_that_reads_nothing_fills_a_bounded_buffer_and_is_let_go(
    board: Switchboard, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiketi_runtime.websocket._LAST_WORDS_SECONDS", 0.1)
    async with connect(url.replace("http", "ws", 1), compression=None, max_queue=1) as client:
        connection = board.connections[0]
        client.transport.pause_reading()
        frame, written = text_frame(b"x" * 4000), 0
        while connection.unsent == 0:
            connection.write(frame)
            written += len(frame)
            await asyncio.sleep(0)
            assert written < 16 * 2**20
        connection.hang_up(SERVICE_RESTART)
        assert (await board.until_heard(1))[0]["type"] == "websocket.disconnect"
        client.transport.abort()


async def test_text_that_is_no_text_is_hung_up_on_and_not_logged(
    board: Switchboard, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_client(url) as client:
        await client.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_message_beyond_the_bound_is_never_read(board: Switchboard, url: str) -> None:
    async with a_client(url) as client:
        await client.send("x" * MAX_FRAME_BYTES)
        await board.until_heard(1)
        await client.send("x" * 1_000_000)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert [len(message.get("text", "")) for message in board.heard if "text" in message] == [MAX_FRAME_BYTES]


async def test_what_waits_holds_neither_task_nor_queue_nor_request(board: Switchboard, url: str) -> None:
    before = len(asyncio.all_tasks())
    async with a_client(url):
        (connection,) = board.connections
        assert len(asyncio.all_tasks()) - before <= 2, "those of this test's own client"
        kept = vars(connection)
        assert not {"scope", "request", "response"} & kept.keys()
        assert not [name for name, value in kept.items() if isinstance(value, asyncio.Queue | asyncio.Event)]


async def test_a_hundred_waiting_connections_allocate_little(board: Switchboard, url: str) -> None:
    """Objects of the server's libraries alone; resident memory is measured by the benchmark."""
    async with a_client(url):
        tracemalloc.start()
        try:
            before = tracemalloc.take_snapshot()
            host, _, port = url.removeprefix("http://").partition(":")
            writers = await asyncio.gather(*(_raw(host, int(port)) for _ in range(100)))
            gc.collect()
            grown = tracemalloc.take_snapshot().compare_to(before, "filename")
        finally:
            tracemalloc.stop()
        for writer in writers:
            writer.close()
    served = [each for each in grown if "uvicorn" in str(each.traceback) or "websockets" in str(each.traceback)]
    assert sum(each.size_diff for each in served) / 100 < 8 * 1024


async def _raw(host: str, port: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        f"GET / HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: MDAwMDAwMDAwMDAwMDAwMA==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    return writer


async def test_a_connection_that_is_gone_is_freed_without_the_collector(board: Switchboard, url: str) -> None:
    gc.collect()
    gc.disable()
    try:
        async with a_client(url):
            gone = weakref.ref(board.connections.pop())
        await board.until_heard(1)
        async with asyncio.timeout(30):
            while gone() is not None:  # noqa: ASYNC110 - the loop lets go of it in its own time
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


def test_an_application_on_another_server_is_told_so() -> None:
    with pytest.raises(NotOurServer):
        WebSocket.of({"type": "websocket", "extensions": {}})
