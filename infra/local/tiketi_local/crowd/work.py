"""Proof of work as a buyer's machine does it: the Python twin of the page's work.js."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Final

SLICE: Final = 2_000
"""Hashes between two looks at other buyers of the crowd: 1 ms."""


class Search:
    """Counts nonces up from 0 until SHA-256(challenge + nonce) begins with ``bits`` zero bits."""

    def __init__(self, challenge: str, bits: int) -> None:
        self._start = sha256(challenge.encode())  # the same for every nonce: hashed once
        self._limit = 1 << (256 - bits)
        self._next = 0

    def go(self, hashes: int) -> str | None:
        """Try that many more; the smallest solution, or None if it was not among them."""
        for number in range(self._next, self._next + hashes):
            attempt = self._start.copy()
            attempt.update(b"%d" % number)
            if int.from_bytes(attempt.digest()) < self._limit:
                return str(number)
        self._next += hashes
        return None


async def solve(challenge: str, bits: int) -> str:
    """The smallest solution; 2^bits hashes of 0.5 us on average, in slices."""
    search = Search(challenge, bits)
    while (nonce := search.go(SLICE)) is None:  # noqa: ASYNC110 - not waiting for anybody: it is we who work
        await asyncio.sleep(0)
    return nonce
