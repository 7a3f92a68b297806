"""How long answers take that adaptive admission is judged by: gathered in a process, counted by all of them. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tiketi_runtime.contracts.answer_times import Kind, counter_of, percentile_of, times_of
from tiketi_runtime.contracts.identity import EventId
from tiketi_services.ticket.queue.pace.adaptive import AdaptiveTerms, Sample

PAYMENT_PATIENCE: Final = 10
"""A confirmed payment has waited for a bank: it may take so many times as long as an answer of ours."""
_MOST_KEPT: Final = 10_000
"""Answers of one event kept until they are counted, a second later."""
_SLOW: Final = "slow"
_FAULTS: Final = "faults"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    kind: Kind
    took: timedelta
    is_fault: bool
    """A server error of ours, or of the payment vendor."""


class Answers:
    """What this process has answered since it was last taken."""

    def __init__(self) -> None:
        self._gathered: dict[EventId, deque[Answer]] = {}

    def add(self, event: EventId, answer: Answer) -> None:
        """Note an answer; the oldest are forgotten if nobody takes them."""
        self._gathered.setdefault(event, deque(maxlen=_MOST_KEPT)).append(answer)

    def take(self) -> dict[EventId, deque[Answer]]:
        """All that was noted, once."""
        gathered, self._gathered = self._gathered, {}
        return gathered


def counted(answers: Iterable[Answer], terms: AdaptiveTerms | None) -> Counter[str]:
    """Answers as counters: of their times and, where there are ``terms`` to judge them by, ``slow`` and ``faults``."""
    counts: Counter[str] = Counter()
    for answer in answers:
        ms = answer.took.total_seconds() * 1000
        counts[counter_of(answer.kind, ms)] += 1
        if terms is not None:
            counts[_SLOW] += ms > terms.p95_ms * _patience(answer.kind)
            counts[_FAULTS] += answer.is_fault
    return +counts


def sample_of(counts: Mapping[str, int], terms: AdaptiveTerms, admitted_per_minute: float) -> Sample:
    """What the counters of some windows show together; payments count with what their patience leaves of their time."""
    times: Counter[float] = Counter()
    for kind in Kind:
        for ms, number in times_of(counts, kind).items():
            times[ms / _patience(kind)] += number
    return Sample(
        answers=times.total(),
        errors=counts.get(_FAULTS, 0),
        slow=counts.get(_SLOW, 0),
        p95_ms=percentile_of(times),
        admitted_per_minute=admitted_per_minute,
    )


def percentiles(counts: Mapping[str, int]) -> dict[Kind, float]:
    """The 95th percentile of each kind that was answered, in ms."""
    times = {kind: times_of(counts, kind) for kind in Kind}
    return {kind: percentile_of(of) for kind, of in times.items() if of}


def _patience(kind: Kind) -> int:
    """How many times the policy's target it may take."""
    return PAYMENT_PATIENCE if kind is Kind.CONFIRM else 1
