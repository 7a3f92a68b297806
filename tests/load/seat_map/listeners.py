"""``python -m tests.load.seat_map.listeners HOST PORT PATH CREDENTIALS``: many lean pages in one process.

CREDENTIALS is a file with the auth of one page (JSON) a line. Commands come as lines on stdin, every answer is a line
of JSON: ``open`` connects all, ``watch`` asks for the seats, ``heard`` tells what came since the last call: the number
of messages, and how old the seats in them were when they arrived.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

import uvloop
from tests.load.line.watchers import Watcher, masked
from tests.load.stand import allow_many_files

_CHANGE: Final = b"TS\x01\x02"
_OPENING: Final = 64


class Page(Watcher):
    """One page that listens."""

    def __init__(self, host: str, path: str, auth: bytes, ages: list[float]) -> None:
        super().__init__(host, path, auth)
        self._ages = ages

    def watch(self) -> None:
        """Ask for the seats."""
        self._transport.write(masked(b'42/queue,["watch","seats"]'))

    def data_received(self, data: bytes) -> None:
        """Take no more of a change than its version."""
        at = data.find(_CHANGE)
        while at >= 0 and len(data) >= at + 24:
            version, before = struct.unpack_from(">Q4xQ", data, at + 4)
            if version != before:
                self._ages.append(time.time() - version / 1000)
            at = data.find(_CHANGE, at + 24)
        super().data_received(data)


async def main(host: str, port: int, path: str, credentials: list[bytes]) -> None:
    """Obey until stdin ends."""
    ages: list[float] = []
    pages: list[Page] = []
    turns = asyncio.Semaphore(_OPENING)

    async def connect(auth: bytes) -> None:
        async with turns:
            _, page = await asyncio.get_running_loop().create_connection(
                lambda: Page(host, path, auth, ages), host, port
            )
            await page.connected
            pages.append(page)

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        answer: dict[str, Any] = {}
        if line == "open":
            await asyncio.gather(*map(connect, credentials))
            answer = {"open": sum(page.is_open for page in pages)}
        elif line == "watch":
            for page in pages:
                page.watch()
        else:
            answer = {"ages": [round(age, 4) for age in ages]}
            ages.clear()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    allow_many_files()
    host, port, path, file = sys.argv[1:]
    uvloop.run(main(host, int(port), path, Path(file).read_bytes().splitlines()))
