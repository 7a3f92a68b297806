"""Which seats of a sale are free, and which of the free ones are best. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from tiketi_runtime.contracts.identity import SeatId
from tiketi_runtime.contracts.seating import Section

FREE, HELD, SOLD = b"012"
"""State of one seat, as one character."""


class Plan:
    """Where each seat is: its place in the order of the house, section after section. Made once for a sale sheet."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self.sections = {section.name: section for section in sections}
        self.seats = tuple(chain.from_iterable(section.seats() for section in sections))
        self.places = {seat: place for place, seat in enumerate(self.seats)}
        self.begins: dict[str, int] = {}
        begin = 0
        for section in sections:
            self.begins[section.name] = begin
            begin += section.size

    def span(self, section: str) -> tuple[int, int]:
        """First place of a section, and the first one after it."""
        begin = self.begins[section]
        return begin, begin + self.sections[section].size


class House:
    """State of every seat of a sale, one byte each, as of one moment."""

    def __init__(self, plan: Plan, held: Iterable[SeatId] = (), sold: Iterable[SeatId] = ()) -> None:
        self._plan = plan
        self._states = bytearray([FREE]) * len(plan.seats)
        self._mark(held, HELD)
        self._mark(sold, SOLD)

    def states(self) -> dict[str, str]:
        """One character a seat (0 free, 1 held, 2 sold) by section."""
        text = self._states.decode("ascii")
        return {name: text[slice(*self._plan.span(name))] for name in self._plan.sections}

    def free(self, section: str) -> int:
        """Number of free seats of a section."""
        return self._states.count(FREE, *self._plan.span(section))

    def take(self, seats: Iterable[SeatId]) -> None:
        """These seats are no longer free."""
        self._mark(seats, HELD)

    def give_back(self, seats: Iterable[SeatId]) -> None:
        """These seats are free again."""
        self._mark(seats, FREE)

    def best(self, section: str, quantity: int, *, among: int = 1) -> list[SeatId]:
        """The best free seats: neighbours in the lowest row that has them, else the lowest single ones.

        Places of a standing area are as good as each other: the lowest numbers. ``among``: choose at random between
        so many best answers, for a crowd that would else run into the same seats. Empty if too few are free.
        """
        if quantity < 1:
            return []
        choices = list(islice(self._choices(section, quantity), among))
        return [self._plan.seats[place] for place in random.choice(choices)] if choices else []  # noqa: S311

    def _choices(self, section: str, quantity: int) -> Iterator[Sequence[int]]:
        """Disjoint sets of free places, best first."""
        begin, end = self._plan.span(section)
        width = self._plan.sections[section].seats_per_row
        found = False
        if width is not None and quantity <= width:
            for row in range(begin, end, width):
                for start in self._runs(row, row + width, quantity):
                    found = True
                    yield range(start, start + quantity)
        if not found:
            yield from _in_groups(self._runs(begin, end, 1), quantity)

    def _runs(self, begin: int, end: int, length: int) -> Iterator[int]:
        """Starts of runs of ``length`` free places between two places, none of them overlapping."""
        wanted = bytes([FREE]) * length
        while (begin := self._states.find(wanted, begin, end)) >= 0:
            yield begin
            begin += length

    def _mark(self, seats: Iterable[SeatId], state: int) -> None:
        """Seats of a section that was sold and then removed are passed over."""
        places, states = self._plan.places, self._states
        for seat in seats:
            if (place := places.get(seat)) is not None:
                states[place] = state


def _in_groups(places: Iterator[int], size: int) -> Iterator[Sequence[int]]:
    while len(group := list(islice(places, size))) == size:
        yield group
