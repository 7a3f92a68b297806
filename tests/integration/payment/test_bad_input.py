"""What is refused, with which code, and that nothing has changed then. Never a 5xx."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.shop import Shop, placed, until
from tests.integration.serving import serve_app

from tiketi_services.payment.app import build_app


async def test_an_intent_of_another_buyer_is_refused(shop: Shop) -> None:
    order = placed()
    answer = await shop.attempt(order, buyer=str(uuid4()))
    assert (answer.status, answer.code) == (403, "foreign-intent")
    assert (await shop.state(order)).status == 404


async def test_an_intent_signed_by_somebody_else_or_for_something_else_is_refused(shop: Shop) -> None:
    order = placed()
    claims = {"order": order.order, "buyer": order.buyer}
    for intent in (
        shop.auth.sign("payment-intent+jwt", claims, timedelta(minutes=1)),
        shop.ticket.sign("order-close+jwt", claims, timedelta(minutes=1)),
        shop.ticket.sign("payment-intent+jwt", claims, timedelta(minutes=1)),
        shop.intent(order)[:-4] + "AAAA",
        "nonsense",
        "\u0000",
    ):
        answer = await shop.post("/payments/attempts", {"intent": intent}, order.buyer)
        assert (answer.status, answer.code) == (422, "invalid-intent")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 10**13},
        {"currency": "won"},
        {"event": "no-slash"},
        {"order": "1"},
        {"order_name": ""},
    ],
)
async def test_an_intent_with_impossible_facts_is_refused(shop: Shop, changes: dict[str, object]) -> None:
    order = placed().but(**changes)
    answer = await shop.attempt(order)
    assert (answer.status, answer.code) == (422, "invalid-intent")


async def test_a_currency_the_vendor_counts_otherwise_is_refused(shop: Shop) -> None:
    answer = await shop.attempt(placed().but(currency="USD"))
    assert (answer.status, answer.code) == (422, "currency-not-supported")


async def test_an_order_past_payby_takes_no_attempt_and_no_confirm(shop: Shop) -> None:
    assert (await shop.attempt(placed(seconds_to_pay=-1))).code == "pay-by-passed"
    order = placed(seconds_to_pay=1)
    redirect = await shop.authenticated(order)
    await asyncio.sleep(1.1)
    answer = await shop.confirm(order, redirect)
    assert (answer.status, answer.code) == (409, "pay-by-passed")
    assert await shop.charged(redirect) == 0


async def test_another_amount_in_the_redirect_is_refused_and_nothing_is_bound(shop: Shop) -> None:
    order = placed(amount=5000)
    redirect = await shop.authenticated(order)
    for amount in (4999, 5001, 1):
        answer = await shop.confirm(order, redirect | {"amount": amount})
        assert (answer.status, answer.code) == (422, "amount-differs")
    assert (await shop.state(order)).body["attempts"][0]["state"] == "READY"
    assert (await shop.confirm(order, redirect)).status == 200


async def test_a_window_opened_with_another_amount_charges_nothing_and_is_not_our_fault(shop: Shop) -> None:
    order = placed(amount=5000)
    redirect = await shop.pay((await shop.attempt(order)).body, amount=100)
    faults = _our_faults()
    answer = await shop.confirm(order, redirect | {"amount": 5000})
    assert (answer.status, answer.code, answer.body["vendorCode"]) == (402, "payment-refused", "AMOUNT_DIFFERS")
    assert await shop.charged(redirect) == 0
    assert _our_faults() == faults
    assert (await shop.confirm(order, await shop.authenticated(order))).status == 200


def _our_faults() -> float:
    return REGISTRY.get_sample_value("tiketi_payment_vendor_faults_total", {"code": "INVALID_REQUEST"}) or 0.0


async def test_a_window_opened_in_another_currency_is_charged_back_in_full(shop: Shop) -> None:
    """With one currency in the merchant's contract no window can do this; should the vendor charge it all the same, the
    charge is not taken for the order's."""
    order = placed(amount=5000)
    redirect = await shop.pay((await shop.attempt(order)).body, currency="JPY")
    answer = await shop.confirm(order, redirect)
    assert (answer.status, answer.code) == (409, "payment-cancelled")

    async def is_given_back() -> bool:
        return await shop.charged(redirect) == 0

    await until(is_given_back)
    assert (await shop.confirm(order, await shop.authenticated(order))).status == 200


async def test_with_two_currencies_each_manipulation_of_the_window_is_seen_before_anything_is_charged(
    shop: Shop, settings: MakeSettings
) -> None:
    async with serve_app(build_app(settings(toss_currencies=["KRW", "JPY"]))) as url:
        careful = shop.at(url)
        order, other = placed(amount=5000), placed(amount=5000)
        attempt = (await careful.attempt(order)).body
        in_yen = await careful.pay(attempt, currency="JPY")
        foreign = await careful.authenticated(other)
        cheap = await careful.pay(attempt, amount=100)
        for redirect, status, code in (
            (in_yen, 422, "amount-differs"),
            (cheap | {"amount": 5000}, 422, "amount-differs"),
            (in_yen | {"paymentKey": foreign["paymentKey"]}, 409, "payment-key-differs"),
        ):
            answer = await careful.confirm(order, redirect)
            assert (answer.status, answer.code) == (status, code)
        assert (await careful.state(order)).body["attempts"][0]["state"] == "READY"
        assert (await shop.ledger())["orders"][in_yen["orderId"]] == {"charged": 0, "cancelled": 0}
        assert (await careful.confirm(order, await careful.pay(attempt))).status == 200
        assert (await careful.confirm(other, foreign)).status == 200


async def test_somebody_elses_attempt_is_not_found(shop: Shop) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    answer = await shop.confirm(order.but(buyer=str(uuid4())), redirect)
    assert (answer.status, answer.code) == (404, "unknown-attempt")
    assert (await shop.state(order, buyer=str(uuid4()))).code == "unknown-order"
    assert (await shop.confirm(order, redirect)).status == 200


async def test_a_payment_key_serves_one_attempt_only(shop: Shop) -> None:
    one, two = placed(), placed()
    first, second = await shop.authenticated(one), await shop.authenticated(two)
    assert (await shop.confirm(one, first)).status == 200
    answer = await shop.confirm(two, second | {"paymentKey": first["paymentKey"]})
    assert (answer.status, answer.code) == (409, "payment-key-differs")
    answer = await shop.confirm(one, first | {"paymentKey": second["paymentKey"]})
    assert (answer.status, answer.code) == (409, "payment-key-differs")
    assert (await shop.confirm(two, second)).status == 200


async def test_a_stranger_who_confirms_with_anothers_payment_key_pays_nothing_and_takes_nothing(shop: Shop) -> None:
    victim, thief = placed(), placed()
    stolen = await shop.authenticated(victim)
    own = await shop.authenticated(thief)
    faults = _our_faults()
    for _ in range(2):
        answer = await shop.confirm(thief, own | {"paymentKey": stolen["paymentKey"]})
        assert (answer.status, answer.code) == (409, "payment-key-differs")
    assert await shop.charged(stolen) == 0
    assert _our_faults() == faults, "the buyer's wrong input is not our fault"
    assert (await shop.confirm(victim, stolen)).status == 200
    assert (await shop.confirm(thief, await shop.authenticated(thief))).status == 200


async def test_an_order_id_of_another_attempt_in_the_redirect_pays_nothing(shop: Shop) -> None:
    one, two = placed(), placed()
    first, second = await shop.authenticated(one), await shop.authenticated(two)
    answer = await shop.confirm(one, first | {"orderId": second["orderId"]})
    assert (answer.status, answer.code) == (404, "unknown-attempt")
    assert (await shop.confirm(one, first)).status == 200
    assert (await shop.confirm(two, second)).status == 200


async def test_two_attempts_of_one_order_mixed_up_pay_nothing(shop: Shop) -> None:
    order = placed()
    first, second = await shop.authenticated(order), await shop.authenticated(order)
    answer = await shop.confirm(order, first | {"orderId": second["orderId"]})
    assert (answer.status, answer.code) == (409, "payment-key-differs")
    assert (await shop.confirm(order, first)).status == 200
    assert (await shop.ledger())["orders"][second["orderId"]]["charged"] == 0


async def test_a_made_up_payment_key_is_refused(shop: Shop) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    answer = await shop.confirm(order, redirect | {"paymentKey": "tiketisim20260101000000abcde"})
    assert (answer.status, answer.body["vendorCode"]) == (402, "NOT_FOUND_PAYMENT")


@pytest.mark.parametrize(
    "changes",
    [
        {"paymentKey": ""},
        {"paymentKey": "x" * 201},
        {"paymentKey": "../../etc"},
        {"paymentKey": "a\u0000b"},
        {"paymentKey": 7},
        {"orderId": "tk_short"},
        {"orderId": None},
        {"amount": "5000"},
        {"amount": 1.5},
        {"amount": -5},
        {"amount": 10**30},
        {"amount": True},
    ],
)
async def test_confirm_says_which_field_is_wrong(shop: Shop, changes: dict[str, object]) -> None:
    body: dict[str, object] = {"paymentKey": "abc", "orderId": "tk_" + "a" * 26, "amount": 5000}
    answer = await shop.post("/payments/confirm", body | changes, str(uuid4()))
    assert (answer.status, answer.code) == (422, "invalid-request")
    assert next(iter(changes)) in answer.body["detail"]


async def test_without_a_token_nothing_is_answered(shop: Shop) -> None:
    for path, body in (("/payments/attempts", {"intent": "x"}), ("/payments/confirm", {})):
        answer = await shop.post(path, body)
        assert (answer.status, answer.code) == (401, "unauthenticated")


async def test_malformed_json_and_large_bodies_are_refused(shop: Shop) -> None:
    headers = {"authorization": f"Bearer {shop.token('anna')}", "content-type": "application/json"}
    for body, status in (("{", 400), ('{"intent": "' + "x" * 70_000 + '"}', 413), ("[]", 422)):
        async with shop.http.post(f"{shop.url}/payments/attempts", data=body, headers=headers) as answer:
            assert answer.status == status
            assert answer.content_type == "application/problem+json"


async def test_an_order_id_that_is_none_is_refused(shop: Shop) -> None:
    answer = await shop.state(placed().but(order="not-a-uuid"))
    assert (answer.status, answer.code) == (422, "invalid-request")


# --- Back from the vendor's window without having paid


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("PAY_PROCESS_CANCELED", "cancelled"),
        ("USER_CANCEL", "cancelled"),
        ("REJECT_CARD_COMPANY", "refused"),
        ("PAY_PROCESS_ABORTED", "failed"),
        ("NEVER_SEEN_BEFORE", "failed"),
    ],
)
async def test_a_window_that_was_left_leaves_the_order_open_and_says_so(shop: Shop, code: str, reason: str) -> None:
    order = placed()
    attempt = (await shop.attempt(order)).body
    answer = await shop.post("/payments/failed", {"orderId": attempt["vendorOrderId"], "code": code}, order.buyer)
    assert (answer.status, answer.body["reason"], answer.body["orderOpen"]) == (200, reason, True)
    assert answer.body["state"] == "READY"
    assert (await shop.state(order)).body["attempts"][0]["code"] == code
    # The window is still there in the browser's history: its buyer may pay after all.
    assert (await shop.confirm(order, await shop.pay(attempt))).status == 200
    late = await shop.post("/payments/failed", {"orderId": attempt["vendorOrderId"], "code": code}, order.buyer)
    assert (late.body["orderOpen"], late.body["state"]) == (False, "DONE")
    assert (await shop.state(order)).body["state"] == "PAID"


async def test_the_windows_own_buttons_lead_there(shop: Shop) -> None:
    order = placed()
    attempt = (await shop.attempt(order)).body
    for button in ("cancel", "decline"):
        query = await shop.leave(attempt, button)
        body = {"orderId": attempt["vendorOrderId"], "code": query["code"]}
        assert (await shop.post("/payments/failed", body, order.buyer)).body["orderOpen"] is True


async def test_only_the_buyer_can_tell_how_the_window_ended(shop: Shop) -> None:
    order = placed()
    attempt = (await shop.attempt(order)).body
    body = {"orderId": attempt["vendorOrderId"], "code": "USER_CANCEL"}
    assert (await shop.post("/payments/failed", body, str(uuid4()))).code == "unknown-attempt"
    assert (await shop.post("/payments/failed", body)).status == 401
    for changes in ({"code": ""}, {"code": "a\u0000"}, {"code": "X" * 101}, {"orderId": "1"}, {"orderId": None}):
        answer = await shop.post("/payments/failed", body | changes, order.buyer)
        assert (answer.status, answer.code) == (422, "invalid-request")
    assert (await shop.state(order)).body["attempts"][0]["code"] is None
