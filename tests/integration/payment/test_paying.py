"""A buyer pays an order: attempt, window, confirm."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from tests.integration.payment.conftest import Keys
from tests.integration.payment.shop import GOOD_CARD, REFUSED_CARD, Shop, placed, until

from tiketi_runtime.security import TokenVerifier


async def test_a_paid_order_has_a_signed_outcome(shop: Shop) -> None:
    order = placed(amount=132_000)
    opened = await shop.attempt(order)
    assert opened.status == 201
    assert (opened.body["amount"], opened.body["currency"]) == (132_000, "KRW")
    redirect = await shop.pay(opened.body)
    answer = await shop.confirm(order, redirect)
    assert (answer.status, answer.body["status"], answer.body["order"]) == (200, "paid", order.order)

    verifier = TokenVerifier(f"{shop.url}/.well-known/jwks.json")
    claims = await verifier.verify(answer.body["outcome"], "payment-outcome+jwt", "tiketi-payment")
    told = {name: claims[name] for name in ("order", "event", "buyer", "status", "amount", "currency", "paymentKey")}
    assert told == {
        "order": order.order,
        "event": order.event,
        "buyer": order.buyer,
        "status": "PAID",
        "amount": 132_000,
        "currency": "KRW",
        "paymentKey": redirect["paymentKey"],
    }
    state = await shop.state(order)
    assert (state.body["state"], state.body["outcome"]) == ("PAID", answer.body["outcome"])
    assert await shop.charged(redirect) == 132_000


async def test_a_refused_card_leaves_the_order_open_for_another_attempt(shop: Shop) -> None:
    order = placed()
    first = await shop.authenticated(order, REFUSED_CARD)
    refused = await shop.confirm(order, first)
    assert (refused.status, refused.code, refused.body["vendorCode"]) == (402, "payment-refused", "REJECT_CARD_PAYMENT")
    assert refused.body["orderOpen"] is True
    second = await shop.authenticated(order, GOOD_CARD)
    assert second["orderId"] != first["orderId"]
    assert (await shop.confirm(order, second)).status == 200
    attempts = (await shop.state(order)).body["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["REFUSED", "DONE"]


async def test_confirming_again_gives_the_same_answer_and_charges_once(shop: Shop) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    first = await shop.confirm(order, redirect)
    assert await shop.confirm(order, redirect) == first
    refused_order = placed()
    refused = await shop.authenticated(refused_order, REFUSED_CARD)
    assert await shop.confirm(refused_order, refused) == await shop.confirm(refused_order, refused)
    assert await shop.charged(redirect) == order.amount


async def test_twenty_identical_confirms_at_once_charge_once(shop: Shop) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    answers = await asyncio.gather(*(shop.confirm(order, redirect) for _ in range(20)))
    assert {answer.status for answer in answers} <= {200, 202}
    assert (await shop.confirm(order, redirect)).status == 200
    assert await shop.charged(redirect) == order.amount


async def test_of_two_attempts_confirmed_at_once_one_is_charged(shop: Shop) -> None:
    for _ in range(10):
        order = placed()
        redirects = [await shop.authenticated(order) for _ in range(3)]
        answers = await asyncio.gather(*(shop.confirm(order, redirect) for redirect in redirects))
        assert sorted(answer.status for answer in answers) == [200, 409, 409]
        assert {answer.code for answer in answers if answer.status == 409} <= {"order-paid", "attempt-under-way"}
        assert sum([await shop.charged(redirect) for redirect in redirects]) == order.amount


async def test_a_paid_order_takes_no_further_attempt(shop: Shop) -> None:
    order = placed()
    left_over = await shop.authenticated(order)
    assert (await shop.confirm(order, await shop.authenticated(order))).status == 200
    assert (await shop.attempt(order)).code == "order-paid"
    assert (await shop.confirm(order, left_over)).code == "order-paid"
    assert await shop.charged(left_over) == 0


async def test_an_order_is_tried_twenty_times_at_most(shop: Shop) -> None:
    order = placed()
    answers = [await shop.attempt(order) for _ in range(21)]
    assert [answer.status for answer in answers] == [201] * 20 + [409]
    assert answers[-1].code == "too-many-attempts"


async def test_the_idempotency_key_is_stored_before_the_vendor_is_asked(shop: Shop, rows: asyncpg.Pool) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(beforeWork={"min": 400, "max": 400})
    confirming = asyncio.create_task(shop.confirm(order, redirect))

    async def is_bound() -> bool:
        row = await rows.fetchrow("SELECT * FROM attempts WHERE vendor_order_id = $1", redirect["orderId"])
        bound = (row["state"], row["payment_key"], row["idempotency_key"])
        return bound == ("CONFIRMING", redirect["paymentKey"], f"confirm:{redirect['orderId']}:1")

    await until(is_bound, seconds=0.4)
    assert await shop.close(order) == "PENDING"
    assert (await confirming).status == 200


async def test_an_outcome_cannot_be_changed(shop: Shop, rows: asyncpg.Pool) -> None:
    order = placed()
    await shop.confirm(order, await shop.authenticated(order))
    for statement in ("UPDATE outcomes SET amount = 1", "DELETE FROM outcomes"):
        with pytest.raises(asyncpg.RaiseError, match="insert-only"):
            await rows.execute(f"{statement} WHERE order_id = $1", order.order)


async def test_keys_are_published(shop: Shop, keys: Keys) -> None:
    async with shop.http.get(f"{shop.url}/.well-known/jwks.json") as answer:
        (key,) = (await answer.json())["keys"]
    assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    assert "d" not in key


async def test_an_intent_may_outlive_nothing_but_its_order(shop: Shop) -> None:
    order = placed()
    old = shop.intent(order, ttl=timedelta(seconds=-60))
    answer = await shop.post("/payments/attempts", {"intent": old}, order.buyer)
    assert (answer.status, answer.code) == (422, "invalid-intent")
