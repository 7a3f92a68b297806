"""What the few are told who come after a quiet spell: how fast the line can be, not how slowly others came.

Whole sales through the real scripts, on a virtual clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.simulation.line_sale import OPENS, Buyer, House, LineSale, at_once

from tiketi_services.ticket.queue.domain import from_ms
from tiketi_services.ticket.queue.places.outlook import Gate, Pace, Stock, pace_of
from tiketi_services.ticket.queue.places.states import room_of

SECOND = 1_000
MINUTE = 60 * SECOND
TOLD_WITHIN = timedelta(seconds=1.4)
"""Lines are served five times a second, and buyers told once a second."""


@dataclass
class ToldSale(LineSale):
    """Remembers what each buyer was told on joining."""

    told: dict[int, tuple[int, Pace | None]] = field(default_factory=dict)
    """Position and pace."""

    def pace(self, position: int = 0) -> tuple[int, Pace | None]:
        """The position, or that of the last one, and the pace as of now."""
        house, state = self.house, at_once(self._lines.state(self._terms))
        taken = sum(state.taken.values())
        free = house.stock - taken
        stock = Stock(free, taken - state.sold, state.sold, state.active, state.holding, state.admitted, 4)
        gate = Gate(
            opens_at=from_ms(OPENS),
            per_minute=house.per_minute,
            slots=house.slots,
            session=timedelta(milliseconds=house.session),
            active=state.active,
            claim_window=timedelta(milliseconds=house.claim_window),
            show_share=1 - state.no_shows,
            waiting=state.waiting,
            room=room_of(house.slots, stock, state),
        )
        return position or state.waiting, pace_of(state.pace, state.crowded, state.now, gate)

    def _join(self, buyer: Buyer) -> None:
        super()._join(buyer)
        self.told[buyer.number] = self.pace()

    def times_told(self, buyer: Buyer) -> tuple[timedelta, timedelta]:
        """The range of waiting, as a page computes it."""
        position, pace = self.told[buyer.number]
        assert pace is not None
        return timedelta(minutes=position / pace.high), timedelta(minutes=position / pace.low)

    def waited(self, buyer: Buyer) -> timedelta:
        """Until a slot was offered."""
        return timedelta(milliseconds=self.offered_at[buyer.number] - max(OPENS, buyer.joins_at))


def comes(number: int, seconds: float, shops_for: int = 20 * SECOND) -> Buyer:
    return Buyer(number, OPENS + round(seconds * 1_000), reacts_in=300, shops_for=shops_for, wants=1)


def sale_of(house: House, *times: float, shops_for: int = 20 * SECOND) -> ToldSale:
    """Somebody comes at each of these times (s from the opening)."""
    sale = ToldSale(house, [comes(number, at, shops_for) for number, at in enumerate(times)])
    sale.run()
    return sale


TRICKLE = (20, 45, 80, 118, 150, 178)
"""One now and then, for three minutes."""


def assert_holds(sale: ToldSale, buyers: list[Buyer]) -> None:
    for buyer in buyers:
        earliest, latest = sale.times_told(buyer)
        assert earliest < latest
        assert earliest - TOLD_WITHIN <= sale.waited(buyer) <= latest + TOLD_WITHIN


def test_a_dozen_buyers_of_a_wide_line_are_not_told_minutes_because_few_came_before() -> None:
    sale = sale_of(House(per_minute=3_000, slots=200, stock=1_000), *TRICKLE, *[200] * 12)
    dozen = sale.buyers[len(TRICKLE) :]
    assert_holds(sale, dozen)
    assert max(sale.times_told(buyer)[1] for buyer in dozen) < timedelta(seconds=1)


@pytest.mark.parametrize("quiet", [60, 180, 600])
def test_after_a_quiet_spell_a_line_tells_the_times_it_told_when_it_was_fresh(quiet: int) -> None:
    house = House(per_minute=60, slots=200, stock=1_000)
    eight = [2 + quiet + 10] * 8
    fresh, later = sale_of(house, *[2] * 8), sale_of(house, *[2] * 8, *eight)
    last, again = fresh.buyers[-1], later.buyers[-1]
    assert_holds(fresh, fresh.buyers)
    assert_holds(later, later.buyers)
    assert later.times_told(again)[1] < timedelta(seconds=11)
    assert later.times_told(again)[0] == pytest.approx(fresh.times_told(last)[0], rel=0.5)


def test_while_nobody_waits_the_pace_told_stays_the_same() -> None:
    house = House(per_minute=60, slots=200, stock=1_000)
    sale = ToldSale(house, [comes(number, at) for number, at in enumerate((*[2] * 8, 300))])
    told = [sale.pace()[1]]
    for at in range(60, 300, 20):
        sale._at(OPENS + at * SECOND, lambda: told.append(sale.pace()[1]))
    sale.run()
    assert len(set(told[1:])) <= 2  # for a while nobody knows whether offers lapse
    assert all(pace is not None and 45 < pace.low < 60 < pace.high < 90 for pace in told[1:])


@pytest.mark.parametrize("seed", range(8))
def test_where_slots_are_scarce_the_range_is_wide_and_holds(seed: int) -> None:
    rng = random.Random(seed)
    house = House(per_minute=600, slots=4, stock=1_000, session=5 * MINUTE)
    first, second = [1.0] * 12, [900.0] * 12
    buyers = [comes(n, at, shops_for=rng.randint(40, 200) * SECOND) for n, at in enumerate((*first, *second))]
    sale = ToldSale(house, buyers)
    sale.run()
    told = [sale.times_told(buyer) for buyer in buyers]
    assert all(earliest < latest for earliest, latest in told)
    held = [
        low - TOLD_WITHIN <= sale.waited(buyer) <= high + TOLD_WITHIN
        for buyer, (low, high) in zip(buyers, told, strict=True)
    ]
    assert sum(held) >= 0.9 * len(held)


def test_the_first_to_wait_for_the_only_slot_is_promised_no_more_than_that_sessions_end() -> None:
    house = House(per_minute=600, slots=1, stock=1_000, session=5 * MINUTE)
    sale = sale_of(house, 1, 400, 410, shops_for=4 * MINUTE)
    last = sale.buyers[-1]
    earliest, latest = sale.times_told(last)
    assert earliest < timedelta(seconds=5)
    assert sale.waited(last) <= latest <= timedelta(minutes=6)


def test_only_seconds_in_which_somebody_has_to_wait_are_noted() -> None:
    sale = sale_of(House(per_minute=60, slots=200, stock=1_000), *[2] * 8, 100)
    state = at_once(sale._lines.state(sale._terms))
    assert 5 <= sum(state.crowded.values()) <= 10
    assert set(state.crowded) <= {OPENS // 10_000, OPENS // 10_000 + 1}
