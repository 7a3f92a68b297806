"""Answers are counted so that their 95th percentile, the slow ones and the faults can be told again."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.answer_times import Kind
from tiketi_runtime.contracts.identity import EventId
from tiketi_services.ticket.queue.pace.adaptive import AdaptiveTerms
from tiketi_services.ticket.queue.pace.answers import Answer, Answers, counted, percentiles, sample_of

TERMS = AdaptiveTerms(ceiling=600, floor=60, p95_ms=200, error_rate=0.05)
SALE, OTHER = EventId("demo/sale"), EventId("demo/other")


def answer(ms: float, kind: Kind = Kind.HOLD, *, is_fault: bool = False) -> Answer:
    return Answer(kind, timedelta(milliseconds=ms), is_fault)


@given(st.lists(st.integers(1000, 60_000_000).map(lambda us: us / 1000), min_size=1, max_size=200))
def test_the_percentile_is_at_most_a_fifth_above_the_truth_and_never_below(times: list[float]) -> None:
    p95 = sample_of(counted([answer(ms) for ms in times], TERMS), TERMS, 0).p95_ms
    slower = [ms for ms in times if ms > p95]
    assert len(slower) <= 0.05 * len(times)
    assert len([ms for ms in times if ms >= p95 / 2**0.25 - 0.001]) > 0.05 * len(times)


def test_windows_and_pods_add_up() -> None:
    one, other = [answer(10), answer(300)], [answer(700, is_fault=True)]
    together = counted(one, TERMS) + counted(other, TERMS)
    assert together == counted([*one, *other], TERMS)
    sample = sample_of(together, TERMS, 42)
    assert (sample.answers, sample.slow, sample.errors, sample.admitted_per_minute) == (3, 2, 1, 42)


def test_a_payment_may_take_as_long_as_banks_take() -> None:
    counts = counted([answer(1_500, Kind.CONFIRM)] * 20, TERMS)
    sample = sample_of(counts, TERMS, 0)
    assert sample.slow == 0
    assert sample.p95_ms < TERMS.p95_ms
    assert percentiles(counts)[Kind.CONFIRM] > 1_500
    assert sample_of(counted([answer(2_500, Kind.CONFIRM)], TERMS), TERMS, 0).slow == 1


def test_nothing_answered_is_nothing_known() -> None:
    assert counted([], TERMS) == Counter()
    assert sample_of({}, TERMS, 0).p95_ms == 0
    assert percentiles({}) == {}


def test_answers_are_taken_once() -> None:
    answers = Answers()
    answers.add(SALE, answer(1))
    answers.add(OTHER, answer(2))
    taken = answers.take()
    assert {event: list(of) for event, of in taken.items()} == {SALE: [answer(1)], OTHER: [answer(2)]}
    assert answers.take() == {}


def test_answers_nobody_takes_do_not_pile_up() -> None:
    answers = Answers()
    for ms in range(10_500):
        answers.add(SALE, answer(ms))
    kept = answers.take()[SALE]
    assert len(kept) == 10_000
    assert kept[-1] == answer(10_499)


@pytest.mark.parametrize("ms", [0, 0.2, 1])
def test_a_time_too_short_to_measure_counts(ms: float) -> None:
    assert sample_of(counted([answer(ms)], TERMS), TERMS, 0).answers == 1
