"""A crowd that costs little: prepared requests over kept connections, answers barely looked at."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self, cast
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    head: bytes
    body: bytes
    seconds: float
    """Since the request was due, waiting for a free connection included."""


def request_bytes(method: str, path: str, token: str | None = None, body: bytes = b"", **headers: str) -> bytes:
    """One HTTP/1.1 request as it goes over the wire. ``headers``: with ``_`` in place of ``-``."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if token is not None:
        lines.append(f"authorization: Bearer {token}")
    if body:
        lines.append("content-type: application/json")
    if method != "GET":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send_all(
    url: str,
    requests: Sequence[bytes],
    *,
    connections: int,
    due: Sequence[float] | None = None,
    stays_awake: bool = False,
) -> list[Reply]:
    """Send every request once, ``connections`` at a time, and return the replies in order.

    ``due``: seconds from now at which each request wants to be sent (they come in order); None: as fast as connections
    become free. ``stays_awake``: see ``_Crowd.stay_awake``; for measuring the CPU of a server, never its speed. Raises
    ConnectionError when the server hangs up.
    """
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    crowd = _Crowd(requests, due)
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Connection(crowd), address.hostname, address.port)
        for _ in range(min(connections, len(requests)))
    ]
    try:
        crowd.begin([protocol for _, protocol in opened])
        if stays_awake:
            crowd.stay_awake()
        await crowd.done
    finally:
        for transport, _ in opened:
            transport.close()
    return [reply for reply in crowd.replies if reply is not None]


class Client:
    """Kept connections to one server. Who finds none free waits for one, first come, first served."""

    def __init__(self) -> None:
        self._idle: list[_Connection] = []
        self._waiting: deque[tuple[bytes, float, asyncio.Future[Reply]]] = deque()
        self._asked: dict[_Connection, tuple[float, asyncio.Future[Reply]]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, connections: int) -> AsyncIterator[Self]:
        """Connect; hang up when the block ends."""
        client, address = cls(), urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        host, port = address.hostname, address.port
        loop = asyncio.get_running_loop()
        opened = [await loop.create_connection(lambda: _Connection(client), host, port) for _ in range(connections)]
        client._idle = [connection for _, connection in opened]
        try:
            yield client
        finally:
            for transport, _ in opened:
                transport.close()

    async def send(self, request: bytes) -> Reply:
        """The answer to one request. Raises ConnectionError when the server hangs up."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, time.perf_counter(), answer))
        self._feed()
        return await answer

    def answered(self, connection: _Connection, index: int, head: bytes, body: bytes) -> None:
        """A connection has its answer, and is free."""
        began, answer = self._asked.pop(connection)
        if not answer.done():
            answer.set_result(Reply(int(head[9:12]), head, body, time.perf_counter() - began))
        self._idle.append(connection)
        self._feed()

    def lost(self, connection: _Connection) -> None:
        """A connection is gone."""
        _, answer = self._asked.pop(connection, (0.0, None))
        if answer is not None and not answer.done():
            answer.set_exception(ConnectionError("the server hung up"))

    def _feed(self) -> None:
        while self._idle and self._waiting:
            request, began, answer = self._waiting.popleft()
            connection = self._idle.pop()
            self._asked[connection] = began, answer
            connection.send(0, request)


@dataclass
class _Crowd:
    requests: Sequence[bytes]
    due: Sequence[float] | None
    replies: list[Reply | None] = field(init=False)
    done: asyncio.Future[None] = field(init=False)
    _next: int = 0
    _open: int = 0
    _began: float = 0.0
    _idle: list[_Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replies = [None] * len(self.requests)
        self.done = asyncio.get_running_loop().create_future()
        self._open = len(self.requests)

    def begin(self, connections: Sequence[_Connection]) -> None:
        self._began = time.perf_counter()
        self._idle = list(connections)
        self._feed()

    def answered(self, connection: _Connection, index: int, head: bytes, body: bytes) -> None:
        due = self._began + self.due[index] if self.due is not None else connection.sent_at
        self.replies[index] = Reply(int(head[9:12]), head, body, time.perf_counter() - due)
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(None)
        self._idle.append(connection)
        self._feed()

    def lost(self, _connection: _Connection) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server hung up"))

    def stay_awake(self) -> None:
        """Never sleep until all are answered.

        Whoever writes to a process that sleeps on the same machine pays for waking it, 15 us here, and a server that
        answers slowly pays that more often: it would look more expensive than it is.
        """
        if not self.done.done():
            asyncio.get_running_loop().call_soon(self.stay_awake)

    def _feed(self) -> None:
        now = time.perf_counter() - self._began
        while self._idle and self._next < len(self.requests):
            if self.due is not None and self.due[self._next] > now:
                asyncio.get_running_loop().call_later(self.due[self._next] - now, self._feed)
                return
            self._idle.pop().send(self._next, self.requests[self._next])
            self._next += 1


class _Connection(asyncio.Protocol):
    """One request at a time; answers carry a content-length."""

    def __init__(self, crowd: _Crowd | Client) -> None:
        self._crowd = crowd
        self._index = 0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def send(self, index: int, request: bytes) -> None:
        assert self._transport is not None
        self._index = index
        self.sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._buffer = b""
        self._crowd.answered(self, self._index, head, body)

    def connection_lost(self, error: Exception | None) -> None:
        self._crowd.lost(self)


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"content-length:")
    if start < 0:
        return 0
    end = lowered.find(b"\r\n", start)
    return int(lowered[start + 15 : end if end > 0 else None])
