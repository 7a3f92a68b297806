"""Which seats of a sale are free, and which of the free ones are best. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import Section, section_name
from tiketi_services.ticket.orders.blocks import blocks

FREE, HELD, SOLD = b"012"
"""State of one seat, as one character."""
_PLACES_SHOWN = 50
"""Standing places have no rows; so many of them are shown as one."""


@dataclass(frozen=True, slots=True)
class RowState:
    """How a row of seats looks."""

    section: str
    row: int | None
    """None for a stretch of standing places."""
    first: int
    """Number of the first seat."""
    states: str
    """One character a seat: 0 free, 1 held, 2 sold."""


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

    def empty(self, kept: Iterable[str] = ()) -> bytearray:
        """The state of each seat, one byte each, when nobody has any; all of ``kept`` sections are as held."""
        states = bytearray([FREE]) * len(self.seats)
        for section in kept:
            if section in self.sections:
                begin, end = self.span(section)
                states[begin:end] = bytes([HELD]) * (end - begin)
        return states

    def span(self, section: str) -> tuple[int, int]:
        """First place of a section, and the first one after it."""
        begin = self.begins[section]
        return begin, begin + self.sections[section].size


class Plans:
    """The plan of each sale, made anew only when its sections change."""

    def __init__(self) -> None:
        self._plans: dict[EventId, tuple[Sequence[Section], Plan]] = {}

    def of(self, sale: SaleSheet) -> Plan:
        """The plan of a sale's house."""
        sections, plan = self._plans.get(sale.event, ((), None))
        if plan is None or sections != sale.sections:
            plan = Plan(sale.sections)
            self._plans[sale.event] = (sale.sections, plan)
        return plan


class House:
    """State of every seat of a sale, one byte each, as of one moment."""

    def __init__(
        self, plan: Plan, held: Iterable[SeatId] = (), sold: Iterable[SeatId] = (), kept: Iterable[str] = ()
    ) -> None:
        """``kept``: sections whose free seats are not for buyers; they count as held."""
        self._plan = plan
        self._states = plan.empty(kept)
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
        """The best free seats of one section: see ``best_of``."""
        return self.best_of([section], quantity, among=among)

    def best_of(self, sections: Sequence[str], quantity: int, *, among: int = 1) -> list[SeatId]:
        """The best free seats of some sections, best first: neighbours (see ``blocks``) in the first that has them.

        Places of a standing area are as good as each other: the lowest numbers. Where nobody has room for all of them,
        they sit apart, in the first section with enough seats. ``among``: choose at random between so many best
        answers, for a crowd that would else run into the same seats. Empty if too few are free.
        """
        choices = self.offers(sections, quantity, among)
        return random.choice(choices) if choices else []  # noqa: S311

    def offers(self, sections: Sequence[str], quantity: int, most: int) -> list[list[SeatId]]:
        """Sets of free seats without a seat in common, best first: neighbours, or if there are none, seats apart."""
        if quantity < 1:
            return []
        seats = self._plan.seats
        together = chain.from_iterable(self._together(section, quantity) for section in sections)
        if not (choices := list(islice(together, most))):
            apart = chain.from_iterable(self._apart(section, quantity) for section in sections)
            choices = list(islice(apart, most))
        return [[seats[place] for place in choice] for choice in choices]

    def rows_of(self, wanted: Iterable[SeatId], most: int) -> list[RowState]:
        """The rows that some seats are in, the first ones."""
        rows: dict[tuple[str, int], RowState] = {}
        for seat in wanted:
            if (place := self._plan.places.get(seat)) is None:
                continue
            section = self._plan.sections[section_name(seat)]
            begin, end = self._plan.span(section.name)
            width = section.seats_per_row or _PLACES_SHOWN
            number = (place - begin) // width
            first = begin + number * width
            states = self._states[first : min(first + width, end)].decode("ascii")
            rows[section.name, number] = (
                RowState(section.name, None, number * width + 1, states)
                if section.is_standing
                else RowState(section.name, number + 1, 1, states)
            )
            if len(rows) == most:
                break
        return list(rows.values())

    def _together(self, section: str, quantity: int) -> Iterator[Sequence[int]]:
        """Disjoint sets of neighbours, best first; of standing places any, for they have none."""
        begin, end = self._plan.span(section)
        width = self._plan.sections[section].seats_per_row
        if width is None:
            yield from self._apart(section, quantity)
        elif quantity <= width:
            for start in blocks(self._states, begin, end, width, quantity):
                yield range(start, start + quantity)

    def _apart(self, section: str, quantity: int) -> Iterator[Sequence[int]]:
        """Disjoint sets of free places, the lowest first."""
        return _in_groups(self._runs(*self._plan.span(section), 1), quantity)

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
