"""A crowd that costs little: prepared requests over kept connections, answers barely looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    head: bytes
    body: bytes
    seconds: float
    """Since the request was due, waiting for a free connection included."""


def request_bytes(method: str, path: str, token: str | None = None, body: bytes = b"") -> bytes:
    """One HTTP/1.1 request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench"]
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

    def lost(self) -> None:
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

    def __init__(self, crowd: _Crowd) -> None:
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
        self._crowd.lost()


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"content-length:")
    if start < 0:
        return 0
    end = lowered.find(b"\r\n", start)
    return int(lowered[start + 15 : end if end > 0 else None])
