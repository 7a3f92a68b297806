"""The vendor's answer is lost, late or an error: the buyer hears "unknown", and the truth is found out."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aiohttp
import asyncpg
import pytest
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.process import payment_process
from tests.integration.payment.shop import (
    ERROR_AFTER_CHARGE_CARD,
    GOOD_CARD,
    LOST_ANSWER_CARD,
    REFUSED_CARD,
    Json,
    Placed,
    Shop,
    placed,
    until,
)
from tests.integration.serving import serve_app

from tiketi_services.payment.app import build_app


async def _becomes(shop: Shop, order: Placed, state: str) -> None:
    """Wait until the order's newest attempt is in ``state``."""

    async def holds() -> bool:
        return bool((await shop.state(order)).body["attempts"][-1]["state"] == state)

    await until(holds)


@pytest.mark.parametrize("card", [LOST_ANSWER_CARD, ERROR_AFTER_CHARGE_CARD])
async def test_a_charge_whose_answer_is_lost_is_settled_by_the_resolver(shop: Shop, card: str) -> None:
    order = placed()
    redirect = await shop.authenticated(order, card)
    answer = await shop.confirm(order, redirect)
    assert (answer.status, answer.body["status"]) == (202, "unknown")
    await _becomes(shop, order, "DONE")
    assert (await shop.confirm(order, redirect)).status == 200
    assert await shop.charged(redirect) == order.amount


async def test_while_the_answer_is_unknown_nothing_else_may_happen_to_the_order(shop: Shop) -> None:
    order = placed()
    other = await shop.authenticated(order)
    redirect = await shop.authenticated(order)
    await shop.faults(failBeforeWork=-1)
    assert (await shop.confirm(order, redirect)).status == 202
    assert (await shop.attempt(order)).code == "attempt-under-way"
    assert (await shop.confirm(order, other)).code == "attempt-under-way"
    assert await shop.close(order) == "PENDING"
    await shop.faults()
    await _becomes(shop, order, "DONE")
    assert await shop.close(order) == "PAID"


@pytest.mark.parametrize("fault", ["failBeforeWork", "tooManyRequests", "loseAnswers", "failAfterCommit"])
@pytest.mark.parametrize(("card", "ends"), [(GOOD_CARD, "DONE"), (REFUSED_CARD, "REFUSED")])
async def test_every_fault_ends_in_what_the_vendor_did(shop: Shop, fault: str, card: str, ends: str) -> None:
    order = placed()
    redirect = await shop.authenticated(order, card)
    await shop.faults(**{fault: 1})
    assert (await shop.confirm(order, redirect)).status == 202
    await _becomes(shop, order, ends)
    assert await shop.charged(redirect) == (order.amount if ends == "DONE" else 0)


async def test_a_passing_error_that_the_vendor_replays_is_asked_anew_under_another_key(
    shop: Shop, rows: asyncpg.Pool
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(passingErrors=1)
    assert (await shop.confirm(order, redirect)).status == 202
    assert (await shop.state(order)).body["attempts"][-1]["code"] == "PROVIDER_ERROR"
    await _becomes(shop, order, "DONE")
    key = await rows.fetchval("SELECT idempotency_key FROM attempts WHERE vendor_order_id = $1", redirect["orderId"])
    assert key == f"confirm:{redirect['orderId']}:2"


async def test_after_payby_the_resolver_only_looks_and_ends_on_the_vendors_final_state(
    shop: Shop, rows: asyncpg.Pool
) -> None:
    order = placed(seconds_to_pay=2)
    redirect = await shop.authenticated(order)
    await shop.faults(failBeforeWork=-1)
    assert (await shop.confirm(order, redirect)).status == 202
    await asyncio.sleep(2.1)
    await shop.faults()  # from now on a confirm would charge
    await rows.execute("UPDATE attempts SET looks = 0, look_at = now() WHERE vendor_order_id = $1", redirect["orderId"])
    await asyncio.sleep(1.5)
    assert (await shop.state(order)).body["attempts"][-1]["code"] == "IN_PROGRESS"
    assert await shop.close(order) == "PENDING"
    shop.vendor.clock.forward(timedelta(minutes=11))
    await _becomes(shop, order, "REFUSED")
    assert await shop.close(order) == "CLOSED"
    assert await shop.charged(redirect) == 0


async def test_a_process_killed_while_confirming_is_taken_over_by_another(
    shop: Shop, settings: MakeSettings, rows: asyncpg.Pool
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(beforeAnswer={"min": 30_000, "max": 30_000})
    async with payment_process(settings()) as (process, url):
        confirming = asyncio.create_task(shop.at(url).confirm(order, redirect))
        await until(lambda: _is_charged(shop, redirect))
        process.kill()
        with pytest.raises(aiohttp.ClientError):
            await confirming
    await shop.faults()
    assert (await shop.state(order)).body["attempts"][-1]["state"] == "CONFIRMING"
    await rows.execute("UPDATE attempts SET look_at = now() WHERE vendor_order_id = $1", redirect["orderId"])
    await _becomes(shop, order, "DONE")
    assert (await shop.confirm(order, redirect)).status == 200


async def _is_charged(shop: Shop, redirect: Json) -> bool:
    return await shop.charged(redirect) > 0


async def test_a_resolver_that_dies_at_work_is_made_up_for_within_a_minute(shop: Shop, rows: asyncpg.Pool) -> None:
    """What a process has taken is its own for one vendor call at a time: 35 s of time-outs and 10 s to spare."""
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(failBeforeWork=-1, beforeLookUp={"min": 300, "max": 300})
    assert (await shop.confirm(order, redirect)).status == 202
    query = (
        "SELECT extract(epoch FROM greatest(look_at, looking_until) - now()) FROM attempts WHERE vendor_order_id = $1"
    )
    waits = []
    for _ in range(60):
        waits.append(await rows.fetchval(query, redirect["orderId"]))
        await asyncio.sleep(0.05)
    assert 40 < max(waits) <= 45
    await shop.faults()
    await _becomes(shop, order, "DONE")


async def test_a_vendor_that_cannot_be_reached_leaves_the_attempt_unknown_until_it_can(
    shop: Shop, settings: MakeSettings
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    async with serve_app(build_app(settings(toss_url="http://127.0.0.1:9", resolve_interval=60))) as lonely:
        assert (await shop.at(lonely).confirm(order, redirect)).status == 202
    await _becomes(shop, order, "DONE")
    assert await shop.charged(redirect) == order.amount


async def test_a_slow_vendor_is_waited_for_no_longer_than_the_timeout(shop: Shop, settings: MakeSettings) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    async with serve_app(build_app(settings(toss_read_timeout=0.2))) as impatient:
        await shop.faults(beforeAnswer={"min": 1000, "max": 1000})
        answer = await shop.at(impatient).confirm(order, redirect)
        assert (answer.status, answer.body["status"]) == (202, "unknown")
        await shop.faults()
    await _becomes(shop, order, "DONE")
