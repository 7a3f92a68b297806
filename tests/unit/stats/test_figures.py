"""What messages and readings add up to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.sale_sheets import sale_sheet

from tiketi_runtime.contracts.identity import BuyerId, OrderId, SeatId, event_id
from tiketi_runtime.contracts.messages import OrderClosed, OrderPlaced, PaymentRefused, PaymentSettled, TicketsIssued
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.stats.domain import AdmissionRate, Fact, Reading, Totals, fact_of, figures_of, is_held, p95_of

EVENT = event_id("demo", "first-sale")
NOW = datetime(2027, 3, 1, 11, tzinfo=UTC)
ORDER = OrderId("7a0c4d4e-0000-4000-8000-000000000001")
BUYER = BuyerId("7a0c4d4e-0000-4000-8000-0000000000b1")
FRONT, SECOND = SeatId("ST-0001"), SeatId("ST-0002")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def sheet_of(capacity: int) -> SaleSheet:
    return sale_sheet(EVENT, NOW, sections=[{"name": "ST", "price": 99_000, "capacity": capacity}], lines=[])


def reading(*, held: frozenset[SeatId] = frozenset(), capacity: int = 10) -> Reading:
    return Reading(NOW, sheet_of(capacity=capacity), waiting=7, active=3, held=held, admitted=0)


def test_every_message_becomes_the_one_fact_it_tells() -> None:
    common = {"order": ORDER, "event": EVENT, "at": NOW}
    money = {"buyer": BUYER, "amount": 330_000, "currency": "KRW"}
    placed = OrderPlaced(**common, **money, seats=(FRONT, SECOND), order_name="2 tickets", pay_by=NOW)
    settled = PaymentSettled(**common, **money, payment_key="p", outcome="signed")
    issued = TicketsIssued(**common, **money, seats=(FRONT, SECOND))
    closed = OrderClosed(**common, seats=(FRONT, SECOND))
    refused = PaymentRefused(**common, attempt="a", code="REJECT_CARD_PAYMENT")

    assert fact_of(placed) == Fact(ORDER, EVENT, (FRONT, SECOND), 330_000, "KRW", placed_at=NOW)
    assert fact_of(settled) == Fact(ORDER, EVENT, None, 330_000, "KRW", settled_at=NOW)
    assert fact_of(issued) == Fact(ORDER, EVENT, (FRONT, SECOND), 330_000, "KRW", issued_at=NOW)
    assert fact_of(closed) == Fact(ORDER, EVENT, (FRONT, SECOND), closed_at=NOW)
    assert fact_of(refused) == Fact(ORDER, EVENT, refusals=1)


def test_a_seat_that_is_painted_and_ordered_is_held_once() -> None:
    figures = figures_of(reading(held=frozenset({FRONT, SECOND})), Totals(open_seats=frozenset({SECOND})), 0)
    assert (figures.held, figures.remaining) == (2, 8)


def test_an_ordered_seat_stays_held_when_its_paint_is_gone() -> None:
    figures = figures_of(reading(), Totals(open_seats=frozenset({FRONT})), 0)
    assert (figures.held, figures.remaining) == (1, 9)


def test_the_percentile_is_that_of_holds_and_orders_in_all_windows() -> None:
    windows = [{b"hold:12": b"90", b"confirm:60": b"500"}, {}, {b"order:40": b"10", b"slow": b"7", b"faults": b"3"}]
    assert p95_of(windows) == 1024
    assert p95_of(windows[:2]) == 8
    assert p95_of([{b"confirm:60": b"500"}]) is None


def test_what_remains_is_neither_held_nor_sold() -> None:
    figures = figures_of(reading(held=frozenset({FRONT})), Totals(sold=4, revenue=400), 0)
    assert (figures.totals.sold, figures.held, figures.remaining) == (4, 1, 5)


def test_what_remains_is_never_below_zero_while_the_two_sources_lag() -> None:
    figures = figures_of(reading(held=frozenset({FRONT}), capacity=4), Totals(sold=4), 0)
    assert figures.remaining == 0


def test_figures_name_the_object_they_speak_of() -> None:
    assert figures_of(reading(), Totals(), 0).uid == reading().sheet.uid


def test_the_rate_counts_buyers_admitted_in_the_last_minute() -> None:
    rate = AdmissionRate()
    answers = [rate.observe(NOW + seconds(second), second * 10) for second in range(0, 121, 2)]
    assert answers[-1] == 600


def test_the_rate_begins_with_what_was_seen() -> None:
    rate = AdmissionRate()
    assert rate.observe(NOW, 5_000) == 0
    assert rate.observe(NOW + seconds(2), 5_040) == 40


def test_the_rate_ends_a_minute_after_the_last_admission() -> None:
    rate = AdmissionRate()
    rate.observe(NOW, 0)
    rate.observe(NOW + seconds(2), 100)
    assert rate.observe(NOW + seconds(60), 100) == 100
    assert rate.observe(NOW + seconds(62), 100) == 0


def test_the_rate_begins_anew_when_the_counter_was_lost() -> None:
    rate = AdmissionRate()
    rate.observe(NOW, 5_000)
    assert rate.observe(NOW + seconds(2), 3) == 0
    assert rate.observe(NOW + seconds(4), 9) == 6


@pytest.mark.parametrize(
    ("paint", "held"),
    [
        (f"h1|{BUYER}|{int(NOW.timestamp() * 1000) + 1}", True),
        (f"h1|{BUYER}|{int(NOW.timestamp() * 1000)}", False),
        ("sold", False),
    ],
)
def test_a_seat_is_held_until_its_hold_runs_out(paint: str, held: bool) -> None:
    assert is_held(paint.encode(), NOW) is held
