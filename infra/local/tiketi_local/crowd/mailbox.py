"""The crowd reads its mail: one reader at the mail catcher for all buyers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import TracebackType
from typing import Final, Self

import aiohttp

_PATIENCE_SECONDS: Final = 120
_LONG_POLL_SECONDS: Final = 10


class Mailbox:
    """Mails that arrive while it is open."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._mails: defaultdict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)

    async def __aenter__(self) -> Self:
        async with self._http.get(f"{self._url}/mails/last", raise_for_status=True) as answer:
            last = (await answer.json())["id"]
        self._reading = asyncio.create_task(self._read(last))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def verification(self, email: str) -> str:
        """What the link in the next mail to this address carries. Raises TimeoutError if no mail comes."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return token_in(await self._mails[email].get())

    async def _read(self, last: int) -> None:
        while True:
            query = {"after": last, "wait": _LONG_POLL_SECONDS}
            async with self._http.get(f"{self._url}/mails", params=query, raise_for_status=True) as answer:
                mails = await answer.json()
            for mail in mails:
                self._mails[mail["to"]].put_nowait(mail["text"])
                last = mail["id"]


def token_in(text: str) -> str:
    """What stands behind the ``#`` of a mail's link. Raises ValueError if there is no link."""
    for line in text.splitlines():
        address, mark, token = line.partition("#")
        if mark and address.startswith("http"):
            return token
    raise ValueError("a mail without a link")
