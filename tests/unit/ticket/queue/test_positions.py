"""Positions are exact: checked against counting one by one."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tiketi_services.ticket.queue.places.positions import GROUP, GroupPart, Positions, Standings, group_of


@dataclass(frozen=True)
class Turned:
    """A draw that is easy to follow: everybody moves up by ``by`` places, the first ones to the end."""

    n: int
    by: int

    def place(self, seq: int) -> int:
        return (seq - 1 - self.by) % self.n + 1

    def seqs(self, from_place: int, count: int) -> list[int]:
        return [(place - 1 + self.by) % self.n + 1 for place in range(from_place, from_place + count)]


def bitmap(living: set[int]) -> bytes:
    """As SETBIT leaves it."""
    data = bytearray(max(living, default=0) // 8 + 1)
    for seq in living:
        data[seq // 8] |= 128 >> (seq % 8)
    return bytes(data)


def assert_exact(standings: Standings | None, living: set[int], order: Turned | None = None) -> None:
    assert standings is not None
    places = {order.place(seq) if order and seq <= order.n else seq for seq in living}
    for place in places:
        expected = sum(other < place for other in places) + 1
        assert standings.of(group_of(place)).position(place) == expected
    assert standings.living == len(living)


SEQS = st.sets(st.integers(1, 400))


@given(st.lists(SEQS, min_size=1, max_size=4))
@settings(deadline=None)
def test_positions_in_order_of_joining(readings: list[set[int]]) -> None:
    positions = Positions()
    for living in readings:
        assert_exact(positions.update(bitmap(living)), living)


@given(st.lists(SEQS, min_size=1, max_size=4), st.integers(1, 300), st.integers(0, 300))
@settings(deadline=None)
def test_positions_in_drawn_order_with_later_joiners_behind(readings: list[set[int]], n: int, by: int) -> None:
    positions, order = Positions(), Turned(n, by)
    for living in readings:
        assert_exact(positions.update(bitmap(living), order), living, order)


@given(SEQS, SEQS, st.integers(1, 7))
@settings(deadline=None)
def test_a_long_update_may_be_taken_in_pieces_while_the_line_moves_on(a: set[int], b: set[int], most: int) -> None:
    positions, order = Positions(), Turned(350, 11)
    positions.update(bitmap(a), order, most=most)
    standings = None
    while standings is None:
        standings = positions.update(bitmap(b), order, most=most)
    assert_exact(standings, b, order)


def test_an_update_in_pieces_looks_up_no_more_than_asked() -> None:
    positions, order = Positions(), Turned(100, 1)
    asked = [positions.update(bitmap(set(range(1, 101))), order, most=40) for _ in range(3)]
    assert [standings is None for standings in asked] == [True, True, False]


def test_a_draw_replaces_the_order_of_joining() -> None:
    positions, order = Positions(), Turned(3, 1)
    positions.update(bitmap({1, 2, 3}))
    assert_exact(positions.update(bitmap({1, 2, 3}), order), {1, 2, 3}, order)
    assert_exact(positions.update(bitmap({2, 3}), order), {2, 3}, order)


def test_a_group_covers_the_sixty_four_places_from_one() -> None:
    assert [group_of(place) for place in (1, GROUP, GROUP + 1)] == [0, 0, 1]
    standings = Positions().update(bitmap({1, 64, 65}))
    assert standings is not None
    assert standings.of(0) == GroupPart(0, 1 | 1 << 63)
    assert standings.of(1) == GroupPart(2, 1)


def test_behind_the_last_place_everybody_living_is_ahead() -> None:
    standings = Positions().update(bitmap({1, 7}))
    assert standings is not None
    assert standings.of(9) == GroupPart(2, 0)


def test_an_empty_line_has_nobody_ahead() -> None:
    standings = Positions().update(b"")
    assert standings is not None
    assert standings.of(0).position(1) == 1
