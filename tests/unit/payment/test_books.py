"""What our books and the vendor's do not agree on, and what is only late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from tiketi_services.payment.books import (
    Kind,
    Listed,
    OurPayment,
    Transaction,
    agrees,
    bounds,
    by_payment,
    day_of,
    find_ours,
    judge_books,
)
from tiketi_services.payment.domain import AttemptState
from tiketi_services.payment.vendor import VendorPayment

DAY = date(2026, 11, 22)
PAID = VendorPayment("key", "tk_a", "DONE", "KRW", 5000, 5000)
OURS = OurPayment(uuid4(), "tk_a", "key", AttemptState.DONE, 5000, "KRW", True, 0, False)
PARTLY = replace(PAID, status="PARTIAL_CANCELED", balance_amount=3000)
GIVEN_BACK = replace(PAID, status="CANCELED", balance_amount=0)


@pytest.mark.parametrize(
    ("payment", "ours", "kind"),
    [
        (PAID, OURS, None),
        (PAID, None, Kind.UNKNOWN_PAYMENT),
        (GIVEN_BACK, None, Kind.UNKNOWN_PAYMENT),
        (replace(PAID, status="ABORTED"), None, None),
        (PAID, replace(OURS, payment_key=None, state=AttemptState.READY, is_outcome=False), Kind.STRAY_CHARGE),
        (PAID, replace(OURS, payment_key="other"), Kind.STRAY_CHARGE),
        (GIVEN_BACK, replace(OURS, payment_key="other"), None),
        (replace(PAID, status="IN_PROGRESS"), replace(OURS, payment_key="other"), None),
        (PAID, replace(OURS, state=AttemptState.CONFIRMING, is_outcome=False), None),
        (PAID, replace(OURS, state=AttemptState.UNKNOWN, is_outcome=False), None),
        (PAID, replace(OURS, state=AttemptState.REFUSED, is_outcome=False), Kind.CHARGED_THOUGH_REFUSED),
        (GIVEN_BACK, replace(OURS, state=AttemptState.REFUSED, is_outcome=False), None),
        (replace(PAID, status="EXPIRED"), OURS, Kind.MISSING_AT_VENDOR),
        (replace(PAID, status="IN_PROGRESS"), OURS, Kind.MISSING_AT_VENDOR),
        (replace(PAID, total_amount=4000, balance_amount=4000), OURS, Kind.AMOUNT_DIFFERS),
        (replace(PAID, currency="JPY"), OURS, Kind.AMOUNT_DIFFERS),
        (PARTLY, OURS, Kind.CANCELLED_THERE),
        (PARTLY, replace(OURS, given_back=2000), None),
        (PARTLY, replace(OURS, given_back=5000), Kind.NOT_GIVEN_BACK),
        (PARTLY, replace(OURS, is_moving=True), None),
        (PAID, replace(OURS, is_outcome=False), Kind.NOT_GIVEN_BACK),
        (PAID, replace(OURS, is_outcome=False, is_moving=True), None),
        (GIVEN_BACK, replace(OURS, is_outcome=False, given_back=5000), None),
    ],
)
def test_what_a_payment_and_our_books_do_not_agree_on(
    payment: VendorPayment, ours: OurPayment | None, kind: Kind | None
) -> None:
    finding = judge_books(payment, ours)
    assert (finding and finding.kind) == kind


@pytest.mark.parametrize(
    ("changes", "agree"),
    [
        ({}, True),
        ({"charged": 4999}, False),
        ({"charged": 0}, False),
        ({"given_back": 1}, False),
        ({"currency": "JPY"}, False),
        ({"order_id": "tk_b"}, False),
        ({"payment_key": "other"}, False),
    ],
)
def test_only_what_agrees_at_first_sight_is_not_read_at_the_vendor(changes: dict[str, object], agree: bool) -> None:
    listed = Listed("key", "tk_a", "KRW", charged=5000)
    assert agrees(replace(listed, **changes), OURS) is agree  # type: ignore[arg-type]
    assert not agrees(listed, replace(OURS, is_outcome=False))
    assert not agrees(listed, None)


def _row(status: str, amount: int, at: datetime, key: str = "key") -> Transaction:
    return Transaction(f"{status}{amount}{at}", key, "tk_a", status, amount, "KRW", at)


def test_a_days_rows_are_put_together_by_payment() -> None:
    begin, end = bounds(DAY)
    noon = begin + timedelta(hours=12)
    rows = [
        _row("DONE", 5000, begin),
        _row("PARTIAL_CANCELED", 1000, noon),
        _row("PARTIAL_CANCELED", 500, noon + timedelta(seconds=1)),
        _row("DONE", 700, noon, "other"),
        _row("ABORTED", 900, noon, "refused"),
        _row("DONE", 1, begin - timedelta(seconds=1), "day before"),
        _row("DONE", 1, end, "day after"),
    ]
    assert by_payment(rows, DAY) == {
        "key": Listed("key", "tk_a", "KRW", 5000, 1500),
        "other": Listed("other", "tk_a", "KRW", 700, 0),
    }


def test_the_vendors_day_is_korean() -> None:
    assert day_of(datetime(2026, 11, 22, 14, 59, 59, tzinfo=UTC)) == DAY
    assert day_of(datetime(2026, 11, 22, 15, tzinfo=UTC)) == date(2026, 11, 23)
    assert [moment.astimezone(UTC).hour for moment in bounds(DAY)] == [15, 15]


def test_a_payment_belongs_to_the_attempt_bound_to_it_before_the_one_it_names() -> None:
    bound = replace(OURS, vendor_order_id="tk_b")
    named = replace(OURS, payment_key=None)
    assert find_ours("key", "tk_a", [named, bound]) is bound
    assert find_ours("key", "tk_a", [named]) is named
    assert find_ours("key", "tk_c", [named]) is None
