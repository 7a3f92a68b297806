"""The real scripts, through whole sales on a virtual clock: promises hold in each, and nobody waits for no-shows."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from tests.simulation.crowds import any_sale, no_shows
from tests.simulation.line_sale import OPENS, Buyer, House, LineSale, ideal_admissions, waits

SEEDS = 40
MUST = 1.10
"""P7: sum of waits by that of a line which knows who will come."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_every_sale_slots_and_order_hold_and_nobody_who_would_buy_is_left(seed: int) -> None:
    house, buyers = any_sale(random.Random(seed), most_buyers=40)
    sale = LineSale(house, buyers)
    sale.run()  # raises PromiseBroken
    assert Counter(sale.admitted_at.values()).total() == len(sale.admitted_at) <= len(buyers)
    assert sale.sold <= house.stock
    is_out_of_time = sale.redis.now >= OPENS + house.lasts
    still_wanted = [
        buyer
        for buyer in buyers
        if buyer.comes and buyer.leaves_at is None and buyer.falls_silent_at is None
        if buyer.number not in sale.admitted_at
    ]
    assert not still_wanted or sale.sold >= house.stock or is_out_of_time


def ratio(house: House, buyers: list[Buyer]) -> float:
    sale = LineSale(house, buyers)
    sale.run()
    ideal = ideal_admissions(house, buyers)
    assert sale.admitted_at.keys() == ideal.keys()
    return waits(buyers, sale.admitted_at) / waits(buyers, ideal)


@pytest.mark.parametrize("claim_window", [15_000, 90_000])
def test_with_forty_percent_no_shows_waits_are_as_if_these_had_never_joined(claim_window: int) -> None:
    house = House(per_minute=120, slots=10_000, stock=100_000, claim_window=claim_window)
    crowd = no_shows(random.Random(claim_window), 600, share=0.4, shops_for=60_000)
    assert ratio(house, crowd) <= MUST


def test_where_slots_are_scarce_too() -> None:
    house = House(per_minute=600, slots=40, stock=100_000)
    crowd = no_shows(random.Random(1), 300, share=0.4, shops_for=60_000)
    assert ratio(house, crowd) <= MUST


@pytest.mark.parametrize(
    ("house", "most"),
    # Where one buyer shops after the other, each adds the time to react: no other can be let in meanwhile.
    [(House(60, 1, 100), 1.4), (House(1, 100, 100), 1.15), (House(1, 1, 100), 1.15)],
    ids=["one slot", "one a minute", "both"],
)
def test_one_slot_and_one_a_minute_work(house: House, most: float) -> None:
    crowd = no_shows(random.Random(2), 12, share=0.4, shops_for=40_000)
    assert ratio(house, crowd) < most


def test_without_no_shows_the_line_runs_at_its_rate() -> None:
    house = House(per_minute=300, slots=10_000, stock=100_000)
    crowd = no_shows(random.Random(3), 300, share=0, shops_for=60_000)
    sale = LineSale(house, crowd)
    sale.run()
    by_second = Counter((at - OPENS) // 1000 for at in sale.admitted_at.values())
    assert sum(by_second.values()) == 300
    busiest = max(sum(by_second[second + each] for each in range(10)) for second in range(60))
    assert busiest <= 10 * 5 + 5 * 5  # ten seconds at the rate, and what the gate may have saved up
