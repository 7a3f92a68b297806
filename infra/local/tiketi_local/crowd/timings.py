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
    """Collects durations by step, and the answers no buyer likes."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self.server_errors: Counter[tuple[str, int, str]] = Counter()
        """Answers of 500 and above, by step, status and problem code, but for those in ``put_off``. Empty is well."""
        self.put_off: Counter[tuple[str, str]] = Counter()
        """Answers 503 that said when to come again, by step and problem code. A store that does not answer for a moment
        makes some, and the buyer is served a moment later."""

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Time the block, whatever its end."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[step].append(time.perf_counter() - started)

    def note_refusal(self, step: str, status: int, code: str, *, says_when: bool) -> None:
        """Count an answer of 500 or above. ``says_when``: it has a Retry-After."""
        if status == 503 and says_when:
            self.put_off[step, code] += 1
        elif status >= 500:
            self.server_errors[step, status, code] += 1

    def summaries(self) -> list[Summary]:
        """One row a step, in the order in which the steps were first taken."""
        return [_summary(step, seconds) for step, seconds in self._seconds.items()]


def _summary(step: str, seconds: list[float]) -> Summary:
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    return Summary(step, len(seconds), cuts[49] * 1000, cuts[98] * 1000, max(seconds) * 1000)
