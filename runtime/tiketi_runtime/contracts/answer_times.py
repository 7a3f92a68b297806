"""How ticket counts in Redis (``EventKeys.samples``) how long answers took, by windows of time. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

WINDOW: Final = timedelta(seconds=10)
"""Answers are counted in windows of this length, which are numbered by time: seconds since 1970 // 10."""
KEPT: Final = 6 * WINDOW
"""How long the counters of a window are kept."""
_STEPS: Final = 4
"""Buckets while the time doubles: a percentile is at most 19 % above the truth."""


class Kind(StrEnum):
    """What was asked for."""

    HOLD = "hold"
    ORDER = "order"
    CONFIRM = "confirm"
    """A payment's confirmation, which has waited for a bank."""


def window_of(now: datetime) -> int:
    """The number of a moment's window."""
    return int(now.timestamp() // WINDOW.total_seconds())


def counter_of(kind: Kind, ms: float) -> str:
    """The counter of an answer that took so long: ``<kind>:<bucket>``."""
    return f"{kind}:{max(0, math.ceil(_STEPS * math.log2(max(ms, 1))))}"


def times_of(counts: Mapping[str, int], kind: Kind) -> Counter[float]:
    """Numbers of answers by the upper bound (ms) of their bucket."""
    prefix = f"{kind}:"
    return Counter(
        {2 ** (int(name[len(prefix) :]) / _STEPS): number for name, number in counts.items() if name.startswith(prefix)}
    )


def percentile_of(times: Mapping[float, int]) -> float:
    """The 95th; 0 if there are no times."""
    beyond = 0.05 * sum(times.values())
    for ms in sorted(times, reverse=True):
        beyond -= times[ms]
        if beyond < 0:
            return ms
    return 0.0
