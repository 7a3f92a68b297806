"""What the vendor's answers mean for money."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_services.payment.domain import Attempt, Order
from tiketi_services.payment.vendor import (
    Decision,
    Meaning,
    VendorPayment,
    Verdict,
    judge,
    keeps_answer,
    meaning,
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
