"""Where in a section a party sits best: next to each other, far in front, and leaving nobody a seat alone. Pure."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

FREE: Final = ord("0")
"""State of a free seat; every other character is a taken one."""
ALONE: Final = 2
"""A free seat left alone between taken ones is as bad as sitting so many rows further back: few parties want it."""


def blocks(states: bytearray, begin: int, end: int, width: int, size: int) -> Iterator[int]:
    """Starts of ``size`` neighbours among the rows of ``width`` seats from ``begin`` to ``end``, best first.

    No two of them overlap. Rows without room are passed over at the speed of ``bytes.find``, and no row is looked at
    before it is needed: the first answer costs microseconds in a house of any size.
    """
    wanted = bytes([FREE]) * size
    waiting: list[tuple[int, int]] = []
    """(cost, start) of what is not the best yet."""
    place = states.find(wanted, begin, end)
    while place >= 0:
        row = (place - begin) // width
        while waiting and waiting[0][0] <= row:
            yield heapq.heappop(waiting)[1]
        first = begin + row * width
        for start, left_alone in _in_row(states, first, first + width, size):
            if left_alone:
                heapq.heappush(waiting, (row + ALONE * left_alone, start))
            else:
                yield start
        place = states.find(wanted, first + width, end)
    while waiting:
        yield heapq.heappop(waiting)[1]


def _in_row(states: bytearray, begin: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Starts of neighbours in one row, from left to right, and how many seats each of them would leave alone.

    Each gap is filled from the left; the last party sits at its right end.
    """
    for gap in _gaps(size).finditer(states, begin, end):
        low, high = gap.span()
        starts = list(range(low, high - size + 1, size))
        if len(starts) > 1:
            starts[-1] = high - size
        for start in starts:
            yield start, (start - low == 1) + (high - start - size == 1)


@cache
def _gaps(size: int) -> re.Pattern[bytes]:
    return re.compile(b"0{%d,}" % size)
