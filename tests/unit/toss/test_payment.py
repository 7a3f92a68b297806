"""The simulated payment by itself: clocks, balances, masks. What HTTP adds is tested over HTTP."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_local.toss import cards
from tiketi_local.toss.document import payment_document
from tiketi_local.toss.errors import STATUS_OF, TossError
from tiketi_local.toss.payment import CancelRequest, Payment, Status
from tiketi_local.toss.vendor import Vendor, WindowRequest

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GOOD_CARD = "4000000000000077"


def ready(amount: int = 50_000) -> Payment:
    return Payment(
        payment_key="tiketisim20261123210000abcde",
        order_id="order-1",
        order_name="A seat",
        currency="KRW",
        amount=amount,
        client_key="test_ck_x",
        success_url="https://a/s",
        fail_url="https://a/f",
        requested_at=NOW,
    )


def done(amount: int = 50_000) -> Payment:
    return ready(amount).authenticated(GOOD_CARD, NOW).approved("txrd_1", NOW)


@pytest.mark.parametrize(
    ("payment", "minutes", "status"),
    [
        (ready(), 29.9, Status.READY),
        (ready(), 30, Status.EXPIRED),
        (ready().authenticated(GOOD_CARD, NOW), 9.9, Status.IN_PROGRESS),
        (ready().authenticated(GOOD_CARD, NOW), 10, Status.EXPIRED),
        (done(), 1_000_000, Status.DONE),
    ],
)
def test_time_ends_what_is_not_charged(payment: Payment, minutes: float, status: Status) -> None:
    assert payment.at(NOW + timedelta(minutes=minutes)).status is status


def test_less_than_the_least_amount_is_refused_at_confirm() -> None:
    payment = ready(99).authenticated(GOOD_CARD, NOW).approved("t", NOW)
    assert (payment.status, payment.charged) == (Status.ABORTED, 0)
    assert payment.failure is not None
    assert payment.failure.code == "BELOW_MINIMUM_AMOUNT"


@given(st.integers(100, 10**9), st.lists(st.one_of(st.none(), st.integers(-5, 10**9)), max_size=8))
def test_no_row_of_cancels_gives_back_more_than_was_charged(amount: int, cancels: list[int | None]) -> None:
    payment = done(amount)
    for cancel in cancels:
        with contextlib.suppress(TossError):  # refused: nothing may have changed
            payment = payment.cancelled_by(CancelRequest(reason="x", amount=cancel), "t", NOW)
    assert payment.balance == amount - payment.cancelled >= 0
    assert (payment.status is Status.DONE) == (payment.cancelled == 0)
    document = payment_document(payment, "https://a")
    assert document["suppliedAmount"] + document["vat"] == document["balanceAmount"] == payment.balance


def test_the_vendor_tells_its_journal_before_it_answers_and_goes_on_from_it() -> None:
    told: list[Payment] = []
    vendor = Vendor(told.append)
    window = WindowRequest("test_ck_x", "order-1", "A seat", 1000, "KRW", "https://a/s", "https://a/f")
    key = vendor.open_window(window, NOW).payment_key
    vendor.authenticate(key, GOOD_CARD, NOW)
    vendor.confirm(key, "order-1", 1000, "test_ck_", NOW)
    assert [payment.status for payment in told] == [Status.READY, Status.IN_PROGRESS, Status.DONE]
    again = Vendor(told.append, told[-1:])
    assert again.look_up(key, NOW) == again.look_up_order("order-1", NOW) == told[-1]


def test_a_secret_key_of_the_other_kind_cannot_confirm() -> None:
    vendor = Vendor(lambda _: None)
    window = WindowRequest("test_gck_x", "order-1", "A seat", 1000, "KRW", "https://a/s", "https://a/f")
    key = vendor.open_window(window, NOW).payment_key
    vendor.authenticate(key, GOOD_CARD, NOW)
    with pytest.raises(TossError, match="INVALID_API_KEY"):
        vendor.confirm(key, "order-1", 1000, "test_ck_", NOW)


@pytest.mark.parametrize("order_id", ["short", "x" * 65, "has space", "späce-1"])
def test_order_ids_are_checked(order_id: str) -> None:
    window = WindowRequest("test_ck_x", order_id, "A seat", 1000, "KRW", "https://a/s", "https://a/f")
    with pytest.raises(TossError, match="INVALID_REQUEST"):
        window.check()


def test_cards_are_read_with_or_without_hyphens_and_shown_masked() -> None:
    assert cards.digits("4000-0000 0000-0077") == GOOD_CARD
    assert cards.masked(GOOD_CARD) == "400000******007*"
    with pytest.raises(ValueError, match="12 to 19 digits"):
        cards.digits("4000")


def test_every_documented_code_has_a_status() -> None:
    assert STATUS_OF["REJECT_CARD_PAYMENT"] == 403
    assert STATUS_OF["PROVIDER_ERROR"] == 400
    assert set(STATUS_OF.values()) == {400, 401, 403, 404, 409, 429, 500}
