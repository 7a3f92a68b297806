"""Everything the vendor may do wrong, at once and at random: in the end the books agree, and the day reconciles."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import aiohttp
import asyncpg
import pytest
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.shop import GOOD_CARD, REFUSED_CARD, Shop, placed, until
from tests.integration.serving import serve_app

from tiketi_runtime import postgres
from tiketi_runtime.security import TokenSigner
from tiketi_services.payment.app import build_app, build_cashier, toss_settings
from tiketi_services.payment.books import day_of
from tiketi_services.payment.reconciliation import Reconciliation
from tiketi_services.payment.repository import Books
from tiketi_services.payment.toss import TossClient

SEED = int(os.environ.get("TIKETI_SEED", "20261123"))
BUYERS = int(os.environ.get("TIKETI_STORM_BUYERS", "120"))
AT_ONCE = 12


@pytest.fixture(scope="module")
async def payment_url(settings: MakeSettings) -> AsyncIterator[str]:
    """Two replicas; the second one only has loops here."""
    quick: dict[str, Any] = {"toss_read_timeout": 0.5, "webhook_patience": 0.1, "webhook_looks_per_second": 1000}
    async with serve_app(build_app(settings(**quick))) as url, serve_app(build_app(settings(**quick))):
        yield url


def _weather(random: Random) -> dict[str, Any]:
    """Some of the faults, for the next few calls."""
    counts = ("loseAnswers", "failAfterCommit", "failBeforeWork", "passingErrors", "tooManyRequests", "failLookUps")
    faults: dict[str, Any] = {name: random.randint(1, 3) for name in random.sample(counts, 2)}
    if random.random() < 0.2:
        faults["beforeAnswer"] = {"min": 0, "max": 800}
    if random.random() < 0.1:
        faults["slowBody"] = 700
    faults["webhooks"] = {
        "missing": random.choice((0, 0, 2)),
        "duplicates": random.choice((0, 0, 3)),
        "backwards": random.choice((0, 0, 3)),
        "early": random.random() < 0.3,
        "delay": {"min": 0, "max": random.choice((0, 200))},
    }
    return faults


async def _buy(shop: Shop, random: Random) -> None:
    """Pay, perhaps with a refused card first; close or ask again at the worst moment."""
    order = placed()
    for card in random.choice(([GOOD_CARD], [REFUSED_CARD, GOOD_CARD], [REFUSED_CARD])):
        opened = await shop.attempt(order)
        if opened.status != 201:
            return
        redirect = await shop.pay(opened.body, card)
        if random.random() < 0.05:
            with contextlib.suppress(aiohttp.ClientError):  # the weather is the same for everybody
                await shop.charge_behind_our_back(redirect)
        calls = [shop.confirm(order, redirect) for _ in range(random.choice((1, 1, 3)))]
        closing = [shop.ask_to_close(order)] if random.random() < 0.15 else []
        answers = await asyncio.gather(*calls, *closing)
        assert all(answer.status < 500 for answer in answers), answers


async def test_after_a_storm_every_attempt_has_its_end_and_the_day_reconciles(
    shop: Shop, settings: MakeSettings, rows: asyncpg.Pool
) -> None:
    random = Random(SEED)
    shop.vendor.simulator.webhooks.url = f"{shop.url}/payments/webhooks"
    shop.vendor.simulator.webhooks.minute = 0.01
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> None:
        async with turn:
            await _buy(shop, Random(seed))

    weather = asyncio.create_task(_change_weather(shop, random))
    try:
        await asyncio.gather(*(one(random.getrandbits(64)) for _ in range(BUYERS)))
    finally:
        weather.cancel()
        await asyncio.gather(weather, return_exceptions=True)
    await shop.faults()

    async def is_calm() -> bool:
        return not await rows.fetchval(
            "SELECT EXISTS (SELECT FROM attempts WHERE state IN ('CONFIRMING', 'UNKNOWN'))"
            " OR EXISTS (SELECT FROM cancellations WHERE state = 'REQUESTED')"
        )

    await until(is_calm, seconds=60)
    await _reconciles(settings(), rows)
    states = dict(await rows.fetch("SELECT state, count(*) FROM attempts GROUP BY state"))
    assert states["DONE"] > BUYERS // 4, states
    assert states["REFUSED"] > BUYERS // 8, states
    assert await rows.fetchval("SELECT count(*) FROM webhooks") > BUYERS // 4


async def _change_weather(shop: Shop, random: Random) -> None:
    while True:
        await shop.faults(**_weather(random))
        await asyncio.sleep(0.1)


async def _reconciles(values: Any, rows: asyncpg.Pool) -> None:
    """Charges that nobody asked for go back first; then nothing is left to find."""
    signer = TokenSigner.from_pem_file(values.signing_key_file, "tiketi-payment")
    async with await postgres.connect(values.database_url, 2) as pool, TossClient(toss_settings(values)) as toss:
        cashier = build_cashier(values, pool, toss, signer)
        reconciliation = Reconciliation(cashier, Books(pool), mends=True, after=timedelta(0))
        today = day_of(datetime.now(UTC))
        await reconciliation.run(today)

        async def is_given_back() -> bool:
            return not await rows.fetchval("SELECT EXISTS (SELECT FROM cancellations WHERE state = 'REQUESTED')")

        await until(is_given_back)
        assert (await reconciliation.run(today)).findings == ()
