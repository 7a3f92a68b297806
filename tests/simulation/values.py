"""The values Redis keeps behind a key, as far as our scripts use them; and numbers as it writes them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from decimal import Decimal


class SortedSet:
    """Members by score, then by bytes."""

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self._order: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self.scores)

    def put(self, member: bytes, score: float) -> None:
        """Add or move a member."""
        old = self.scores.get(member)
        if old == score:
            return
        if old is not None:
            self._unlist(member, old)
        self.scores[member] = score
        insort(self._order, (score, member))

    def remove(self, member: bytes) -> bool:
        """Whether it was there."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        self._unlist(member, score)
        return True

    def between(self, low: bytes, high: bytes) -> list[tuple[float, bytes]]:
        """Entries with scores in a range, as commands write its ends: ``(`` excludes, ``-inf``, ``+inf``."""
        begin, end = self._begin(low), self._end(high)
        return self._order[begin:end]

    def count(self, low: bytes, high: bytes) -> int:
        """How many there are in a range."""
        return max(0, self._end(high) - self._begin(low))

    def first(self, count: int) -> list[tuple[float, bytes]]:
        """The lowest entries."""
        return self._order[:count]

    def by_rank(self, start: int, stop: int) -> list[tuple[float, bytes]]:
        """Entries from rank to rank, both included; negative ones count from the end."""
        length = len(self._order)
        start = max(0, start + length) if start < 0 else start
        stop = stop + length if stop < 0 else stop
        return self._order[start : stop + 1]

    def _unlist(self, member: bytes, score: float) -> None:
        del self._order[bisect_left(self._order, (score, member))]

    def _begin(self, low: bytes) -> int:
        if low.startswith(b"("):
            return bisect_right(self._order, float(low[1:]), key=_score)
        return bisect_left(self._order, float(low), key=_score)

    def _end(self, high: bytes) -> int:
        if high.startswith(b"("):
            return bisect_left(self._order, float(high[1:]), key=_score)
        return bisect_right(self._order, float(high), key=_score)


def _score(entry: tuple[float, bytes]) -> float:
    return entry[0]


def encode(value: object) -> bytes:
    """An argument as it travels."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        return number(value)
    return b"%d" % int(str(value))


def number(value: float) -> bytes:
    """A double as Redis writes scores, and Lua its numbers for Redis."""
    if math.isinf(value):
        return b"inf" if value > 0 else b"-inf"
    if value == int(value) and abs(value) < 1e17:
        return b"%d" % int(value)
    return b"%.17g" % value


def decimal_sum(first: bytes, second: bytes) -> bytes:
    """As HINCRBYFLOAT adds and writes: with 17 decimals at most, without trailing zeros."""
    total = (Decimal(first.decode()) + Decimal(second.decode())).quantize(Decimal(1).scaleb(-17))
    text = f"{total:f}".rstrip("0").rstrip(".")
    return text.encode()
