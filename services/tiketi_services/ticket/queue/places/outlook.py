"""What a waiting buyer may expect: how long it takes, and whether a ticket will be left. Pure.

Honest means calibrated: a range that holds, a "likely" that comes true, and None where nothing is known. The numbers in
here were chosen so in simulated sales; ``tests/unit/ticket/queue/test_outlook.py`` states how often they must hold.
Clients follow ``eta_of`` and ``chance_of``, which need no more than the state message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

STRETCH: Final = timedelta(seconds=10)
"""Admissions are counted in stretches of this length, keyed by seconds since 1970 // 10."""
_MEMORY: Final = timedelta(minutes=5)
"""How far back the pace is looked for; what was before says little about what comes."""
_RECENT: Final = timedelta(minutes=1)
_CROWDED: Final = 0.8
"""Of a stretch, buyers must have waited for so much: in another the line was as slow as buyers came."""
_ESTABLISHED: Final = 0.5
"""Minutes, of the last one, for which buyers must have waited until that counts for more than room there is."""
_SURPRISE: Final = 3
"""Admissions that a line must have missed in a row before it counts as standing still."""

# What is assumed where nothing is known yet
_LEAST_SHARE: Final = 0.2
"""Of those offered a slot at least so many are counted on to come: what serving makes up for, at most."""
_UNSEEN: Final = 0.3
"""Share of offers that may lapse, for all that is known before the first ones can have."""
_USED: Final = 0.5
"""Share of their time to shop that buyers use: most are done in less."""
_PRIOR_BUYERS: Final = 6
"""What is assumed of buyers before any have come weighs as much as so many of them."""

# How wide the ranges are
_DOUBT: Final = 1.3
"""Standard deviations of a count to allow for."""
_DRIFT: Final = 0.15
"""The next minutes differ from the last ones by so much, even when all was counted."""
_HOPE: Final = 0.4
_DENIAL: Final = 1.6
"""Standard deviations kept between a promise, or a denial, and the edge."""
_ENDLESS: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Pace:
    """Places by which the line will move on in a minute: at least, and at most."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gate:
    """What the pace depends on, besides what was measured."""

    opens_at: datetime
    per_minute: float
    """Buyers admitted per minute at most, as of now."""
    slots: int
    session: timedelta
    """Longest time a buyer shops."""
    active: int = 0
    """Buyers who are shopping."""
    claim_window: timedelta = timedelta(0)
    """Time to claim an offer: before it has passed nobody knows who does not come."""
    show_share: float = 1.0
    """Share of offers that are claimed; the others move the line on without being admitted."""
    is_paused: bool = False
    waiting: int = 0
    """Living buyers in line."""
    room: float = 0
    """So many of them slots and places leave room for now."""


def pace_of(admitted: Mapping[int, int], crowded: Mapping[int, float], now: datetime, gate: Gate) -> Pace | None:
    """The pace to expect, from the admissions by stretch of the last minutes; None: unknown.

    Only while buyers had to wait (``crowded``: seconds by stretch) something was measured: in a quiet spell admissions
    tell how many came, not how many could have. Without that, and for a crowd that there is room for, the pace follows
    from the policy. What was measured is told the wider the less was seen and the more it moved. None while nobody is
    admitted: by the organiser's will, or longer than chance explains. Never a single number: none is so sure.
    """
    if gate.is_paused:
        return None
    share = max(_LEAST_SHARE, gate.show_share)
    elapsed = now - gate.opens_at
    fewest = share * (1 - (_UNSEEN if elapsed < 2 * gate.claim_window else _DRIFT))
    most = gate.per_minute / fewest
    turnover = min(gate.per_minute, gate.slots / (_minutes(gate.session) * _USED))
    planned = _a_range((1 - _DRIFT) * _at_least(gate, turnover * _USED) / share, most)
    if elapsed <= timedelta(0):
        return planned
    seen, minutes = _count(admitted, crowded, now, elapsed, _MEMORY)
    recent = _count(admitted, crowded, now, elapsed, _RECENT)[1]
    has_room = max(1, gate.waiting) <= gate.room
    if minutes == 0 or (has_room and recent < _ESTABLISHED):
        return planned
    if seen == 0:
        return None if turnover * minutes >= _SURPRISE else planned
    low, high = _measured(admitted, crowded, now, elapsed)
    if gate.active < gate.slots and not has_room and minutes <= _minutes(_MEMORY):
        low = min(low, _pace_once_full(seen, minutes, gate))
    # Every session ends some time.
    return _a_range(max(low, turnover * _USED) / share, min(high / fewest, most))


def _a_range(low: float, high: float) -> Pace:
    return Pace(min(low, (1 - _DRIFT) * high), high)


def _at_least(gate: Gate, turnover: float) -> float:
    """Admissions per minute to count on where none were measured, for the last one in line.

    As many as there is room for come in at the rate; the others as others finish, ``turnover`` of them in a minute.
    """
    last = max(1, gate.waiting)
    admitted_at_once = min(last, gate.room)
    return last / (admitted_at_once / gate.per_minute + (last - admitted_at_once) / turnover)


def _measured(
    admitted: Mapping[int, int], crowded: Mapping[int, float], now: datetime, elapsed: timedelta
) -> tuple[float, float]:
    """Least and most admissions per minute that the last minute and the last minutes make plausible."""
    lows, highs = [], []
    for window in (_RECENT, _MEMORY):
        count, minutes = _count(admitted, crowded, now, elapsed, window)
        if minutes == 0:
            continue
        doubt = _DOUBT * math.sqrt(count + 1)
        lows.append(max(0.0, count - doubt) / minutes)
        highs.append((count + 1 + doubt) / minutes)
    return min(lows) * (1 - _DRIFT), max(highs) * (1 + _DRIFT)


def _pace_once_full(seen: int, minutes: float, gate: Gate) -> float:
    """Admissions per minute when all slots are taken, judged by the sessions that have ended so far.

    While slots fill up the line runs at the rate; then only as fast as buyers finish.
    """
    ended = max(0, seen - gate.active)
    shopped = minutes * max(1, gate.active) / 2
    return gate.slots * max(1 / (_minutes(gate.session) * _USED), (ended - _DOUBT * math.sqrt(ended)) / shopped)


def _count(
    admitted: Mapping[int, int], crowded: Mapping[int, float], now: datetime, elapsed: timedelta, window: timedelta
) -> tuple[int, float]:
    """Admissions within ``window``, in whole stretches with a crowd, and the minutes these cover since the opening."""
    length, at = STRETCH.total_seconds(), now.timestamp()
    opened, count, seconds = at - elapsed.total_seconds(), 0, 0.0
    for stretch in range(int((at - window.total_seconds()) // length), int(at // length) + 1):
        covered = min(at, (stretch + 1) * length) - max(opened, stretch * length)
        if covered > 0 and 0 < crowded.get(stretch, 0) >= _CROWDED * covered - 1:
            count += admitted.get(stretch, 0)
            seconds += covered
    return count, max(1.0, seconds) / 60 if seconds else 0.0


def _minutes(duration: timedelta) -> float:
    return duration.total_seconds() / 60


# --- Whether a ticket will be left


class Chance(StrEnum):
    """What a buyer is told about getting a ticket."""

    LIKELY = "likely"
    DOUBTFUL = "doubtful"
    UNLIKELY = "unlikely"


@dataclass(frozen=True, slots=True)
class Reach:
    """Up to how many living buyers ahead a ticket is likely, and up to how many doubtful; -1: not even the first."""

    likely: int
    doubtful: int


@dataclass(frozen=True, slots=True)
class Stock:
    """The places sold in a line, and what buyers made of them so far."""

    free: int
    """Neither held nor sold."""
    held: int
    """Held or ordered, not paid: some of these come back."""
    sold: int
    active: int
    """Buyers who are shopping; those of them who hold nothing yet are ahead of everybody who waits."""
    holding: int
    """Those of ``active`` who hold places."""
    admitted: int
    """Buyers admitted so far, ``active`` included."""
    most_per_buyer: int


def reach_of(stock: Stock, show_share: float, pace: Pace | None = None, left: timedelta | None = None) -> Reach:
    """How far down the line the stock will last, and (with ``left`` until closing) the time.

    ``show_share``: of the buyers ahead, the share that will come when it is their turn.
    """
    take = _take_of(stock)
    browsing = max(0, stock.active - stock.holding)
    likely = _last_served(stock.free, browsing, take, show_share, +_HOPE)
    doubtful = _last_served(stock.free + stock.held, browsing, take, show_share, -_DENIAL)
    if left is not None and pace is not None:
        minutes = max(0.0, _minutes(left))
        likely = min(likely, math.floor(pace.low * minutes) - 1)
        doubtful = min(doubtful, math.floor(pace.high * minutes))
    return Reach(likely, max(likely, doubtful))


@dataclass(frozen=True, slots=True)
class _Take:
    """Places that one admitted buyer takes: the mean, how it varies, and how sure the mean is (a variance)."""

    mean: float
    variance: float
    mean_variance: float


def _take_of(stock: Stock) -> _Take:
    """Learn from the buyers who are through; before there are any, half of what one may buy."""
    most = stock.most_per_buyer
    through = max(0, stock.admitted - stock.active) + stock.holding
    taken = stock.sold + stock.held
    mean = (most / 2 * _PRIOR_BUYERS + min(taken, most * through)) / (_PRIOR_BUYERS + through)
    variance = max(mean * (most - mean), 0.05)
    return _Take(mean, variance, variance / (_PRIOR_BUYERS + through))


def _last_served(free: int, browsing: int, take: _Take, show_share: float, caution: float) -> int:
    """Most buyers ahead for whom the places still leave one, at ``caution`` standard deviations; -1 if none."""

    def is_left(ahead: int) -> bool:
        buyers = browsing + ahead * show_share
        variance = (
            buyers * take.variance
            + ahead * show_share * (1 - show_share) * take.mean**2
            + buyers**2 * (take.mean_variance + (_DRIFT * take.mean) ** 2)
        )
        return buyers * take.mean + caution * math.sqrt(variance) + 1 <= free

    if free < 1 or not is_left(0):
        return -1
    low, high = 0, 1
    while is_left(high) and high < _ENDLESS:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_left(middle) else (low, middle)
    return low


# --- What clients compute, from the state message and their own position


def eta_of(
    ahead: int, pace: Pace | None, opens_in: timedelta = timedelta(0)
) -> tuple[timedelta, timedelta | None] | None:
    """Earliest and latest time until a slot is offered; the latest may be unknown; None: nothing is known.

    ``ahead``: living buyers before this one. ``opens_in``: time until the line opens, zero or less once it has.
    """
    if pace is None or pace.high <= 0:
        return None
    wait = max(opens_in, timedelta(0))
    latest = None if pace.low <= 0 else wait + timedelta(minutes=ahead / pace.low)
    return wait + timedelta(minutes=ahead / pace.high), latest


def chance_of(ahead: int, reach: Reach) -> Chance:
    """What a buyer with so many living buyers ahead is told."""
    if ahead <= reach.likely:
        return Chance.LIKELY
    return Chance.DOUBTFUL if ahead <= reach.doubtful else Chance.UNLIKELY
