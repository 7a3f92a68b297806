"""The simulator over HTTP, held against the vendor's documents."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from tests.integration.toss.merchant import GOOD_CARD, Json, Merchant, basic
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY

LOST_ANSWER_CARD = "4000-0000-0000-0119"
NOT_IN_PARTS_CARD = "4000-0000-0000-3055"

_DOCUMENTED = """
    version mId type paymentKey orderId orderName status method currency totalAmount balanceAmount suppliedAmount vat
    taxFreeAmount taxExemptionAmount requestedAt approvedAt lastTransactionKey cancels isPartialCancelable useEscrow
    cultureExpense card virtualAccount transfer mobilePhone giftCertificate easyPay secret metadata receipt checkout
    country discount cashReceipt cashReceipts failure
"""


# --- Keys


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        (basic("test_sk_another0000"), 401, "UNAUTHORIZED_KEY"),
        (basic("live_sk_another0000"), 401, "UNAUTHORIZED_KEY"),
        (basic(SECRET_KEY, "password"), 403, "INCORRECT_BASIC_AUTH_FORMAT"),
        ("Basic " + base64.b64encode(SECRET_KEY.encode()).decode(), 403, "INCORRECT_BASIC_AUTH_FORMAT"),
        ("Basic 77u/dGVzdA==", 403, "INCORRECT_BASIC_AUTH_FORMAT"),
        (f"Bearer {SECRET_KEY}", 403, "INCORRECT_BASIC_AUTH_FORMAT"),
        ("", 403, "INCORRECT_BASIC_AUTH_FORMAT"),
    ],
)
async def test_only_the_secret_key_with_its_colon_is_let_in(
    merchant: Merchant, authorization: str, status: int, code: str
) -> None:
    reply = await merchant.call("GET", "/v1/payments/x", authorization=authorization)
    assert (reply.status, reply.code) == (status, code)


async def test_a_window_needs_the_merchants_client_key(merchant: Merchant) -> None:
    body = {
        "clientKey": "live_ck_x",
        "orderId": "o-12345",
        "orderName": "x",
        "amount": 100,
        "successUrl": "https://a",
        "failUrl": "https://a",
    }
    async with merchant.http.post(f"{merchant.vendor.url}/checkout", json=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "UNAUTHORIZED_KEY")


# --- Window


async def test_paying_returns_to_the_shop_with_the_three_values_and_charges_nothing(merchant: Merchant) -> None:
    window = await merchant.window(amount=7000)
    query = await merchant.press(window["paymentKey"], "pay", card=GOOD_CARD)
    expected = {"lang": "ko", "paymentKey": window["paymentKey"], "orderId": window["orderId"], "amount": "7000"}
    assert query.items() >= expected.items()
    payment = (await merchant.look_up(window["paymentKey"])).body
    assert (payment["status"], payment["approvedAt"]) == ("IN_PROGRESS", None)


async def test_leaving_the_window_goes_to_the_fail_url(merchant: Merchant) -> None:
    window = await merchant.window()
    cancelled = await merchant.press(window["paymentKey"], "cancel")
    assert cancelled["code"] == "PAY_PROCESS_CANCELED"
    assert "orderId" not in cancelled
    declined = await merchant.press(window["paymentKey"], "decline")
    assert (declined["code"], declined["orderId"]) == ("REJECT_CARD_COMPANY", window["orderId"])


async def test_the_page_for_people_shows_what_is_paid_and_escapes_it(merchant: Merchant) -> None:
    query = {
        "clientKey": CLIENT_KEY,
        "orderId": "order-page-1",
        "amount": "12000",
        "orderName": "<script>alert(1)</script>",
        "successUrl": "https://a/s",
        "failUrl": "https://a/f",
    }
    async with merchant.http.get(f"{merchant.vendor.url}/checkout", params=query) as answer:
        text = await answer.text()
    assert "12,000 KRW" in text
    assert "&lt;script&gt;" in text
    assert "<script>" not in text


# --- Confirm


async def test_an_approved_payment_has_every_documented_key(merchant: Merchant) -> None:
    body = await merchant.authenticated(amount=11_000, orderId="order-keys-1")
    payment = (await merchant.confirm(body)).body
    assert sorted(payment) == sorted(_DOCUMENTED.split())
    assert (payment["status"], payment["method"], payment["orderId"]) == ("DONE", "카드", "order-keys-1")
    assert (payment["totalAmount"], payment["balanceAmount"]) == (11_000, 11_000)
    assert (payment["suppliedAmount"], payment["vat"]) == (10_000, 1000)
    assert payment["card"]["number"] == "400000******007*"
    assert payment["approvedAt"].endswith("+09:00")
    assert await _same(merchant, payment)


async def _same(merchant: Merchant, payment: Json) -> bool:
    by_order = await merchant.call("GET", f"/v1/payments/orders/{payment['orderId']}")
    return (await merchant.look_up(payment["paymentKey"])).body == payment == by_order.body


@pytest.mark.parametrize("change", [{"amount": 49_999}, {"orderId": "another-order"}])
async def test_a_confirm_that_differs_from_the_window_is_refused_and_charges_nothing(
    merchant: Merchant, change: Json
) -> None:
    body = await merchant.authenticated()
    assert (await merchant.confirm(body | change)).code == "INVALID_REQUEST"
    assert (await merchant.confirm(body)).status == 200


@pytest.mark.parametrize("body", [{}, {"paymentKey": 1, "orderId": "x" * 6, "amount": 1}, [], "text"])
async def test_a_malformed_confirm_is_an_invalid_request(merchant: Merchant, body: Any) -> None:
    reply = await merchant.confirm(body)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")


async def test_a_second_confirm_without_key_is_already_processed(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    await merchant.confirm(body)
    reply = await merchant.confirm(body)
    assert (reply.status, reply.code) == (400, "ALREADY_PROCESSED_PAYMENT")


async def test_one_order_id_is_approved_once(merchant: Merchant) -> None:
    first = await merchant.authenticated(orderId="order-twice-1")
    second = await merchant.authenticated(orderId="order-twice-1")
    assert (await merchant.confirm(first)).status == 200
    assert (await merchant.confirm(second)).code == "DUPLICATED_ORDER_ID"


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("4000-0000-0000-0002", "REJECT_CARD_PAYMENT"),
        ("4000-0000-0000-0069", "INVALID_CARD_EXPIRATION"),
        ("4000-0000-0000-0341", "FDS_ERROR"),
    ],
)
async def test_a_refused_card_aborts_the_payment(merchant: Merchant, card: str, code: str) -> None:
    body = await merchant.authenticated(card)
    assert (await merchant.confirm(body)).code == code
    payment = (await merchant.look_up(body["paymentKey"])).body
    assert (payment["status"], payment["failure"]["code"]) == ("ABORTED", code)
    assert (await merchant.confirm(body)).code == "ALREADY_PROCESSED_PAYMENT"


async def test_ten_minutes_after_authentication_the_payment_has_expired(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    merchant.vendor.clock.forward(timedelta(minutes=10))
    reply = await merchant.confirm(body)
    assert (reply.status, reply.code) == (404, "NOT_FOUND_PAYMENT_SESSION")
    payment = (await merchant.look_up(body["paymentKey"])).body
    assert (payment["status"], payment["failure"]["code"]) == ("EXPIRED", "EXPIRED_PAYMENT")
    assert (payment["method"], payment["approvedAt"], payment["useEscrow"]) == (None, None, None)
    assert payment["balanceAmount"] == payment["totalAmount"]


async def test_a_window_closes_after_thirty_minutes(merchant: Merchant) -> None:
    window = await merchant.window()
    merchant.vendor.clock.forward(timedelta(minutes=30))
    url = f"{merchant.vendor.url}/checkout/{window['paymentKey']}/pay"
    async with merchant.http.post(url, data={"card": GOOD_CARD}) as answer:
        assert (await answer.json())["code"] == "NOT_FOUND_PAYMENT_SESSION"


async def test_what_is_not_known_is_not_found(merchant: Merchant) -> None:
    for path in ("/v1/payments/nothing", "/v1/payments/orders/nothing"):
        reply = await merchant.call("GET", path)
        assert (reply.status, reply.code) == (404, "NOT_FOUND_PAYMENT")


# --- Idempotency


async def test_a_replay_is_the_first_answer_byte_for_byte_whatever_the_body(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    first = await merchant.confirm(body, idempotency_key="confirm:1")
    replay = await merchant.confirm(body | {"amount": 1}, idempotency_key="confirm:1")
    assert (replay.status, replay.raw) == (200, first.raw)
    assert first.headers["idempotency-key"] == replay.headers["idempotency-key"] == "confirm:1"
    traces = replay.headers["x-tosspayments-trace-id"].split(",")
    assert traces[0] == first.headers["x-tosspayments-trace-id"]
    assert len(traces) == 2


async def test_a_refusal_is_replayed_even_when_the_body_was_mended(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    assert (await merchant.confirm(body | {"amount": 1}, idempotency_key="k")).code == "INVALID_REQUEST"
    assert (await merchant.confirm(body, idempotency_key="k")).code == "INVALID_REQUEST"
    assert (await merchant.confirm(body, idempotency_key="k2")).status == 200


async def test_the_same_key_in_flight_is_answered_409(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    await merchant.faults(beforeWork={"min": 200, "max": 200})
    replies = await asyncio.gather(*(merchant.confirm(body, idempotency_key="k") for _ in range(3)))
    assert sorted(reply.status for reply in replies) == [200, 409, 409]
    assert {reply.code for reply in replies if reply.status == 409} == {"IDEMPOTENT_REQUEST_PROCESSING"}


async def test_a_key_belongs_to_one_path_and_lives_fifteen_days(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    assert (await merchant.confirm(body, idempotency_key="k")).status == 200
    path = f"/v1/payments/{body['paymentKey']}/cancel"
    reply = await merchant.call("POST", path, {"cancelReason": "x"}, idempotency_key="k")
    assert reply.body["status"] == "CANCELED"
    merchant.vendor.clock.forward(timedelta(days=15))
    assert (await merchant.confirm(body, idempotency_key="k")).code == "ALREADY_PROCESSED_PAYMENT"


async def test_a_key_has_300_characters_at_most(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    assert (await merchant.confirm(body, idempotency_key="k" * 301)).code == "INVALID_IDEMPOTENCY_KEY"
    assert (await merchant.confirm(body, idempotency_key="k" * 300)).status == 200


# --- Cancel


async def test_a_full_cancel_is_canceled_once(merchant: Merchant) -> None:
    key = await merchant.paid()
    payment = (await merchant.cancel(key)).body
    assert (payment["status"], payment["balanceAmount"], payment["totalAmount"]) == ("CANCELED", 0, 50_000)
    assert payment["cancels"][-1]["transactionKey"] == payment["lastTransactionKey"]
    assert payment["cancels"][-1]["cancelStatus"] == "DONE"
    reply = await merchant.cancel(key)
    assert (reply.status, reply.code) == (400, "ALREADY_CANCELED_PAYMENT")


async def test_part_by_part_stays_partially_canceled_at_balance_zero(merchant: Merchant) -> None:
    key = await merchant.paid()
    assert (await merchant.cancel(key, cancelAmount=20_000)).body["balanceAmount"] == 30_000
    payment = (await merchant.cancel(key)).body
    assert (payment["status"], payment["balanceAmount"], len(payment["cancels"])) == ("PARTIAL_CANCELED", 0, 2)
    assert (payment["vat"], payment["suppliedAmount"]) == (0, 0)
    reply = await merchant.cancel(key)
    assert (reply.status, reply.code) == (403, "NOT_CANCELABLE_AMOUNT")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"cancelAmount": 50_001}, "NOT_CANCELABLE_AMOUNT"),
        ({"cancelAmount": 0}, "NOT_CANCELABLE_AMOUNT"),
        ({"cancelAmount": 1, "refundableAmount": 49_999}, "NOT_MATCHES_REFUNDABLE_AMOUNT"),
        ({"cancelReason": ""}, "INVALID_REQUEST"),
        ({"cancelReason": "x" * 201}, "INVALID_REQUEST"),
        ({"currency": "USD"}, "INVALID_REQUEST"),
    ],
)
async def test_a_cancel_that_does_not_fit_changes_nothing(merchant: Merchant, body: Json, code: str) -> None:
    key = await merchant.paid()
    assert (await merchant.cancel(key, **body)).code == code
    assert (await merchant.look_up(key)).body["balanceAmount"] == 50_000
    assert (await merchant.cancel(key, refundableAmount=50_000)).status == 200


async def test_some_cards_give_back_all_or_nothing(merchant: Merchant) -> None:
    key = await merchant.paid(NOT_IN_PARTS_CARD)
    assert (await merchant.look_up(key)).body["isPartialCancelable"] is False
    assert (await merchant.cancel(key, cancelAmount=1)).code == "NOT_ALLOWED_PARTIAL_REFUND"
    assert (await merchant.cancel(key)).body["status"] == "CANCELED"


async def test_what_was_never_charged_cannot_be_cancelled(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    reply = await merchant.cancel(body["paymentKey"])
    assert (reply.status, reply.code) == (403, "NOT_CANCELABLE_PAYMENT")


# --- Failures on request


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("REJECT_CARD_PAYMENT", 403),
        ("ALREADY_PROCESSED_PAYMENT", 400),
        ("DUPLICATED_ORDER_ID", 400),
        ("IDEMPOTENT_REQUEST_PROCESSING", 409),
        ("FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", 500),
        ("COMMON_ERROR", 500),
    ],
)
async def test_a_test_code_comes_back_with_its_status_and_no_effect(merchant: Merchant, code: str, status: int) -> None:
    body = await merchant.authenticated()
    for sent in (body, {"made": "up"}):
        reply = await merchant.confirm(sent, tosspayments_test_code=code)
        assert (reply.status, reply.code) == (status, code)
    assert (await merchant.confirm(body)).status == 200


async def test_messages_are_korean_unless_english_is_asked_for(merchant: Merchant) -> None:
    korean = (await merchant.look_up("x")).body["message"]
    english = (await merchant.call("GET", "/v1/payments/x", accept_language="en-US")).body["message"]
    assert korean == "존재하지 않는 결제 정보 입니다."
    assert english == "There is no such payment."


@pytest.mark.parametrize("by_card", [True, False])
async def test_an_answer_lost_after_the_charge_is_there_for_the_same_key(merchant: Merchant, by_card: bool) -> None:
    body = await merchant.authenticated(LOST_ANSWER_CARD if by_card else GOOD_CARD)
    if not by_card:
        await merchant.faults(loseAnswers=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await merchant.confirm(body, idempotency_key="k")
    reply = await merchant.confirm(body, idempotency_key="k")
    assert (reply.status, reply.body["status"]) == (200, "DONE")


async def test_an_error_after_the_charge_is_not_kept_so_that_the_truth_must_be_looked_up(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    await merchant.faults(failAfterCommit=1)
    assert (await merchant.confirm(body, idempotency_key="k")).status == 500
    assert (await merchant.confirm(body, idempotency_key="k")).code == "ALREADY_PROCESSED_PAYMENT"
    assert (await merchant.look_up(body["paymentKey"])).body["status"] == "DONE"


async def test_unknown_fault_switches_are_refused(merchant: Merchant) -> None:
    async with merchant.http.post(f"{merchant.vendor.url}/__sim/faults", json={"nonsense": 1}) as answer:
        assert answer.status == 422


# --- Ledger


async def test_the_ledger_adds_up(merchant: Merchant) -> None:
    key = await merchant.paid()
    await merchant.cancel(key, cancelAmount=20_000)
    await merchant.cancel(await merchant.paid())
    refused = await merchant.authenticated("4000-0000-0000-0002")
    await merchant.confirm(refused)
    async with merchant.http.get(f"{merchant.vendor.url}/__sim/ledger") as answer:
        ledger = await answer.json()
    assert ledger["totals"] == {"charged": 100_000, "cancelled": 70_000, "kept": 30_000}
    assert ledger["orders"][refused["orderId"]] == {"charged": 0, "cancelled": 0}
    assert [entry["status"] for entry in ledger["payments"]] == ["PARTIAL_CANCELED", "CANCELED", "ABORTED"]
