"""What buyers are told about their wait and their chance comes true as often as it says. Over simulated sales."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import pytest
from tests.simulation.ideal_sale import OPENS, IdealSale, any_crowd

from tiketi_services.ticket.queue.places.outlook import (
    Chance,
    Gate,
    Pace,
    Reach,
    Stock,
    chance_of,
    eta_of,
    pace_of,
    reach_of,
)

SALES = 1_500
TOLD_AT = (0, 5, 20, 60, 120, 240, 400, 600, 900)
"""Seconds from the opening."""
ASKED_EACH_TIME = 8
A_STRETCH = timedelta(seconds=10)
SAID = {Chance.LIKELY: 0.95, Chance.DOUBTFUL: 0.5, Chance.UNLIKELY: 0.05}
"""What the words are worth as probabilities."""


@dataclass(frozen=True)
class Told:
    """What one buyer heard once, and what came of it."""

    at: int
    eta: tuple[timedelta, timedelta | None] | None
    chance: Chance
    waited: timedelta | None
    """Until a slot was offered; None: never, no ticket was left."""


@cache
def everything_told() -> list[Told]:
    return [told for seed in range(SALES) for told in one_sale(seed)]


def one_sale(seed: int) -> list[Told]:
    rng = random.Random(seed)
    sale = IdealSale(any_crowd(rng), rng)
    heard = []
    for now in sale.run():
        if now in TOLD_AT:
            pace, reach = sale.pace(), sale.reach()
            asked = {rng.randrange(len(sale.waiting)) for _ in range(ASKED_EACH_TIME)}
            heard += [
                (now, sale.waiting[-1 - ahead], eta_of(ahead, pace), chance_of(ahead, reach)) for ahead in sorted(asked)
            ]
    told = []
    for now, place, eta, chance in heard:
        served = sale.offered_at.get(place)
        if place not in sale.left:  # who gave up cannot tell us
            waited = None if served is None else timedelta(seconds=served - now)
            told.append(Told(now, eta, chance, waited))
    return told


def holds(told: Told) -> bool:
    assert told.eta is not None
    assert told.waited is not None
    earliest, latest = told.eta
    return earliest - A_STRETCH <= told.waited and (latest is None or told.waited <= latest + A_STRETCH)


@pytest.mark.parametrize("at", TOLD_AT)
def test_the_time_told_holds_for_four_of_five_at_every_stage_of_a_sale(at: int) -> None:
    ranges = [told for told in everything_told() if told.at == at and told.eta and told.waited is not None]
    assert len(ranges) > 500
    assert sum(map(holds, ranges)) / len(ranges) >= 0.8


def test_after_two_minutes_most_ranges_are_narrow_enough_to_plan_by() -> None:
    ratios = sorted(
        told.eta[1] / told.eta[0]
        for told in everything_told()
        if told.at in (120, 240) and told.eta and told.eta[1] and told.eta[0] > timedelta(seconds=30)
    )
    assert ratios[len(ratios) // 2] < 3


def test_of_those_told_likely_nine_of_ten_could_buy_and_of_those_told_unlikely_one_of_ten() -> None:
    heard, could = Counter[Chance](), Counter[Chance]()
    for told in everything_told():
        heard[told.chance] += 1
        could[told.chance] += told.waited is not None
    assert min(heard.values()) > 1_000
    assert could[Chance.LIKELY] / heard[Chance.LIKELY] >= 0.9
    assert could[Chance.UNLIKELY] / heard[Chance.UNLIKELY] <= 0.1


def test_the_chance_told_says_far_more_than_the_average_would() -> None:
    told = everything_told()
    average = sum(each.waited is not None for each in told) / len(told)
    brier = sum((SAID[each.chance] - (each.waited is not None)) ** 2 for each in told) / len(told)
    assert brier < 0.7 * average * (1 - average)


# --- Rules that need no crowd

GATE = Gate(opens_at=OPENS, per_minute=60, slots=1_000, session=timedelta(minutes=10), waiting=500, room=1_000)
STRETCH = int(OPENS.timestamp()) // 10


def steady(per_stretch: int, minutes: int) -> dict[int, int]:
    return {STRETCH + number: per_stretch for number in range(6 * minutes)}


def crowd(minutes: int) -> dict[int, int]:
    """Somebody waited all the time."""
    return dict.fromkeys(range(STRETCH, STRETCH + 6 * minutes), 10)


def test_before_the_opening_the_pace_is_the_policys() -> None:
    pace = pace_of({}, {}, OPENS - timedelta(minutes=5), GATE)
    assert pace is not None
    assert pace.low <= 60 <= pace.high


def test_few_slots_slow_the_pace_down_before_anything_is_measured() -> None:
    few = pace_of({}, {}, OPENS - timedelta(minutes=5), replace(GATE, slots=10, room=10))
    many = pace_of({}, {}, OPENS - timedelta(minutes=5), GATE)
    assert few is not None
    assert many is not None
    assert few.low < many.low / 10


def test_a_steady_line_is_told_what_was_measured() -> None:
    pace = pace_of(steady(10, 6), crowd(6), OPENS + timedelta(minutes=6), GATE)
    assert pace is not None
    assert 40 < pace.low <= 60 <= pace.high < 80


def test_the_range_widens_when_the_pace_moves() -> None:
    now = OPENS + timedelta(minutes=5)
    moved = steady(10, 4) | {STRETCH + number: 2 for number in range(24, 30)}
    still, moving = pace_of(steady(10, 5), crowd(5), now, GATE), pace_of(moved, crowd(5), now, GATE)
    assert still is not None
    assert moving is not None
    assert moving.high / moving.low > 1.3 * still.high / still.low


def test_no_shows_move_the_line_on() -> None:
    now = OPENS + timedelta(minutes=6)
    all_come, half_come = (
        pace_of(steady(10, 6), crowd(6), now, GATE),
        pace_of(steady(10, 6), crowd(6), now, replace(GATE, show_share=0.5)),
    )
    assert all_come is not None
    assert half_come is not None
    assert half_come.low == pytest.approx(2 * all_come.low)


def test_a_paused_line_and_one_that_stands_still_tell_no_time() -> None:
    now = OPENS + timedelta(minutes=6)
    assert pace_of(steady(10, 6), crowd(6), now, replace(GATE, is_paused=True)) is None
    assert pace_of({}, crowd(6), now, GATE) is None
    assert eta_of(10, None) is None


def test_a_line_that_admits_one_in_ten_minutes_does_not_count_as_standing_still() -> None:
    slow = replace(GATE, per_minute=0.1, slots=1)
    pace = pace_of({}, crowd(4), OPENS + timedelta(minutes=4), slow)
    assert pace is not None
    assert pace.high > 0


def test_the_time_until_the_opening_is_part_of_the_wait() -> None:
    pace = Pace(low=10, high=20)
    assert eta_of(40, pace, timedelta(minutes=5)) == (timedelta(minutes=7), timedelta(minutes=9))
    assert eta_of(40, pace, timedelta(minutes=-5)) == (timedelta(minutes=2), timedelta(minutes=4))


def test_where_nothing_is_sure_the_latest_time_is_unknown() -> None:
    assert eta_of(10, Pace(low=0, high=10)) == (timedelta(minutes=1), None)


PLENTY = Stock(free=100, held=0, sold=0, active=0, holding=0, admitted=0, most_per_buyer=2)


def test_a_sold_out_house_leaves_nobody_a_chance() -> None:
    reach = reach_of(replace(PLENTY, free=0, sold=100, admitted=60), 1)
    assert reach == Reach(-1, -1)
    assert chance_of(0, reach) is Chance.UNLIKELY


def test_held_places_may_come_back_so_they_leave_a_doubt() -> None:
    reach = reach_of(replace(PLENTY, free=0, sold=50, held=50, active=30, holding=30, admitted=60), 1)
    assert reach.likely == -1
    assert reach.doubtful >= 0


def test_more_places_reach_further_and_greedier_buyers_less_far() -> None:
    assert reach_of(PLENTY, 1).likely > reach_of(replace(PLENTY, free=50), 1).likely
    frugal = replace(PLENTY, sold=40, admitted=40)
    greedy = replace(PLENTY, sold=80, admitted=40)
    assert reach_of(frugal, 1).likely > reach_of(greedy, 1).likely


def test_buyers_who_do_not_come_leave_more_to_the_others() -> None:
    assert reach_of(PLENTY, 0.5).likely > reach_of(PLENTY, 1).likely


def test_who_shops_without_seats_yet_is_ahead_of_everybody_who_waits() -> None:
    assert reach_of(replace(PLENTY, active=50, admitted=50), 1).likely < reach_of(PLENTY, 1).likely


def test_nobody_is_promised_a_ticket_after_the_sale_has_closed() -> None:
    reach = reach_of(PLENTY, 1, Pace(low=5, high=10), timedelta(minutes=2))
    assert reach.likely < 10
    assert reach.doubtful <= 20
    assert chance_of(50, reach) is Chance.UNLIKELY
