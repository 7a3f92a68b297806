"""What a client reads out of the state message."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tiketi_local.crowd.live import LiveLine, Wait, position_in, wait_in

STATE: dict[str, Any] = {
    "phase": "OnSale",
    "serverTime": "2026-11-23T10:00:00Z",
    "opensAt": "2026-11-23T09:00:00Z",
    "horizon": 70,
    "group": 1,
    "ahead": 3,
    "alive": f"{0b1011:016x}",
    "pace": {"low": 10.0, "high": 20.0},
}


@pytest.mark.parametrize(("place", "position"), [(65, 4), (66, 5), (68, 6), (67, None)])
def test_a_position_counts_those_before_the_group_and_those_before_in_it(place: int, position: int | None) -> None:
    assert position_in(STATE, place) == position


def test_the_state_of_another_group_says_nothing_of_a_place() -> None:
    assert position_in(STATE, 64) is None
    assert position_in({**STATE, "group": None}, 65) is None


def test_the_wait_is_a_range_by_the_pace() -> None:
    assert wait_in(STATE, 21) == Wait(timedelta(minutes=1), timedelta(minutes=2))
    assert wait_in(STATE, 1) == Wait(timedelta(), timedelta())


def test_before_the_opening_the_wait_begins_with_it() -> None:
    state = {**STATE, "opensAt": "2026-11-23T10:05:00Z"}
    assert wait_in(state, 21) == Wait(timedelta(minutes=6), timedelta(minutes=7))


def test_an_unknown_pace_is_an_unknown_wait() -> None:
    assert wait_in({**STATE, "pace": None}, 21) is None
    assert wait_in({**STATE, "pace": {"low": 0.0, "high": 5.0}}, 11) == Wait(timedelta(minutes=2), None)


async def test_a_turn_comes_when_the_horizon_passes_the_place_even_if_that_is_drawn_late() -> None:
    line = LiveLine()
    turn = asyncio.create_task(line.until_turn())
    line.put_state(STATE)
    line.put_place({"seq": 9, "place": None})
    await asyncio.sleep(0)
    assert not turn.done()
    assert (line.position, line.wait) == (None, None)
    line.put_place({"seq": 9, "place": 66})
    assert await turn
    assert line.position == 5


async def test_a_sale_that_is_over_has_no_turn() -> None:
    line = LiveLine()
    line.put_state({**STATE, "phase": "SoldOut"})
    assert not await line.until_turn()
