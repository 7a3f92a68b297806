"""How fast buyers may come in while the services suffer, and once they are well again. Pure.

Additive increase, multiplicative decrease, with what keeps it from swinging:
* the cut grows with the trouble (target / measured, as gradient limiters do), and starts from what was really admitted;
* trouble is what chance does not explain, and between well and unwell lies a band in which nothing changes;
* buyers ask for seats long after they were admitted, so after a cut its effect is waited for;
* the rate at which trouble came is remembered: below it steps are large, near it small, as in CUBIC (RFC 9438).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

JUDGED_WINDOWS: Final = 2
"""Windows judged together: one alone is a few dozen answers in a small sale."""

_ENOUGH: Final = 20
"""Fewer answers than this say nothing about a 95th percentile."""
_QUIET_WINDOWS: Final = 3
"""After so many windows without a change, few answers and none of them bad are reason enough to go faster."""
_SETTLING_WINDOWS: Final = 4
"""How long a cut is given to show: until buyers admitted before it have asked for their seats."""
_SLOW_SHARE: Final = 0.05
"""Of the answers, those slower than a 95th percentile may be."""
_BEYOND_CHANCE: Final = 1.65
"""Standard deviations: one window in twenty would be called unwell by mistake."""
_DEEPEST_CUT: Final = 0.5
_GENTLEST_CUT: Final = 0.85
_WELL: Final = 0.9
"""Times the target, and times the allowed errors: above it nothing is raised."""
_STEP: Final = 0.08
"""Of the ceiling: the most the rate is raised at once."""
_GROWTH: Final = 0.25
"""Of the rate: the most it is raised at once, while it is far below the ceiling."""
_LEAST_HEADROOM: Final = 0.4
"""Share of a step that is taken however near the target answers are."""
_NEAR: Final = 0.25
"""Within this share of the rate at which trouble came, steps shrink ..."""
_PROBING: Final = 0.1
"""... down to this share of a step."""
_FORGOTTEN_WINDOWS: Final = 48
"""When that rate has lost its meaning: what made it one may be over."""


class Direction(StrEnum):
    """Which way a change goes; the reasons of the Kubernetes Events."""

    SLOWED = "AdmissionSlowed"
    RAISED = "AdmissionRaised"


@dataclass(frozen=True, slots=True)
class AdaptiveTerms:
    """What the organiser's policy allows. Rates in buyers per minute."""

    ceiling: int
    floor: int
    p95_ms: float
    error_rate: float
    """Share of answers, above 0 up to 1."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate in force, in buyers per minute, and what led to it."""

    per_minute: float
    knee: float = math.inf
    """The rate at which trouble came last."""
    unchanged: int = _SETTLING_WINDOWS
    """Windows since it changed."""
    uncut: int = _SETTLING_WINDOWS
    """Windows since it was lowered."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the last windows showed."""

    answers: int
    errors: int
    """Answers that were faults of ours."""
    slow: int
    """Answers that took longer than they may."""
    p95_ms: float
    admitted_per_minute: float
    """What the line really let in: slots or an empty line may keep it below the rate."""


@dataclass(frozen=True, slots=True)
class Change:
    """A new rate, and why in words."""

    rate: Rate
    direction: Direction
    reason: str
    is_full: bool = False
    """The rate is the ceiling again."""

    @property
    def is_warning(self) -> bool:
        """Whether somebody should look."""
        return self.direction is Direction.SLOWED


def next_rate(rate: Rate, sample: Sample, terms: AdaptiveTerms) -> Change | None:
    """The rate for the next window, between floor and ceiling; None: nothing changes."""
    if sample.answers >= _ENOUGH and (trouble := _trouble(sample, terms)) > 1:
        return _cut(rate, sample, terms, trouble)
    if _is_well(rate, sample, terms):
        return _raise(rate, sample, terms)
    return None


def _trouble(sample: Sample, terms: AdaptiveTerms) -> float:
    """How many times worse than allowed answers are; 1 where chance may explain it."""
    slowness = failure = 1.0
    if _is_beyond_chance(sample.slow, sample.answers, _SLOW_SHARE):
        slowness = sample.p95_ms / terms.p95_ms
    if _is_beyond_chance(sample.errors, sample.answers, terms.error_rate):
        failure = sample.errors / sample.answers / terms.error_rate
    return max(slowness, failure)


def _is_beyond_chance(hits: int, of: int, allowed: float) -> bool:
    return hits - allowed * of > _BEYOND_CHANCE * math.sqrt(allowed * (1 - allowed) * of)


def _is_well(rate: Rate, sample: Sample, terms: AdaptiveTerms) -> bool:
    if sample.answers < _ENOUGH:
        return rate.unchanged >= _QUIET_WINDOWS and sample.errors == sample.slow == 0
    calm = sample.errors <= _WELL * terms.error_rate * sample.answers and sample.p95_ms <= _WELL * terms.p95_ms
    return calm and rate.uncut >= _SETTLING_WINDOWS


def _cut(rate: Rate, sample: Sample, terms: AdaptiveTerms, trouble: float) -> Change | None:
    if rate.uncut < _SETTLING_WINDOWS:
        return None
    effective = min(rate.per_minute, max(sample.admitted_per_minute, terms.floor))
    factor = min(_GENTLEST_CUT, max(_DEEPEST_CUT, 1 / math.sqrt(trouble)))
    lower = max(terms.floor, effective * factor)
    if math.floor(lower) >= math.floor(rate.per_minute):
        return None
    return Change(Rate(lower, knee=effective, unchanged=0, uncut=0), Direction.SLOWED, _in_words(sample, terms))


def _raise(rate: Rate, sample: Sample, terms: AdaptiveTerms) -> Change | None:
    headroom = max(_LEAST_HEADROOM, math.sqrt(max(0.0, 1 - sample.p95_ms / (_WELL * terms.p95_ms))))
    distance = abs(rate.per_minute - rate.knee) / (_NEAR * rate.knee) if rate.knee < math.inf else 1.0
    trust = max(distance, (rate.uncut / _FORGOTTEN_WINDOWS) ** 2)
    step = min(_STEP * terms.ceiling, max(1.0, _GROWTH * rate.per_minute))
    step *= min(1.0, max(_PROBING, trust)) * headroom
    higher = min(terms.ceiling, rate.per_minute + step)
    if higher <= rate.per_minute:
        return None
    is_full = higher >= terms.ceiling
    knee = math.inf if is_full else rate.knee
    return Change(
        Rate(higher, knee, unchanged=0, uncut=rate.uncut), Direction.RAISED, _in_words(sample, terms), is_full
    )


def _in_words(sample: Sample, terms: AdaptiveTerms) -> str:
    return (
        f"p95 {sample.p95_ms:.0f} ms (target {terms.p95_ms:.0f} ms), {sample.errors} of {sample.answers} answers failed"
        f" (allowed {terms.error_rate:.0%})"
    )
