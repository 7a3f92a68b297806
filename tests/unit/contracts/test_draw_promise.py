"""What counts as a promise to those who have joined a line, and what breaks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.sale_sheets import sale_sheet

from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.sale_sheet import BEHIND, BeaconSheet, DrawPromise, LineSheet, SaleSheet

OPENS = datetime(2027, 3, 1, 11, 0, tzinfo=UTC)
JOINS = OPENS - timedelta(minutes=15)
DRAW_AT = OPENS - timedelta(seconds=30)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def a_line(draw_at: datetime | None = None, joined_from: datetime | None = None) -> LineSheet:
    beacon = None if draw_at is None else BeaconSheet(chain="ab" * 32, round=7)
    times = {"opens_at": OPENS, "closes_at": OPENS + DAY, "draw_at": draw_at, "joined_from": joined_from}
    return LineSheet(name=PUBLIC, sections=("A",), beacon=beacon, **times)


def a_sale(line: LineSheet) -> SaleSheet:
    return sale_sheet(event_id("demo", "show"), OPENS, lines=[line.model_dump(by_alias=True)])


@pytest.mark.parametrize("draw_at", [None, DRAW_AT])
def test_a_promise_is_made_when_buyers_may_join(draw_at: datetime | None) -> None:
    line = a_line(draw_at)
    assert a_sale(line).promise(line, JOINS - BEHIND - SECOND) is None
    for now in (JOINS - BEHIND, JOINS, OPENS, OPENS + DAY):
        promise = a_sale(line).promise(line, now)
        assert promise == DrawPromise(line=PUBLIC, joined_from=JOINS, draw_at=draw_at, beacon=line.beacon)


def test_who_joined_before_a_postponement_is_not_forgotten() -> None:
    line = a_line(None, joined_from=JOINS - DAY)
    promise = a_sale(line).promise(line, JOINS - DAY)
    assert promise is not None
    assert promise.joined_from == JOINS - DAY
    assert a_sale(line).promise(line, JOINS - DAY - BEHIND - SECOND) is None


def test_a_draw_that_is_due_is_promised_whenever_buyers_may_join() -> None:
    line = a_line(JOINS - DAY)
    promise = a_sale(line).promise(line, JOINS - DAY)
    assert promise is not None
    assert promise.draw_at == JOINS - DAY


@pytest.mark.parametrize(
    ("told", "line", "expected"),
    [
        (None, a_line(), False),
        (None, a_line(DRAW_AT), True),
        (DRAW_AT, a_line(), True),
        (DRAW_AT, a_line(DRAW_AT), False),
        (DRAW_AT, a_line(DRAW_AT + DAY), False),
        (DRAW_AT, a_line(JOINS + SECOND), False),
        (DRAW_AT, a_line(JOINS - SECOND), True),
        (JOINS - DAY, a_line(JOINS - DAY), False),
        (JOINS - DAY, a_line(JOINS - 2 * DAY), True),
        (JOINS - DAY, a_line(DRAW_AT), True),
        (JOINS, a_line(DRAW_AT), True),
    ],
)
def test_a_promise_is_broken_by_another_order_or_a_draw_in_the_past(
    told: datetime | None, line: LineSheet, expected: bool
) -> None:
    promise = DrawPromise(line=PUBLIC, joined_from=JOINS - DAY, draw_at=told)
    assert promise.is_broken_by(line, JOINS) is expected
