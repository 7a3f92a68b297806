"""Closing an order: ticket asks, payment decides, and a confirm at the same moment cannot come between."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.shop import REFUSED_CARD, Answer, Json, Placed, Shop, placed, until
from tests.integration.serving import serve_app

from tiketi_services.payment.app import build_app

ROUNDS = 60


async def test_closing_is_idempotent_and_ends_every_ready_attempt(shop: Shop) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    assert [await shop.close(order) for _ in range(3)] == ["CLOSED"] * 3
    answer = await shop.confirm(order, redirect)
    assert (answer.status, answer.code) == (409, "order-closed")
    assert (await shop.attempt(order)).code == "order-closed"
    assert await shop.charged(redirect) == 0


async def test_an_order_closed_before_it_was_seen_stays_closed(shop: Shop) -> None:
    order = placed()
    assert await shop.close(order) == "CLOSED"
    assert (await shop.attempt(order)).code == "order-closed"
    assert (await shop.state(order)).body["state"] == "CLOSED"
    assert await shop.close(order) == "CLOSED"


async def test_a_paid_order_is_answered_paid_with_the_proof(shop: Shop) -> None:
    order = placed()
    confirmed = await shop.confirm(order, await shop.authenticated(order))
    for _ in range(2):
        assert (await shop.ask_to_close(order)).body == {"status": "PAID", "outcome": confirmed.body["outcome"]}


async def test_an_order_whose_card_was_refused_can_be_closed(shop: Shop) -> None:
    order = placed()
    await shop.confirm(order, await shop.authenticated(order, REFUSED_CARD))
    assert await shop.close(order) == "CLOSED"


async def test_closing_needs_tickets_signature_for_closing(shop: Shop) -> None:
    order = placed()
    forgeries = {
        "signed by another": shop.auth.sign("order-close+jwt", {"order": order.order}, timedelta(minutes=1)),
        "another purpose": shop.intent(order),
        "expired": shop.ticket.sign("order-close+jwt", {"order": order.order}, timedelta(minutes=-1)),
        "no order": shop.ticket.sign("order-close+jwt", {}, timedelta(minutes=1)),
        "no uuid": shop.ticket.sign("order-close+jwt", {"order": "1"}, timedelta(minutes=1)),
        "nonsense": "x",
    }
    for forgery in forgeries.values():
        answer = await shop.post("/internal/orders/close", {"request": forgery})
        assert (answer.status, answer.code) == (401, "invalid-token")
    assert (await shop.attempt(order)).status == 201


async def test_close_and_confirm_at_once_never_leave_an_order_both_paid_and_closed(
    shop: Shop, settings: MakeSettings
) -> None:
    """Two replicas, many rounds, released together: whoever is first decides, and the vendor's ledger agrees."""
    dice = random.Random(20261123)
    async with serve_app(build_app(settings())) as other:
        seen = set()
        for _ in range(ROUNDS):
            order = placed()
            redirect = await shop.authenticated(order)
            closed, confirmed = await _race(shop, shop.at(other), order, redirect, dice)
            seen.add((closed, confirmed.status))
            if closed == "CLOSED":
                assert (confirmed.status, confirmed.code) == (409, "order-closed")
                assert await shop.charged(redirect) == 0
            else:
                assert confirmed.status == 200
                assert await shop.charged(redirect) == order.amount
                assert await shop.close(order) == "PAID"
    assert {closed for closed, _ in seen} > {"CLOSED"}, f"both sides must win now and then: {seen}"


async def _race(one: Shop, other: Shop, order: Placed, redirect: Json, dice: random.Random) -> tuple[str, Answer]:
    barrier = asyncio.Barrier(2)
    head_start = dice.uniform(-0.004, 0.004)

    async def close() -> str:
        await barrier.wait()
        await asyncio.sleep(max(0, head_start))
        return await one.close(order)

    async def confirm() -> Answer:
        await barrier.wait()
        await asyncio.sleep(max(0, -head_start))
        return await other.confirm(order, redirect)

    return await asyncio.gather(close(), confirm())


@pytest.mark.parametrize("state", ["UNKNOWN", "CONFIRMING"])
async def test_a_charge_learnt_of_after_closing_is_cancelled_in_full(
    shop: Shop, rows: asyncpg.Pool, state: str
) -> None:
    order = placed()
    redirect = await _charged_behind_our_back(shop, order)
    await _meddle(rows, order, redirect, order_state="CLOSED", attempt_state=state)
    await until(lambda: _is_given_back(rows, redirect))
    assert await shop.charged(redirect) == 0
    assert (await shop.confirm(order, redirect)).code == "payment-cancelled"
    assert await rows.fetchval("SELECT count(*) FROM outcomes WHERE order_id = $1", order.order) == 0
    assert await shop.close(order) == "CLOSED"


async def test_a_second_charge_of_a_paid_order_is_cancelled_in_full(shop: Shop, rows: asyncpg.Pool) -> None:
    order = placed()
    second = await _charged_behind_our_back(shop, order)
    first = await shop.authenticated(order)
    outcome = (await shop.confirm(order, first)).body["outcome"]
    await _meddle(rows, order, second, order_state="PAID", attempt_state="UNKNOWN")
    await until(lambda: _is_given_back(rows, second))
    assert (await shop.charged(first), await shop.charged(second)) == (order.amount, 0)
    assert (await shop.state(order)).body["outcome"] == outcome


async def test_a_cancellation_is_written_down_before_the_vendor_is_called_and_outlives_its_faults(
    shop: Shop, rows: asyncpg.Pool
) -> None:
    order = placed()
    redirect = await _charged_behind_our_back(shop, order)
    await shop.faults(failBeforeWork=-1)
    await _meddle(rows, order, redirect, order_state="CLOSED", attempt_state="UNKNOWN")

    async def was_tried() -> bool:
        row = await rows.fetchrow("SELECT * FROM cancellations WHERE payment_key = $1", redirect["paymentKey"])
        return row is not None and row["state"] == "REQUESTED" and row["tries"] > 0

    await until(was_tried)
    assert await shop.charged(redirect) == order.amount
    await shop.faults(loseAnswers=1)
    await until(lambda: _is_given_back(rows, redirect))
    assert await shop.charged(redirect) == 0


async def test_a_charge_of_another_amount_is_given_back(shop: Shop, rows: asyncpg.Pool) -> None:
    order = placed(amount=50_000)
    attempt = (await shop.attempt(order)).body
    redirect = await shop.pay(attempt, amount=40_000)
    await _confirm_at_vendor(shop, redirect)
    await _meddle(rows, order, redirect, order_state="OPEN", attempt_state="UNKNOWN")
    await until(lambda: _is_given_back(rows, redirect))
    assert await shop.charged(redirect) == 0
    assert (await shop.confirm(order, await shop.authenticated(order))).status == 200


async def _charged_behind_our_back(shop: Shop, order: Placed) -> Json:
    redirect = await shop.authenticated(order)
    await _confirm_at_vendor(shop, redirect)
    return redirect


async def _confirm_at_vendor(shop: Shop, redirect: Json) -> None:
    headers = {"authorization": "Basic dGVzdF9za196WExrS0V5cE5BcldtbzUwblgzbG1lYXhZRzVSOg=="}
    url = f"{shop.vendor.url}/v1/payments/confirm"
    async with shop.http.post(url, json=redirect, headers=headers, raise_for_status=True):
        pass


async def _meddle(rows: asyncpg.Pool, order: Placed, redirect: Json, *, order_state: str, attempt_state: str) -> None:
    """Put the database where only a wrong decision could have brought it."""
    await rows.execute("UPDATE orders SET state = $2 WHERE order_id = $1", order.order, order_state)
    await rows.execute(
        "UPDATE attempts SET state = $2, payment_key = $3, calls = 1, look_at = now() WHERE vendor_order_id = $1",
        redirect["orderId"],
        attempt_state,
        redirect["paymentKey"],
    )


async def _is_given_back(rows: asyncpg.Pool, redirect: Json) -> bool:
    query = "SELECT state FROM cancellations WHERE payment_key = $1"
    return bool(await rows.fetchval(query, redirect["paymentKey"]) == "DONE")
