"""The crowd: who means to do what, and how far they are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Self
from uuid import uuid4

import aiohttp

from tiketi_local.crowd.buyer import Buyer, Plan, Step
from tiketi_local.crowd.card_window import CardWindow
from tiketi_local.crowd.client import BuyerClient, SaleAddress
from tiketi_local.crowd.mailbox import Mailbox
from tiketi_local.crowd.timings import Timings

PLANS: dict[Plan, int] = {
    Plan.BUY: 74,
    Plan.LEAVE: 6,
    Plan.LET_EXPIRE: 5,
    Plan.BAD_CARD_THEN_GOOD: 10,
    Plan.BAD_CARD: 5,
}
"""Of a hundred buyers."""

SIGN_UPS_AT_ONCE = 8
"""Hashing a password takes 20 ms of CPU: more at once would only queue in auth."""


@dataclass
class Crowd:
    """Buyers of one sale, the same for the same seed."""

    sale: SaleAddress
    toss_url: str
    mail_url: str
    size: int
    seed: int = 1
    timings: Timings = field(default_factory=Timings)
    buyers: list[Buyer] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=512, limit_per_host=256)
        self._http = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30))
        window = CardWindow(self._http, self.toss_url)
        random = self._random = Random(self.seed)  # noqa: S311 - a reproducible crowd, no secret
        plans = random.choices(list(PLANS), weights=list(PLANS.values()), k=self.size)
        self.buyers = [
            Buyer(plan, BuyerClient(self._http, self.sale, self.timings), self.sale, window, Random(random.random()))  # noqa: S311
            for plan in plans
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def sign_up(self) -> None:
        """Give everybody an account with a verified address, before the rush as real buyers would."""
        run = uuid4().hex[:8]
        turns = asyncio.Semaphore(SIGN_UPS_AT_ONCE)

        async def one(number: int, buyer: Buyer, mailbox: Mailbox) -> None:
            email = f"buyer-{run}-{number}@example.com"
            async with turns:
                await buyer.client.sign_up(email, f"correct horse {run}", f"Buyer {number}")
            token = await mailbox.verification(email)  # without a turn: others sign up meanwhile
            async with turns:
                await buyer.client.verify(token)

        async with Mailbox(self._http, self.mail_url) as mailbox:
            await asyncio.gather(*(one(number, buyer, mailbox) for number, buyer in enumerate(self.buyers)))

    async def go(self, sections: Sequence[str], *, within: float) -> None:
        """Send everybody, spread over ``within`` seconds; returns when the last one is done."""

        async def one(buyer: Buyer, delay: float) -> None:
            await asyncio.sleep(delay)
            await buyer.go(list(sections), self.timings)

        delays = [self._random.uniform(0, within) for _ in self.buyers]
        await asyncio.gather(*(one(buyer, delay) for buyer, delay in zip(self.buyers, delays, strict=True)))

    def steps(self) -> Counter[Step]:
        """How many stand where."""
        return Counter(buyer.step for buyer in self.buyers)

    @property
    def admitted(self) -> int:
        """How many were let in to shop."""
        return sum(buyer.was_admitted for buyer in self.buyers)

    def faults(self) -> list[str]:
        """What went wrong that should not."""
        return [buyer.fault for buyer in self.buyers if buyer.fault]
