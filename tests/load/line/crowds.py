"""Waiting clients in processes of their own, for rows that measure what they cost the server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.load.stand import ROOT

_LONGEST_ANSWER = 64 * 2**20


@dataclass(frozen=True)
class Crowd:
    """All of them together."""

    processes: Sequence[asyncio.subprocess.Process]

    async def open(self) -> int:
        """Connect all; how many succeeded."""
        return sum(answer["open"] for answer in await self._ask("open"))

    async def ages(self, seconds: float) -> tuple[list[float], int]:
        """How old (s) what each client knows is, looked at ten times a second; and how many clients are there."""
        answers = await self._ask(f"ages {seconds}")
        return [age for answer in answers for age in answer["ages"]], sum(answer["open"] for answer in answers)

    async def messages(self) -> int:
        """States heard since the last call."""
        return sum(answer["messages"] for answer in await self._ask("messages"))

    async def _ask(self, words: str) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(self._ask_one(process, words) for process in self.processes)))

    async def _ask_one(self, process: asyncio.subprocess.Process, words: str) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(words.encode() + b"\n")
        answer: dict[str, Any] = json.loads(await process.stdout.readline())
        return answer


@asynccontextmanager
async def a_crowd(
    folder: Path, url: str, path: str, credentials: Sequence[object], *, processes: int = 2
) -> AsyncIterator[Crowd]:
    """A client for each of ``credentials``, not connected yet; gone when the block ends."""
    async with AsyncExitStack() as stack:
        parts = [_file(folder / f"crowd-{number}", credentials[number::processes]) for number in range(processes)]
        yield Crowd([await stack.enter_async_context(_process(url, path, part)) for part in parts])


def _file(file: Path, credentials: Sequence[object]) -> Path:
    file.write_text("\n".join(json.dumps(auth) for auth in credentials))
    return file


@asynccontextmanager
async def _process(url: str, path: str, credentials: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    address = urlsplit(url)
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.load.line.watchers",
            str(address.hostname),
            str(address.port),
            path,
            str(credentials),
        ),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_ANSWER,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
