"""What the state message says, and how a group's part is put together with the common one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.ticket.sales.a_sale import a_sale

from tiketi_runtime.contracts.sale_sheet import Admission, SaleSheet
from tiketi_services.ticket.queue.domain import LineState
from tiketi_services.ticket.queue.places.positions import Positions
from tiketi_services.ticket.queue.places.states import Reading, content_of

SALE = a_sale("show")
(LINE,) = SALE.lines


def a_state(**changes: Any) -> LineState:
    """Seqs 1 to 3 wait; ten places are taken, four of them sold."""
    state = LineState(
        now=datetime.now(UTC),
        epoch=3,
        horizon=0,
        entries=None,
        is_drawn=False,
        waiting=3,
        offered=1,
        active=2,
        sold=4,
        taken={"A": 10},
        per_minute=None,
        no_shows=0.0,
        pace={},
        crowded={},
        living=bytes([0b01110000]),
        holding=1,
        admitted=5,
    )
    return replace(state, **changes)


def content(sale: SaleSheet = SALE, **changes: Any) -> dict[str, Any]:
    return content_of(sale, sale.lines[0], a_state(**changes), is_drawn=False)


def a_reading(**changes: Any) -> Reading:
    state = a_state()
    standings = Positions().update(state.living)
    reading = Reading(state, None, standings, b'{"event":"demo/show"}', 'W/"abc"', version=1, read_at=0.0)
    return replace(reading, **changes)


def test_what_is_left_and_what_could_be_bought_now_are_told_apart() -> None:
    told = content()
    assert (told["remaining"], told["free"]) == (96, 90)


def test_more_taken_than_there_is_leaves_nothing() -> None:
    assert content(taken={"A": 120})["free"] == 0


@pytest.mark.parametrize(("adaptive", "told"), [(None, 6_000), (120, 120)])
def test_the_rate_is_the_policys_until_adaptive_admission_sets_another(adaptive: int | None, told: int) -> None:
    assert content(per_minute=adaptive)["ratePerMinute"] == told


def test_the_pace_is_a_range_and_unknown_while_paused() -> None:
    later = a_sale("later", opens_in=timedelta(minutes=5))
    pace = content(later)["pace"]
    assert 0 < pace["low"] <= pace["high"]
    assert content(later.model_copy(update={"admission": Admission.PAUSED}))["pace"] is None


def test_the_chance_falls_with_the_stock() -> None:
    few, many = content(taken={"A": 98})["reach"], content()["reach"]
    assert few["likely"] <= few["doubtful"]
    assert few["likely"] < many["likely"]


def test_the_same_line_a_moment_later_is_nothing_new() -> None:
    now = datetime.now(UTC)
    assert content(now=now) == content(now=now + timedelta(milliseconds=300))


def test_a_group_hears_the_common_part_and_its_own() -> None:
    reading = a_reading()
    assert json.loads(reading.body(None)) == {"event": "demo/show"}
    assert json.loads(reading.body(0)) == {"event": "demo/show", "group": 0, "ahead": 0, "alive": f"{0b111:016x}"}
    assert json.loads(reading.body(1)) == {"event": "demo/show", "group": 1, "ahead": 3, "alive": "0" * 16}


def test_a_groups_tag_changes_with_its_own_part_only() -> None:
    before = a_reading()
    after = a_reading(standings=Positions().update(bytes([0b01110000, *[0] * 8, 0b01000000])))
    assert before.tag(None) == after.tag(None)
    assert before.tag(0) == after.tag(0)
    assert before.tag(1) != after.tag(1)
    assert {tag[:3] for tag in (before.tag(None), before.tag(0))} == {'W/"'}


def test_before_the_draw_nobody_has_a_place_or_a_group() -> None:
    reading = a_reading(standings=None)
    assert reading.place(1) is None
    assert reading.body(0) == reading.body(None)
    assert reading.tag(0) == reading.tag(None)
