"""Answers leave in one piece, whatever uvicorn writes them in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from tiketi_runtime.http import Http

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that remembers what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        assert not self.is_closed, "written to a closed connection"
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def answering(*parts: bytes) -> ASGIApp:
    """An application that sends these parts, each in a turn of its own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = str(sum(map(len, parts))).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        for number, part in enumerate(parts, 1):
            if number > 1:
                await asyncio.sleep(0.01)
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    return app


@pytest.fixture
def wire() -> Wire:
    return Wire()


def connect(app: ASGIApp, wire: Wire) -> Http:
    config = uvicorn.Config(app, http=Http, lifespan="off", log_config=None, access_log=False)
    config.load()
    protocol = Http(config, ServerState(), {})
    protocol.connection_made(wire)
    return protocol


async def test_head_and_body_are_one_write(wire: Wire) -> None:
    connect(answering(b"hello"), wire).data_received(GET)
    await asyncio.sleep(0.02)
    (written,) = wire.writes
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written.endswith(b"\r\n\r\nhello")


async def test_parts_of_an_answer_that_come_later_are_sent_when_they_come(wire: Wire) -> None:
    connect(answering(b"one", b"two"), wire).data_received(GET)
    await asyncio.sleep(0.005)
    assert [write[-3:] for write in wire.writes] == [b"one"]
    await asyncio.sleep(0.02)
    assert [write[-3:] for write in wire.writes] == [b"one", b"two"]


async def test_the_last_answer_is_sent_before_the_connection_is_closed(wire: Wire) -> None:
    connect(answering(b"bye"), wire).data_received(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    await asyncio.sleep(0.02)
    assert b"".join(wire.writes).endswith(b"bye")
    assert wire.is_closed


async def test_a_large_part_is_not_kept_waiting(wire: Wire) -> None:
    large = b"x" * 100_000
    connect(answering(large), wire).data_received(GET)
    await asyncio.sleep(0)
    assert sum(map(len, wire.writes)) > len(large)


async def test_an_answer_to_a_connection_that_was_closed_meanwhile_goes_nowhere(wire: Wire) -> None:
    connect(answering(b"hello"), wire).data_received(GET)
    wire.is_closed = True
    await asyncio.sleep(0.02)
    assert wire.writes == []
