"""What the vendor's answers mean for money."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_services.payment.domain import Attempt, MalformedWebhook, Order
from tiketi_services.payment.vendor import (
    Decision,
    Meaning,
    VendorPayment,
    Verdict,
    buyers_mistake,
    judge,
    keeps_answer,
    meaning,
    read_webhook,
)

ORDER = Order(uuid4(), EventId("demo/sale"), BuyerId("anna"), 50_000, "KRW", "A seat", datetime.now(UTC))
ATTEMPT = Attempt(uuid4(), ORDER, "tk_1", "key-1", 1, "confirm:tk_1:1")
DONE = VendorPayment("key-1", "tk_1", "DONE", "KRW", 50_000, 50_000)


def test_a_payment_that_agrees_in_everything_is_approval() -> None:
    assert judge(ATTEMPT, DONE) == Verdict(Decision.APPROVED)


@pytest.mark.parametrize(
    "change", [{"total_amount": 49_999, "balance_amount": 49_999}, {"balance_amount": 40_000}, {"currency": "USD"}]
)
def test_money_other_than_the_orders_goes_back(change: dict[str, object]) -> None:
    assert judge(ATTEMPT, replace(DONE, **change)).decision is Decision.CANCEL  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"order_id": "tk_2"}, {"payment_key": "key-2"}])
@pytest.mark.parametrize("status", ["DONE", "IN_PROGRESS", "CANCELED"])
def test_a_payment_of_another_order_never_pays_this_one(change: dict[str, str], status: str) -> None:
    payment = replace(DONE, status=status, **change)  # type: ignore[arg-type]
    assert judge(ATTEMPT, payment) == Verdict(Decision.REFUSED, "FOREIGN_PAYMENT")


@pytest.mark.parametrize("status", ["READY", "IN_PROGRESS", "WAITING_FOR_DEPOSIT", "SOMETHING_NEW"])
def test_a_state_that_is_not_final_decides_nothing(status: str) -> None:
    assert judge(ATTEMPT, replace(DONE, status=status)).decision is Decision.UNDECIDED


def test_an_ended_payment_is_refused_with_the_vendors_reason() -> None:
    aborted = replace(DONE, status="ABORTED", failure_code="REJECT_CARD_PAYMENT")
    assert judge(ATTEMPT, aborted) == Verdict(Decision.REFUSED, "REJECT_CARD_PAYMENT")
    assert judge(ATTEMPT, replace(DONE, status="EXPIRED")) == Verdict(Decision.REFUSED, "EXPIRED")


@pytest.mark.parametrize("status", ["CANCELED", "PARTIAL_CANCELED"])
def test_given_back_is_balance_zero_and_never_the_status(status: str) -> None:
    assert judge(ATTEMPT, replace(DONE, status=status, balance_amount=0)).decision is Decision.REFUSED
    assert judge(ATTEMPT, replace(DONE, status=status, balance_amount=1)).decision is Decision.UNDECIDED


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "REJECT_CARD_PAYMENT", Meaning.REFUSED),
        (400, "INVALID_STOPPED_CARD", Meaning.REFUSED),
        (400, "EXCEED_MAX_AMOUNT", Meaning.REFUSED),
        (404, "NOT_FOUND_PAYMENT_SESSION", Meaning.REFUSED),
        (403, "FDS_ERROR", Meaning.REFUSED),
        (400, "PROVIDER_ERROR", Meaning.UNKNOWN),
        (400, "ALREADY_PROCESSED_PAYMENT", Meaning.UNKNOWN),
        (400, "DUPLICATED_ORDER_ID", Meaning.UNKNOWN),
        (409, "IDEMPOTENT_REQUEST_PROCESSING", Meaning.UNKNOWN),
        (429, "TOO_MANY_REQUESTS", Meaning.UNKNOWN),
        (500, "COMMON_ERROR", Meaning.UNKNOWN),
        (502, "UNREADABLE_ANSWER", Meaning.UNKNOWN),
        (500, "REJECT_CARD_PAYMENT", Meaning.UNKNOWN),
        (400, "A_CODE_NOBODY_HAS_SEEN", Meaning.UNKNOWN),
        (401, "UNAUTHORIZED_KEY", Meaning.OURS),
        (401, "ANYTHING", Meaning.OURS),
        (400, "INVALID_API_KEY", Meaning.OURS),
        (403, "INCORRECT_BASIC_AUTH_FORMAT", Meaning.OURS),
        (400, "INVALID_REQUEST", Meaning.OURS),
    ],
)
def test_codes_decide_and_an_unseen_one_decides_nothing(status: int, code: str, expected: Meaning) -> None:
    assert meaning(status, code) is expected


def test_the_vendor_keeps_its_4xx_answers_except_in_flight() -> None:
    assert [keeps_answer(status) for status in (400, 403, 404, 409, 429, 500)] == [True, True, True, False, True, False]


# --- Webhooks


@pytest.mark.parametrize(
    ("body", "order_id"),
    [
        (b'{"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "tk_x", "status": "DONE", "new": 1}}', "tk_x"),
        (b'{"createdAt": "2022-01-01T00:00:00", "secret": "s", "status": "DONE", "orderId": "tk_y"}', "tk_y"),
        (b'{"eventType": "payout.changed", "data": {"id": 1}}', None),
        (b'{"orderId": "outside", "data": {}}', None),
        (b"{}", None),
    ],
)
def test_a_webhook_says_which_order_to_look_at_and_nothing_else(body: bytes, order_id: str | None) -> None:
    webhook = read_webhook("whtrans_1", "3", body)
    assert (webhook.transmission_id, webhook.retried_count, webhook.order_id) == ("whtrans_1", 3, order_id)
    assert webhook.body == body


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"x", b"\xff", b'{"data": 1}', b'{"orderId": []}'])
def test_what_is_no_webhook_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhook):
        read_webhook("whtrans_1", "0", body)


def test_without_a_usable_transmission_id_the_content_stands_for_it() -> None:
    odd = [read_webhook(name, "x", b"{}") for name in ("", " ", "x" * 201, "\x00", "a\nb")]
    assert {webhook.transmission_id for webhook in odd} == {odd[0].transmission_id}
    assert odd[0].transmission_id.startswith("body:")
    assert odd[0].retried_count == 0
    assert read_webhook("", "0", b'{"a": 1}').transmission_id != odd[0].transmission_id


# --- What the buyer came with


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({}, None),
        ({"order_id": "tk_other"}, "FOREIGN_PAYMENT"),
        ({"total_amount": 4999}, "AMOUNT_DIFFERS"),
        ({"currency": "JPY"}, "AMOUNT_DIFFERS"),
    ],
)
def test_a_payment_that_cannot_be_this_attempts_is_the_buyers_mistake(
    changes: dict[str, object], mistake: str | None
) -> None:
    payment = VendorPayment("key", "tk_a", "IN_PROGRESS", "KRW", 5000, 5000)
    assert buyers_mistake("tk_a", 5000, "KRW", replace(payment, **changes)) == mistake  # type: ignore[arg-type]
