"""How many living buyers stand before each place. Pure.

Places are told in groups of 64, so that one message fits everybody of a group: group ``g`` covers the places
``64 g + 1`` to ``64 g + 64``. A buyer's position is ``ahead`` of the group, plus those of ``alive`` below the buyer's
own bit, plus one.

In order of joining the cost is that of a few passes over the bitmap, whatever changed; in drawn order there is a
look-up for each buyer who came or went since the last reading. Row P11 of ``make bench-line`` watches what a join costs
with 1,000,000 waiting, the readings that joins ask for included.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tiketi_services.ticket.queue.domain import DrawnOrder

GROUP: Final = 64
"""Places told together."""
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Redis numbers the bits of a byte from the highest, arithmetic from the lowest."""


@dataclass(frozen=True, slots=True)
class GroupPart:
    """What a group's own part of the state message says."""

    ahead: int
    """Living buyers with a place before the group."""
    alive: int
    """Bit k: place ``64 g + 1 + k`` is alive."""

    def position(self, place: int) -> int:
        """Where the buyer at ``place`` (of this group) stands among the living, from 1."""
        below = self.alive & ((1 << ((place - 1) % GROUP)) - 1)
        return self.ahead + below.bit_count() + 1


def group_of(place: int) -> int:
    """The group that covers a place."""
    return (place - 1) // GROUP


@dataclass(frozen=True, slots=True)
class Standings:
    """The living of one line in the order of their places, at one moment."""

    words: tuple[int, ...]
    """One for each group: bit k of word g is place ``64 g + 1 + k``."""
    ahead: tuple[int, ...]
    """Living buyers before each group; one more number than groups."""

    @property
    def living(self) -> int:
        """How many are alive."""
        return self.ahead[-1]

    def of(self, group: int) -> GroupPart:
        """A group's part; of one beyond the last place it says that all living are ahead."""
        if not 0 <= group < len(self.words):
            return GroupPart(self.living, 0)
        return GroupPart(self.ahead[group], self.words[group])


class Positions:
    """Follows the living of one line from reading to reading."""

    def __init__(self) -> None:
        self._order: DrawnOrder | None = None
        self._entered = 0
        """Living entries of the draw by number of joining, as far as they were looked up: bit k is seq k + 1."""
        self._drawn = 0
        """The same buyers by place: bit k is place k + 1."""

    def update(self, living: bytes, order: DrawnOrder | None = None, *, most: int | None = None) -> Standings | None:
        """Where everybody stands by this bitmap of the living (bit = seq, as Redis numbers bits).

        ``order``: of a line that was drawn; who joined later than its entries stands behind them, in order of joining.
        ``most``: how many buyers who came or went may be looked up in this call. None is returned when some are left:
        call again.
        """
        joined = _by_seq(living)
        if order is None:
            return _standings(joined)
        if order != self._order:
            self._order, self._entered, self._drawn = order, 0, 0
        if not self._look_up(joined & ((1 << order.n) - 1), order, most):
            return None
        return _standings(self._drawn | (joined >> order.n << order.n))

    def _look_up(self, entered: int, order: DrawnOrder, most: int | None) -> bool:
        """Flip the places of those entries who came or went since, ``most`` of them."""
        changed = self._entered ^ entered
        flips = bytearray((order.n + 7) // 8)
        looked_up = changed
        for count, seq in enumerate(_numbers(changed)):
            if count == most:
                looked_up &= (1 << (seq - 1)) - 1
                break
            bit = order.place(seq) - 1
            flips[bit >> 3] |= 1 << (bit & 7)
        self._drawn ^= int.from_bytes(flips, "little")
        self._entered ^= looked_up
        return looked_up == changed


def _standings(placed: int) -> Standings:
    groups = (placed.bit_length() + GROUP - 1) // GROUP
    words = struct.unpack(f"<{groups}Q", placed.to_bytes(groups * 8, "little"))
    return Standings(words, (0, *accumulate(map(int.bit_count, words))))


def _by_seq(bitmap: bytes) -> int:
    """Bit k of the result is bit k + 1 of a Redis bitmap; its bit 0 is nobody."""
    return int.from_bytes(bitmap.translate(_REVERSED), "little") >> 1


def _numbers(bits: int) -> Iterator[int]:
    """The numbers, from 1, of the bits that are set, rising. Skips 64 at a time where none is."""
    groups = (bits.bit_length() + GROUP - 1) // GROUP
    for group, word in enumerate(struct.unpack(f"<{groups}Q", bits.to_bytes(groups * 8, "little"))):
        while word:
            lowest = word & -word
            yield group * GROUP + lowest.bit_length()
            word ^= lowest
