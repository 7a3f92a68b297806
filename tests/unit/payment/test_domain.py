"""Rules about orders and attempts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_runtime.contracts.messages import OrderPlaced
from tiketi_services.payment.domain import (
    Order,
    OrderDiffers,
    OrderState,
    check_same,
    confirm_key,
    new_vendor_order_id,
    why_not_payable,
)
from tiketi_services.payment.schemas import IntentClaims

PAY_BY = datetime(2026, 11, 23, 12, 0, 30, 987_654, UTC)
FACTS = {
    "order": str(uuid4()),
    "event": "demo/sale",
    "buyer": "anna",
    "amount": 5000,
    "currency": "KRW",
    "orderName": "A seat",
}


def test_message_and_intent_of_one_order_agree_though_one_counts_microseconds() -> None:
    message = OrderPlaced.model_validate({**FACTS, "seats": ["A-01-01"], "payBy": PAY_BY})
    intent = IntentClaims.model_validate({**FACTS, "payBy": int(PAY_BY.timestamp())})
    check_same(Order.placed(message), intent.to_order())


@pytest.mark.parametrize("changed", [{"amount": 4999}, {"buyer": "boris"}, {"orderName": "Two seats"}])
def test_another_fact_about_a_known_order_is_refused(changed: dict[str, object]) -> None:
    known = IntentClaims.model_validate({**FACTS, "payBy": 1}).to_order()
    with pytest.raises(OrderDiffers):
        check_same(known, IntentClaims.model_validate({**FACTS, **changed, "payBy": 1}).to_order())


def test_vendor_order_ids_are_such_as_the_vendor_takes_and_never_the_same() -> None:
    ids = {new_vendor_order_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"tk_[a-z0-9]{26}", one) for one in ids)
    assert all(len(confirm_key(one, 9)) <= 300 for one in ids)


def test_the_orders_name_is_cut_to_what_the_vendor_takes() -> None:
    order = Order(uuid4(), EventId("a/b"), BuyerId("c"), 1, "KRW", "x" * 101, datetime.now(UTC) + timedelta(1))
    assert len(order.vendor_order_name) == 100


@pytest.mark.parametrize(
    ("state", "overdue", "code"),
    [
        (OrderState.PAID, False, "order-paid"),
        (OrderState.PAID, True, "order-paid"),
        (OrderState.REFUNDED, False, "order-paid"),
        (OrderState.CLOSED, True, "order-closed"),
        (OrderState.OPEN, True, "pay-by-passed"),
        (OrderState.OPEN, False, "attempt-under-way"),
    ],
)
def test_the_buyer_is_told_the_strongest_reason(state: OrderState, overdue: bool, code: str) -> None:
    assert why_not_payable(state, overdue=overdue).code == code
