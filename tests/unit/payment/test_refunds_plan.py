"""The next step of a refund, by what the vendor shows."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from tiketi_services.payment.refunds_plan import (
    BALANCE_TOO_SMALL,
    UNDER_WAY,
    Next,
    PayBack,
    Step,
    cancel_meaning,
    next_step,
)
from tiketi_services.payment.vendor import FOREIGN_PAYMENT, Meaning, VendorCancel, VendorPayment

REFUND = UUID("11111111-2222-4333-8444-555555555555")
NEW = PayBack(REFUND, UUID(int=1), "key", 1_000, "buyer", 1, is_called=False, locked_balance=None, tries=0)
CALLED = replace(NEW, is_called=True, locked_balance=3_000)
MINE = VendorCancel(NEW.vendor_reason, 1_000)


def payment(balance: int, *cancels: VendorCancel, status: str = "PARTIAL_CANCELED") -> VendorPayment:
    return VendorPayment("key", "tk_1", status, "KRW", 3_000, balance, cancels=cancels)


@pytest.mark.parametrize(
    ("pay_back", "shown", "step"),
    [
        (NEW, payment(3_000, status="DONE"), Step(Next.CALL, 3_000, 1)),
        (CALLED, payment(3_000, status="DONE"), Step(Next.CALL, 3_000, 1)),
        (replace(CALLED, tries=5), payment(3_000, status="DONE"), Step(Next.CALL, 3_000, 2)),
        (CALLED, payment(2_000, MINE), Step(Next.DONE, 2_000)),
        (NEW, payment(0, MINE, VendorCancel("by hand", 2_000)), Step(Next.DONE, 0)),
        (CALLED, payment(2_000, VendorCancel("by hand", 1_000)), Step(Next.CALL, 2_000, 2)),
        (CALLED, payment(2_000, replace(MINE, status="IN_PROGRESS")), Step(Next.WAIT, code=UNDER_WAY)),
        (CALLED, payment(3_000, replace(MINE, status="ABORTED")), Step(Next.CALL, 3_000, 1)),
        (CALLED, payment(2_500, replace(MINE, amount=500)), Step(Next.WAIT, code=UNDER_WAY)),
        (NEW, payment(999), Step(Next.IMPOSSIBLE, code=BALANCE_TOO_SMALL)),
        (NEW, payment(3_000, status="IN_PROGRESS"), Step(Next.IMPOSSIBLE, code=BALANCE_TOO_SMALL)),
        (replace(NEW, payment_key="other"), payment(3_000), Step(Next.IMPOSSIBLE, code=FOREIGN_PAYMENT)),
    ],
)
def test_the_vendors_own_list_decides_what_to_do_next(pay_back: PayBack, shown: VendorPayment, step: Step) -> None:
    assert next_step(pay_back, shown) == step


@pytest.mark.parametrize(
    ("status", "code", "what"),
    [
        (403, "NOT_ALLOWED_PARTIAL_REFUND", Meaning.REFUSED),
        (403, "EXCEED_MAX_REFUND_DUE", Meaning.REFUSED),
        (401, "UNAUTHORIZED_KEY", Meaning.OURS),
        (400, "INVALID_REQUEST", Meaning.OURS),
        (400, "PROVIDER_ERROR", Meaning.UNKNOWN),
        (400, "NOT_MATCHES_REFUNDABLE_AMOUNT", Meaning.UNKNOWN),
        (403, "FORBIDDEN_CONSECUTIVE_REQUEST", Meaning.UNKNOWN),
        (409, "IDEMPOTENT_REQUEST_PROCESSING", Meaning.UNKNOWN),
        (500, "NOT_CANCELABLE_AMOUNT", Meaning.UNKNOWN),
        (400, "NEVER_SEEN", Meaning.UNKNOWN),
    ],
)
def test_codes_decide_what_an_answer_means(status: int, code: str, what: Meaning) -> None:
    assert cancel_meaning(status, code) is what


def test_key_and_reason_name_the_refund() -> None:
    assert NEW.idempotency_key == f"refund:{REFUND}:1"
    assert NEW.vendor_reason == f"buyer {REFUND}"
    assert len(NEW.vendor_reason) <= 200
