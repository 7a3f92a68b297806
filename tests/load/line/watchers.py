"""``python -m tests.load.line.watchers HOST PORT PATH CREDENTIALS``: many lean Socket.IO clients in one process.

They look at no more of a message than they must, so that the server's cost is measured and not theirs. CREDENTIALS is a
file with the auth of one client (JSON) a line. Commands come as lines on stdin, every answer is a line of JSON:

``open``     connect all, some at a time: {"open": how many are connected, "troubles": why others are not, counted}
``ages S``   watch for S seconds: {"ages": of every client's state, by serverTime, ten times a second; "open": ...}
``messages`` how many states came since the last call: {"messages": ...}
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import uvloop
from tests.load.stand import allow_many_files

_OPENING: Final = 64
_TRIES: Final = 3
_LOOK_SECONDS: Final = 0.1
_PING: Final = b"\x81\x012"
_TIME: Final = b'"serverTime":"'


def masked(text: bytes) -> bytes:
    """A text frame from a client; masked with zeros, which costs nothing."""
    if len(text) < 126:
        return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
    return struct.pack("!BBH", 0x81, 0x80 | 126, len(text)) + b"\0\0\0\0" + text


_PONG: Final = masked(b"3")


class Watcher(asyncio.Protocol):
    """One page that waits."""

    def __init__(self, host: str, path: str, auth: bytes) -> None:
        self._request = (
            f"GET {path}?EIO=4&transport=websocket HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\n"
            "connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: MDAwMDAwMDAwMDAwMDAwMA==\r\n"
            "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36\r\n"
            "accept-language: ko-KR,ko;q=0.9,en;q=0.8\r\n\r\n"
        ).encode()
        self._auth = auth
        self._transport: Any = None
        self.connected: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.is_open = False
        self.refusal = ""
        """What came instead of an open connection, or nothing."""
        self.last = b""
        """The newest state, or a part of it with its time."""
        self.messages = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if states := data.count(_TIME):
            self.last = data
            self.messages += states
        if data.startswith(_PING) or data.endswith(_PING):
            self._transport.write(_PONG)
        if not self.is_open:
            self._advance(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        if not self.connected.done():
            self.connected.set_result(False)

    def _advance(self, data: bytes) -> None:
        if b'"pingInterval"' in data:
            self._transport.write(masked(b"40/queue," + self._auth))
        elif b'40/queue,{"sid"' in data:
            self.is_open = True
            self.connected.set_result(True)
        else:
            self.refusal = data[:200].decode(errors="replace")


class Page:
    """All clients of this process."""

    def __init__(self, host: str, port: int, path: str, credentials: Sequence[bytes]) -> None:
        self._host, self._port, self._path = host, port, path
        self._credentials = credentials
        self._watchers: list[Watcher] = []

    async def open(self) -> dict[str, Any]:
        turns = asyncio.Semaphore(_OPENING)

        async def connect(auth: bytes) -> None:
            """A few times, as pages do by themselves when a busy server has kept them waiting too long."""
            async with turns:
                for _ in range(_TRIES):
                    _, watcher = await asyncio.get_running_loop().create_connection(
                        lambda: Watcher(self._host, self._path, auth), self._host, self._port
                    )
                    if await watcher.connected:
                        break
                self._watchers.append(watcher)

        ends = await asyncio.gather(*(connect(auth) for auth in self._credentials), return_exceptions=True)
        troubles = Counter(repr(end) for end in ends if isinstance(end, Exception))
        troubles.update(watcher.refusal for watcher in self._watchers if not watcher.is_open)
        return {"open": self._open(), "troubles": troubles}

    async def ages(self, seconds: float) -> dict[str, Any]:
        ages: list[float] = []
        end = time.time() + seconds
        while (now := time.time()) < end:
            known: dict[bytes, float] = {}
            for watcher in self._watchers:
                start = watcher.last.rfind(_TIME) + len(_TIME)
                told = watcher.last[start : start + 27]
                if told not in known:
                    known[told] = now - _time(told)
                ages.append(known[told])
            await asyncio.sleep(_LOOK_SECONDS)
        return {"ages": [round(age, 4) for age in ages], "open": self._open()}

    async def messages(self) -> dict[str, Any]:
        count = sum(watcher.messages for watcher in self._watchers)
        for watcher in self._watchers:
            watcher.messages = 0
        return {"messages": count}

    def _open(self) -> int:
        return sum(watcher.is_open for watcher in self._watchers)


def _time(text: bytes) -> float:
    """Seconds since 1970 of the time at the beginning of ``text``."""
    return datetime.fromisoformat(text.partition(b'"')[0].decode()).timestamp()


async def main(page: Page) -> None:
    """Obey until stdin ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        answer = await getattr(page, line[0])(*map(float, line[1:]))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    allow_many_files()
    host, port, path, credentials = sys.argv[1:]
    uvloop.run(main(Page(host, int(port), path, Path(credentials).read_bytes().splitlines())))
