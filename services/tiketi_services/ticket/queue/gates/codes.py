"""Presale codes: taken over with the sale sheet, then spent, each by one account or once by any account.

PostgreSQL decides who came in by a code; Redis counts the tries that failed.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final

import asyncpg

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_runtime.contracts.presale_codes import CodeBook, digest_of, normalised
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import CodesSheet, CodeUse, LineSheet, SaleSheet
from tiketi_runtime.errors import Forbidden, TooManyRequests
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts

PACKAGE: Final = "tiketi_services.ticket.queue"

log = logging.getLogger(__name__)


class CodeNeeded(Forbidden):
    """The line is a presale for those who have a code, and none was given."""

    code, title = "code-needed", "Code needed"


class WrongCode(Forbidden):
    """No code of this presale, or another account's. Which of the two is not said: it would confirm a guess."""

    code, title = "wrong-code", "Wrong code"


class TooManyCodes(TooManyRequests):
    """Too many codes were wrong; ``retryAfter`` says when the next may be tried."""

    code, title = "too-many-codes", "Too many wrong codes"


@dataclass(frozen=True, slots=True)
class Budget:
    """Failed tries allowed: so many at once, then one more in every ``refill``."""

    burst: int
    refill: timedelta


OF_AN_ACCOUNT: Final = Budget(5, timedelta(seconds=30))
"""A typing error or four; 2,900 guesses a day against codes of 8 characters or more."""
OF_A_NETWORK: Final = Budget(100, timedelta(seconds=1))
"""Whole offices and mobile networks share one: many accounts of one address, each with an error."""


class PresaleCodes:
    """The codes of all presales."""

    def __init__(self, redis: Redis, pool: Pool) -> None:
        self._redis = redis
        self._pool = pool
        self._sql = load_queries(PACKAGE)
        scripts = load_scripts(redis, PACKAGE)
        self._charge = scripts["charge_code_try"]

    async def adopt(self, sale: SaleSheet) -> bool:
        """Copy the codes that the sheet names to PostgreSQL, before the sheet is served. Any number of times.

        False: Redis holds other codes than these, because a newer sheet is on its way; this one is not to be served.
        """
        for line in sale.lines:
            if line.codes is not None and line.codes.version and not await self._adopt(sale, line, line.codes):
                return False
        return True

    async def spend(self, event: EventId, line: LineSheet, buyer: BuyerId, code: str | None, network: str = "") -> None:
        """Let the buyer into the line by a code; who came in by one before needs none again.

        ``network`` is where the request came from: failed tries are limited for it too. Empty: not known.
        Raises CodeNeeded, WrongCode, TooManyCodes.
        """
        if line.codes is None:
            return
        if code is None or not normalised(code):
            if not await self._is_let_in(event, line, line.codes, buyer, None):
                raise CodeNeeded(f"The presale {line.name} is for those who have a code: send it as `code`.")
            return
        tries, digest = _tries(event, line, buyer, network), digest_of(event, line.name, code)
        await self._decide(tries, is_wrong=False)  # who has no tries left does not bother PostgreSQL
        is_right = await self._is_right(event, line, line.codes, buyer, digest)
        # Here tries in flight fall in line: behind as many wrong ones as are allowed, a right one counts no more.
        await self._decide(tries, is_wrong=not is_right)
        if is_right and not await self._is_let_in(event, line, line.codes, buyer, digest):
            is_right = False  # another account took it this very moment
            await self._decide(tries, is_wrong=True)
        if not is_right:
            raise WrongCode(f"This code does not let you into {line.name}: it is none, or another account has used it.")

    async def _adopt(self, sale: SaleSheet, line: LineSheet, codes: CodesSheet) -> bool:
        if await self._pool.fetchval(self._sql["presale_book"], sale.event, line.name) == codes.version:
            return True
        book = await self._read(sale.event, line)
        if book is None or book.version != codes.version:
            return False
        async with self._pool.acquire() as connection, connection.transaction():
            names = (sale.event, line.name)
            sql = self._sql
            if await connection.fetchval(sql["adopt_presale_book"], *names, codes.version, sale.version):
                await connection.execute(sql["add_presale_codes"], *names, sale.version, sorted(book.digests))
                await connection.execute(sql["drop_presale_codes"], *names, sale.version)
        log.info("presale codes adopted", extra={"event": sale.event, "line": line.name, "codes": len(book.digests)})
        return True

    async def _read(self, event: EventId, line: LineSheet) -> CodeBook | None:
        stored = await self._redis.get(EventKeys(event).line(line.name).codes)
        if not isinstance(stored, bytes):
            return None
        try:
            return CodeBook.from_bytes(stored)
        except ValueError as error:
            log.error("presale codes cannot be read", extra={"event": event, "line": line.name, "error": str(error)})
            return None

    async def _is_right(
        self, event: EventId, line: LineSheet, codes: CodesSheet, buyer: BuyerId, digest: bytes
    ) -> bool:
        """Whether the code would let the buyer in. Spends nothing."""
        values = (event, line.name, buyer, digest, codes.use is CodeUse.ONCE)
        return bool(await self._pool.fetchval(self._sql["look_up_presale_code"], *values))

    async def _is_let_in(
        self, event: EventId, line: LineSheet, codes: CodesSheet, buyer: BuyerId, digest: bytes | None
    ) -> bool:
        values = (event, line.name, buyer, digest, codes.use is CodeUse.ONCE)
        try:
            return bool(await self._pool.fetchval(self._sql["spend_presale_code"], *values))
        except asyncpg.UniqueViolationError:
            # The code was taken this very moment, perhaps by the same account on another device: now it can be seen.
            return bool(await self._pool.fetchval(self._sql["spend_presale_code"], *values))

    async def _decide(self, tries: dict[str, Budget], *, is_wrong: bool) -> None:
        """Charge a wrong try; a right one costs nothing, but needs a try left all the same. Raises TooManyCodes."""
        budgets = [part for budget in tries.values() for part in (budget.burst, _milliseconds(budget.refill))]
        wait = int(await self._charge(keys=list(tries), args=[int(is_wrong), *budgets]))
        if wait:
            raise TooManyCodes("Too many wrong codes; wait before you try another.", retryAfter=math.ceil(wait / 1000))


def _tries(event: EventId, line: LineSheet, buyer: BuyerId, network: str) -> dict[str, Budget]:
    """Budgets by their keys. A network is hashed: keys show up in slow logs and monitors."""
    keys = EventKeys(event).line(line.name)
    tries = {keys.code_tries(f"account:{buyer}"): OF_AN_ACCOUNT}
    if network:
        tries[keys.code_tries(f"network:{sha256(network.encode()).hexdigest()}")] = OF_A_NETWORK
    return tries


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
