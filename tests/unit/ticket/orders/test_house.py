"""Which free seats are best."""

from __future__ import annotations

import pytest

from tiketi_runtime.contracts.identity import SeatId
from tiketi_runtime.contracts.seating import Section
from tiketi_services.ticket.orders.house import House, Plan

SEATED = Section(name="A", price=1000, rows=3, seats_per_row=4)
STANDING = Section(name="ST", price=500, capacity=6)


PLAN = Plan([SEATED, STANDING])


def house(*held: str, sold: tuple[str, ...] = ()) -> House:
    return House(PLAN, map(SeatId, held), map(SeatId, sold))


def test_states_are_in_the_order_of_the_house() -> None:
    states = house("A-01-02", "ST-0006", sold=("A-03-04",)).states()
    assert states == {"A": "010000000002", "ST": "000001"}


@pytest.mark.parametrize("section", [SEATED, STANDING], ids=lambda section: section.name)
def test_every_seat_has_a_place_of_its_own(section: Section) -> None:
    for number, seat in enumerate(section.seats()):
        states = house(seat).states()[section.name]
        assert states.index("1") == number
        assert states.count("1") == 1


def test_neighbours_never_span_two_rows() -> None:
    assert house("A-01-01", "A-01-02").best("A", 3) == ["A-02-01", "A-02-02", "A-02-03"]


def test_the_lowest_gap_that_fits_is_taken() -> None:
    assert house("A-01-02").best("A", 2) == ["A-01-03", "A-01-04"]
    assert house("A-01-02").best("A", 1) == ["A-01-01"]


def test_single_seats_are_given_when_no_row_has_enough_neighbours() -> None:
    assert house("A-01-02", "A-01-04", "A-02-02", "A-02-03", "A-03-01", "A-03-03").best("A", 2) == [
        "A-01-01",
        "A-01-03",
    ]


def test_a_party_larger_than_a_row_gets_seats_in_several() -> None:
    assert len(house().best("A", 6)) == 6


def test_standing_places_are_the_lowest_numbers() -> None:
    assert house("ST-0002").best("ST", 3) == ["ST-0001", "ST-0003", "ST-0004"]


def test_nothing_is_given_where_too_little_is_free() -> None:
    full = house(*(f"ST-{number:04d}" for number in range(1, 6)))
    assert full.best("ST", 1) == ["ST-0006"]
    assert full.best("ST", 2) == []
    assert full.best("ST", 0) == []


def test_a_crowd_is_spread_over_several_best_answers() -> None:
    answers = {tuple(house().best("A", 2, among=4)) for _ in range(200)}
    assert len(answers) == 4
    assert ("A-01-01", "A-01-02") in answers


def test_seats_given_away_are_not_given_again() -> None:
    one = house()
    first = one.best("A", 4)
    one.take(first)
    assert not set(first) & set(one.best("A", 4))


def test_a_seat_the_house_no_longer_has_is_shown_nowhere() -> None:
    assert house("OLD-01-01", "A-09-01", "ST-0099").states() == {"A": "0" * 12, "ST": "0" * 6}


# --- Across sections

TWO = Plan([SEATED, Section(name="B", price=700, rows=2, seats_per_row=3), STANDING])
ALL = ["A", "B", "ST"]


def hall(*held: str) -> House:
    return House(TWO, map(SeatId, held))


def test_the_first_section_with_neighbours_is_the_best() -> None:
    scattered = [f"A-0{row}-0{seat}" for row in (1, 2, 3) for seat in (2, 3)]
    assert hall().best_of(ALL, 2) == ["A-01-01", "A-01-02"]
    assert hall(*scattered).best_of(ALL, 2) == ["B-01-01", "B-01-02"]  # it would keep one alone in every row
    assert hall(*scattered).best_of(["ST", "A"], 2) == ["ST-0001", "ST-0002"]
    assert hall(*scattered).best_of(["A"], 2) == ["A-01-01", "A-01-04"]


def test_who_cannot_sit_together_anywhere_sits_apart_in_one_section() -> None:
    scattered = [f"A-0{row}-0{seat}" for row in (1, 2, 3) for seat in (2, 3)]
    scattered += ["B-01-02", "B-02-02"]
    assert hall(*scattered).best_of(["B", "A"], 3) == ["B-01-01", "B-01-03", "B-02-01"]
    assert hall(*scattered).best_of(["A", "B"], 7) == []


def test_offers_share_no_seat_and_are_the_best_first() -> None:
    offers = hall().offers(["A"], 2, 4)
    assert offers[0] == ["A-01-01", "A-01-02"]
    assert len(offers) == 4
    assert len({seat for offer in offers for seat in offer}) == 8


def test_rows_are_shown_as_they_are_and_standing_places_in_stretches() -> None:
    many = Plan([SEATED, Section(name="ST", price=500, capacity=120)])
    shown = House(many, map(SeatId, ("A-02-01", "ST-0053")), [SeatId("A-02-04")])
    rows = shown.rows_of(map(SeatId, ("A-02-04", "A-02-01", "ST-0053", "ST-0119", "GONE-01-01")), 8)
    assert [(row.section, row.row, row.first, row.states) for row in rows] == [
        ("A", 2, 1, "1002"),
        ("ST", None, 51, "001" + "0" * 47),
        ("ST", None, 101, "0" * 20),
    ]
    assert len(shown.rows_of([SeatId(f"A-0{row}-01") for row in (1, 2, 3)], 2)) == 2
