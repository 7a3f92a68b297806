"""A backend under a crowd, for adaptive admission: admitted buyers ask for seats a while later, and it slows down.

One queue with a capacity in answers per second that changes over time. Answers take the wait in the queue and a service
time; who would wait too long gets an error and makes no work. All from one seed.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tiketi_runtime.contracts.answer_times import WINDOW
from tiketi_services.ticket.queue.pace.adaptive import (
    JUDGED_WINDOWS,
    AdaptiveTerms,
    Rate,
    Sample,
    next_rate,
)

TIMEOUT = 2.0
"""Seconds after which an answer is an error."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to the backend between two times (s)."""

    begins: float
    ends: float
    depth: float
    """Capacity that is left."""
    ramp: float
    """Seconds to get worse, and again to recover."""
    errors: float = 0.0
    """Share of answers that fail whatever the load."""

    def health(self, now: float) -> float:
        """Share of the capacity at ``now``."""
        if self.ramp <= 0:
            return self.depth if self.begins <= now < self.ends else 1.0
        down = (now - self.begins) / self.ramp
        up = (now - self.ends) / self.ramp
        lost = min(1.0, max(0.0, down)) - min(1.0, max(0.0, up))
        return 1 - (1 - self.depth) * lost

    def is_on(self, now: float) -> bool:
        """Whether it lasts at ``now``, recovery included."""
        return self.begins <= now < self.ends + self.ramp


@dataclass(frozen=True, slots=True)
class _Second:
    """Answers of one second: how many waited how long before they were worked on, and what came of them."""

    asked: int
    wait: float
    slow: int
    errors: int


@dataclass
class Backend:
    """A sale under adaptive admission. One ``step`` is a second."""

    rng: random.Random
    terms: AdaptiveTerms
    trouble: Trouble
    capacity: float
    """Answers per second when well."""
    service: float
    """Mean seconds of an answer nobody waits for."""
    lags: Sequence[int]
    """Seconds from admission to a question, each as likely as the others; a buyer has two questions."""
    is_adaptive: bool = True
    rate: Rate = field(init=False)
    rates: list[float] = field(default_factory=list)
    """By second."""
    seconds: list[_Second] = field(default_factory=list)
    _due: Counter[int] = field(default_factory=Counter)
    _backlog: float = 0.0
    _admitted: list[int] = field(default_factory=list)
    _judged_from: int = 0

    def __post_init__(self) -> None:
        self.rate = Rate(self.terms.ceiling)

    def run(self, seconds: int) -> None:
        """Let time pass."""
        window = round(WINDOW.total_seconds())
        for now in range(len(self.rates), len(self.rates) + seconds):
            self._admit(now)
            self.seconds.append(self._answer(now))
            self.rates.append(self.rate.per_minute)
            if self.is_adaptive and (now + 1) % window == 0:
                self._decide(now + 1)

    def is_kept(self, begin: int, end: int) -> bool:
        """Whether 95 % of the answers between two times (s) were in time, as far as chance lets one tell."""
        seconds = self.seconds[begin:end]
        answers = sum(second.asked for second in seconds)
        late = sum(second.slow for second in seconds)
        return late <= 0.05 * answers + 2 * math.sqrt(0.05 * 0.95 * answers)

    def _admit(self, now: int) -> None:
        buyers = _poisson(self.rng, self.rate.per_minute / 60)
        self._admitted.append(buyers)
        for lag in self.lags:
            self._due[now + lag] += buyers

    def _answer(self, now: int) -> _Second:
        asked = _poisson(self.rng, 2 * self._due.pop(now, 0) / len(self.lags))
        capacity = self.capacity * self.trouble.health(now)
        wait = self._backlog / capacity
        if wait >= TIMEOUT:  # turned away: work that nobody waits for is not done
            self._backlog -= min(self._backlog, capacity)
            return _Second(asked, TIMEOUT, asked, asked)
        self._backlog = max(0.0, self._backlog + asked - capacity)
        late = math.exp(-max(0.0, self.terms.p95_ms / 1000 - wait) / self.service)
        failing = self.trouble.errors if self.trouble.is_on(now) else 0.0
        return _Second(asked, wait, _binomial(self.rng, asked, late), _binomial(self.rng, asked, failing))

    def _decide(self, now: int) -> None:
        window = round(WINDOW.total_seconds())
        begin = max(self._judged_from, now - JUDGED_WINDOWS * window)
        judged, admitted = self.seconds[begin:], self._admitted[begin:]
        sample = Sample(
            answers=sum(second.asked for second in judged),
            errors=sum(second.errors for second in judged),
            slow=sum(second.slow for second in judged),
            p95_ms=1000 * self._percentile(judged),
            admitted_per_minute=sum(admitted) / len(admitted) * 60,
        )
        change = next_rate(self.rate, sample, self.terms)
        if change is None:
            self.rate = replace(self.rate, unchanged=self.rate.unchanged + 1, uncut=self.rate.uncut + 1)
        else:
            self.rate = replace(change.rate, uncut=change.rate.uncut + 1, unchanged=1)
            self._judged_from = now

    def _percentile(self, seconds: Sequence[_Second]) -> float:
        """The 95th, in seconds: of waits plus exponential service times. By bisection, to 1 %."""
        answers = sum(second.asked for second in seconds)
        low, high = 0.0, TIMEOUT
        while answers and high - low > 0.01 * high:
            middle = (low + high) / 2
            beyond = sum(second.asked * math.exp(-max(0.0, middle - second.wait) / self.service) for second in seconds)
            low, high = (middle, high) if beyond > 0.05 * answers else (low, middle)
        return high if answers else 0.0


def _poisson(rng: random.Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _binomial(rng: random.Random, of: int, chance: float) -> int:
    if chance <= 0 or of == 0:
        return 0
    if chance >= 1:
        return of
    if of * chance * (1 - chance) > 10:
        return min(of, max(0, round(rng.gauss(of * chance, math.sqrt(of * chance * (1 - chance))))))
    return sum(rng.random() < chance for _ in range(of))
