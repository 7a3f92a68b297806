"""How long answers take that adaptive admission is judged by: gathered in a process, counted by all of them. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from tiketi_runtime.contracts.identity import EventId
from tiketi_services.ticket.queue.pace.adaptive import AdaptiveTerms, Sample

PAYMENT_PATIENCE: Final = 10
"""A confirmed payment has waited for a bank: it may take so many times as long as an answer of ours."""
_MOST_KEPT: Final = 10_000
"""Answers of one event kept until they are counted, a second later."""
_STEPS: Final = 4
"""Buckets while the time doubles: a percentile is at most 19 % above the truth."""
_SLOW: Final = "slow"
_FAULTS: Final = "faults"


class Kind(StrEnum):
    """What was asked for."""

    HOLD = "hold"
    ORDER = "order"
    CONFIRM = "confirm"

    @property
    def patience(self) -> int:
        """How many times the policy's target it may take."""
        return PAYMENT_PATIENCE if self is Kind.CONFIRM else 1


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


def counted(answers: Iterable[Answer], terms: AdaptiveTerms) -> Counter[str]:
    """Answers as counters: ``<kind>:<bucket>`` of their times, ``slow`` and ``faults``."""
    counts: Counter[str] = Counter()
    for answer in answers:
        ms = answer.took.total_seconds() * 1000
        counts[f"{answer.kind}:{max(0, math.ceil(_STEPS * math.log2(max(ms, 1))))}"] += 1
        counts[_SLOW] += ms > terms.p95_ms * answer.kind.patience
        counts[_FAULTS] += answer.is_fault
    return +counts


def sample_of(counts: Mapping[str, int], terms: AdaptiveTerms, admitted_per_minute: float) -> Sample:
    """What the counters of some windows show together; payments count with what their patience leaves of their time."""
    times: Counter[float] = Counter()
    for kind in Kind:
        for ms, number in _times(counts, kind).items():
            times[ms / kind.patience] += number
    return Sample(
        answers=times.total(),
        errors=counts.get(_FAULTS, 0),
        slow=counts.get(_SLOW, 0),
        p95_ms=_percentile(times),
        admitted_per_minute=admitted_per_minute,
    )


def percentiles(counts: Mapping[str, int]) -> dict[Kind, float]:
    """The 95th percentile of each kind that was answered, in ms."""
    times = {kind: _times(counts, kind) for kind in Kind}
    return {kind: _percentile(of) for kind, of in times.items() if of}


def _times(counts: Mapping[str, int], kind: Kind) -> Counter[float]:
    """Numbers of answers by the upper bound (ms) of their bucket."""
    prefix = f"{kind}:"
    return Counter(
        {2 ** (int(name[len(prefix) :]) / _STEPS): number for name, number in counts.items() if name.startswith(prefix)}
    )


def _percentile(times: Mapping[float, int]) -> float:
    """The 95th; 0 if there are no times."""
    beyond = 0.05 * sum(times.values())
    for ms in sorted(times, reverse=True):
        beyond -= times[ms]
        if beyond < 0:
            return ms
    return 0.0
