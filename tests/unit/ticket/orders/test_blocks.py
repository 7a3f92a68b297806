"""Where parties sit: neighbours, far in front, and nobody left a seat alone."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_services.ticket.orders.blocks import ALONE, blocks


def first(rows: str, size: int) -> int | None:
    width = len(rows.split()[0])
    return next(blocks(bytearray(rows.replace(" ", "").encode()), 0, len(rows.replace(" ", "")), width, size), None)


@pytest.mark.parametrize(
    ("rows", "size", "start"),
    [
        ("000000 000000", 2, 0),
        ("110000 000000", 2, 2),
        ("001000 000000", 2, 0),  # fills a gap to the last seat
        ("000100 000000", 2, 4),  # the left gap would keep one seat alone
        ("000111 000000", 2, 6),  # so does this one; a row further back it does not
        ("000111 111111 111111", 2, 0),  # nowhere else is room
        ("000111 111111 111111 000000", 2, 0),  # further back than a seat alone is worth
        ("000000 000000", 5, 0),  # every row would keep one alone: the first then
        ("011011 110111", 1, 0),
        ("001111 100011", 1, 7),  # one of two would leave the other alone
        ("111111 111111", 1, None),
        ("111000 000111", 4, None),  # never over the end of a row
    ],
)
def test_the_best_place_of_a_party(rows: str, size: int, start: int | None) -> None:
    assert first(rows, size) == start


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.floats(0, 1), st.randoms(use_true_random=False))
def test_every_answer_is_free_in_one_row_and_shares_no_seat(
    rows: int, width: int, size: int, full: float, dice: random.Random
) -> None:
    states = bytearray(dice.choices(b"01", [1 - full + 1e-9, full], k=rows * width))
    answers = list(blocks(states, 0, len(states), width, size))
    seats = [seat for start in answers for seat in range(start, start + size)]
    assert len(seats) == len(set(seats))
    assert all(states[seat] == ord("0") for seat in seats)
    assert all(start // width == (start + size - 1) // width for start in answers)
    room = any(
        states[row * width + at : row * width + at + size] == b"0" * size
        for row in range(rows)
        for at in range(width - size + 1)
    )
    assert bool(answers) == room


@given(st.integers(2, 12), st.integers(1, 5), st.floats(0, 1), st.randoms(use_true_random=False))
def test_no_place_of_those_looked_at_is_better_than_the_first(
    width: int, size: int, full: float, dice: random.Random
) -> None:
    rows = 8
    states = bytearray(dice.choices(b"01", [1 - full + 1e-9, full], k=rows * width))
    answers = list(blocks(states, 0, len(states), width, size))
    costs = [start // width + ALONE * left_alone(states, start, size, width) for start in answers]
    assert costs == sorted(costs)


def left_alone(states: bytearray, start: int, size: int, width: int) -> int:
    """Free seats with no free neighbour, beside a party that sits down there."""
    row = states[start // width * width :][:width]
    at = start % width
    row[at : at + size] = b"1" * size
    padded = b"1" + bytes(row) + b"1"
    return sum(padded[i : i + 3] == b"101" for i in (at - 1, at + size))


def test_a_house_that_fills_up_leaves_few_seats_alone() -> None:
    """Parties of 2 to 4 until nine tenths are full: seats alone when every party takes the best, or the first."""
    dice = random.Random(5)
    parties = dice.choices([2, 3, 4], [5, 3, 2], k=2000)
    best, naive = bytearray(b"0" * 3000), bytearray(b"0" * 3000)
    for party in parties:
        if (start := next(blocks(best, 0, 3000, 30, party), None)) is not None:
            best[start : start + party] = b"1" * party
        row = next((r for r in range(0, 3000, 30) if naive.find(b"0" * party, r, r + 30) >= 0), None)
        if row is not None:
            start = naive.find(b"0" * party, row, row + 30)
            naive[start : start + party] = b"1" * party
        if best.count(b"0") < 300:
            break
    assert 10 * alone(best) < alone(naive)


def alone(states: bytearray) -> int:
    rows = [bytes(states[at : at + 30]) for at in range(0, len(states), 30)]
    return sum((b"1" + row + b"1")[i : i + 3] == b"101" for row in rows for i in range(30))


def test_the_first_answer_needs_no_look_at_the_whole_house() -> None:
    looks = 0

    class Watched(bytearray):
        def find(self, *arguments: Any) -> int:
            nonlocal looks
            looks += 1
            return super().find(*arguments)

    states = Watched(b"0" * 60_000)
    assert list(islice(blocks(states, 0, 60_000, 200, 2), 3)) == [0, 2, 4]
    assert looks == 1
