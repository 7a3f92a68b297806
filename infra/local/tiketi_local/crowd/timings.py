"""How long each step took, as buyers saw it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class Summary:
    """Times of one step, in milliseconds."""

    step: str
    count: int
    p50: float
    p99: float
    worst: float


class Timings:
    """Collects durations by step, and answers by status."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self.answers: Counter[tuple[str, int]] = Counter()

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Time the block, whatever its end."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[step].append(time.perf_counter() - started)

    def summaries(self) -> list[Summary]:
        """One row a step, in the order in which the steps were first taken."""
        return [_summary(step, seconds) for step, seconds in self._seconds.items()]

    def server_errors(self) -> int:
        """Answers of 500 and above."""
        return sum(count for (_, status), count in self.answers.items() if status >= 500)


def _summary(step: str, seconds: list[float]) -> Summary:
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    return Summary(step, len(seconds), cuts[49] * 1000, cuts[98] * 1000, max(seconds) * 1000)
