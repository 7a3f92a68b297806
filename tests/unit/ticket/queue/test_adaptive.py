"""Adaptive admission keeps answers quick, does not swing, and comes back. Against simulated backends."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from tests.simulation.backend import Backend, Trouble

from tiketi_services.ticket.queue.pace.adaptive import AdaptiveTerms, Direction, Rate, Sample, next_rate

SEEDS = 300
BEGINS, SECONDS = 200, 1_000
SETTLED = 300
"""Seconds after which a backend that stays as it is must have been understood."""
BACK_IN = 360
"""Seconds within which the rate is at the ceiling again, from the floor if need be."""


def any_backend(seed: int) -> Backend:
    """A backend that can bear the ceiling while it is well, and some trouble of one of several shapes."""
    rng = random.Random(seed)
    ceiling = rng.choice([300, 600, 1_800])
    lag = rng.choice([5, 15, 40])
    trouble = Trouble(
        BEGINS, BEGINS + rng.choice([60, 150, 300]), rng.choice([0.1, 0.3, 0.5, 0.8]), rng.choice([0, 60])
    )
    if rng.random() < 0.2:
        trouble = replace(trouble, depth=1.0, errors=rng.choice([0.1, 0.3]))
    return Backend(
        rng,
        AdaptiveTerms(ceiling, ceiling // 10, rng.choice([200, 300, 500]), error_rate=0.05),
        trouble,
        capacity=max(30.0, ceiling / 30 * rng.uniform(1.4, 2.0)),
        service=rng.choice([0.02, 0.03, 0.04]),
        lags=[1 + round(rng.gammavariate(2, lag / 2) * rng.choice([1, 2])) for _ in range(8)],
    )


@cache
def governed() -> list[Backend]:
    backends = [any_backend(seed) for seed in range(SEEDS)]
    for backend in backends:
        backend.run(SECONDS)
    return backends


def share_kept(backend: Backend, begin: int, end: int) -> float:
    kept = [backend.is_kept(at, at + 20) for at in range(begin, end, 20)]
    return sum(kept) / len(kept)


def turns(rates: list[float]) -> int:
    """How often a rate that rose fell, or the other way round."""
    steps = [after - before for before, after in pairwise(rates) if after != before]
    return sum((one > 0) != (other > 0) for one, other in pairwise(steps))


def end_of(backend: Backend) -> int:
    return round(backend.trouble.ends + backend.trouble.ramp)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def test_a_backend_that_is_well_is_left_alone() -> None:
    touched = [backend for backend in governed() if min(backend.rates[:BEGINS]) < backend.terms.ceiling]
    assert len(touched) / SEEDS < 0.05


def test_answers_are_in_time_far_more_often_than_without_it() -> None:
    kept = [share_kept(backend, 0, SECONDS) for backend in governed()]
    assert sum(kept) / SEEDS > 0.9
    assert percentile(kept, 0.05) > 0.7
    some = range(0, SEEDS, 6)
    ungoverned = [replace(any_backend(seed), is_adaptive=False) for seed in some]
    for backend in ungoverned:
        backend.run(SECONDS)
    with_it = [share_kept(governed()[seed], BEGINS, end_of(governed()[seed])) for seed in some]
    without = [share_kept(backend, BEGINS, end_of(backend)) for backend in ungoverned]
    assert sum(with_it) / len(with_it) > sum(without) / len(without) + 0.1


def test_the_rate_does_not_swing() -> None:
    reversals = [turns(backend.rates) for backend in governed()]
    assert percentile([float(each) for each in reversals], 0.5) <= 2
    assert percentile([float(each) for each in reversals], 0.95) <= 8
    assert max(reversals) <= SECONDS / 60


def test_a_backend_that_stays_slow_gets_a_steady_rate() -> None:
    swings, kept = [], []
    for seed in range(100):
        backend = any_backend(seed)
        backend.trouble = Trouble(BEGINS, 10_000, depth=0.5, ramp=0)
        backend.run(BEGINS + SETTLED + 600)
        settled = backend.rates[BEGINS + SETTLED :]
        swings.append(max(settled) / min(settled))
        kept.append(share_kept(backend, BEGINS + SETTLED, BEGINS + SETTLED + 600))
    assert percentile(swings, 0.5) < 2
    assert percentile(swings, 0.9) < 2.6
    assert sum(kept) / len(kept) > 0.85


def test_the_rate_is_at_the_ceiling_again_soon_after_the_recovery() -> None:
    late = []
    for backend in governed():
        end = end_of(backend)
        late.append(all(rate < 0.95 * backend.terms.ceiling for rate in backend.rates[end : end + BACK_IN]))
    assert sum(late) / SEEDS < 0.05


def test_the_rate_never_leaves_its_bounds() -> None:
    for backend in governed():
        assert backend.terms.floor <= min(backend.rates)
        assert max(backend.rates) <= backend.terms.ceiling


# --- Single decisions

TERMS = AdaptiveTerms(ceiling=600, floor=60, p95_ms=200, error_rate=0.05)
FULL = Rate(600)
GOOD = Sample(answers=400, errors=0, slow=0, p95_ms=40, admitted_per_minute=600)
SLOW = replace(GOOD, slow=200, p95_ms=800)
FAILING = replace(GOOD, errors=80)


def test_slow_answers_and_failing_ones_slow_admissions_down() -> None:
    for sample in (SLOW, FAILING):
        change = next_rate(FULL, sample, TERMS)
        assert change is not None
        assert (change.direction, change.is_warning) == (Direction.SLOWED, True)
        assert 300 <= change.rate.per_minute < 600


def test_a_change_says_why_with_its_numbers() -> None:
    change = next_rate(FULL, SLOW, TERMS)
    assert change is not None
    assert change.reason == "p95 800 ms (target 200 ms), 0 of 400 answers failed (allowed 5%)"


def test_the_worse_it_is_the_deeper_the_cut() -> None:
    little, much = next_rate(FULL, replace(SLOW, p95_ms=250), TERMS), next_rate(FULL, SLOW, TERMS)
    assert little is not None
    assert much is not None
    assert little.rate.per_minute > much.rate.per_minute


def test_a_few_slow_answers_are_chance() -> None:
    assert next_rate(FULL, replace(GOOD, answers=40, slow=3, p95_ms=250), TERMS) is None
    assert next_rate(FULL, replace(GOOD, answers=10, slow=10, errors=10, p95_ms=900), TERMS) is None


def test_the_cut_begins_at_what_was_really_admitted() -> None:
    change = next_rate(FULL, replace(SLOW, admitted_per_minute=200), TERMS)
    assert change is not None
    assert change.rate.per_minute <= 170


def test_a_cut_is_given_time_to_show() -> None:
    assert next_rate(Rate(300, knee=600, unchanged=1, uncut=1), SLOW, TERMS) is None
    assert next_rate(Rate(300, knee=600, unchanged=5, uncut=5), SLOW, TERMS) is not None
    assert next_rate(Rate(300, knee=600, unchanged=1, uncut=1), GOOD, TERMS) is None


def test_at_the_floor_nothing_is_cut_and_at_the_ceiling_nothing_raised() -> None:
    assert next_rate(Rate(60), SLOW, TERMS) is None
    assert next_rate(FULL, GOOD, TERMS) is None


def test_what_is_neither_well_nor_unwell_changes_nothing() -> None:
    assert next_rate(Rate(300, uncut=10), replace(GOOD, p95_ms=190), TERMS) is None
    assert next_rate(Rate(300, uncut=10), replace(GOOD, errors=19), TERMS) is None


def test_steps_up_are_small_near_the_rate_at_which_trouble_came() -> None:
    near = next_rate(Rate(300, knee=310, unchanged=1, uncut=6), GOOD, TERMS)
    far = next_rate(Rate(300, knee=600, unchanged=1, uncut=6), GOOD, TERMS)
    assert near is not None
    assert far is not None
    assert near.rate.per_minute - 300 < (far.rate.per_minute - 300) / 2


def test_after_a_quiet_minute_the_rate_rises_though_little_is_known() -> None:
    little = Sample(answers=3, errors=0, slow=0, p95_ms=50, admitted_per_minute=3)
    assert next_rate(Rate(100, unchanged=2), little, TERMS) is None
    change = next_rate(Rate(100, unchanged=6), little, TERMS)
    assert change is not None
    assert change.direction is Direction.RAISED
    assert next_rate(Rate(100, unchanged=6), replace(little, errors=1), TERMS) is None


def test_the_last_step_up_is_back_to_the_policy() -> None:
    change = next_rate(Rate(590, knee=400, uncut=30), GOOD, TERMS)
    assert change is not None
    assert change.is_full
    assert change.rate == Rate(600, math.inf, unchanged=0, uncut=30)


@pytest.mark.parametrize(("ceiling", "floor"), [(1, 1), (2, 1), (10, 1)])
def test_small_rates_work(ceiling: int, floor: int) -> None:
    terms = replace(TERMS, ceiling=ceiling, floor=floor)
    rate, rates = Rate(ceiling), []
    for window in range(60):
        sample = SLOW if window < 20 else replace(GOOD, answers=2)
        change = next_rate(rate, replace(sample, admitted_per_minute=ceiling), terms)
        rate = (
            replace(rate, unchanged=rate.unchanged + 1, uncut=rate.uncut + 1)
            if change is None
            else replace(change.rate, unchanged=1, uncut=change.rate.uncut + 1)
        )
        rates.append(rate.per_minute)
    assert min(rates) >= floor
    assert rates[-1] > floor or ceiling == floor
