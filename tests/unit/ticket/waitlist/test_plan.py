"""Who is offered which free seats: in order, and what becomes of those who want more than there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.seating import Section
from tiketi_services.ticket.orders.house import House, Plan
from tiketi_services.ticket.waitlist.domain import MOST_PASSES, EntryId, Waiting, plan

PLAN = Plan(
    (Section(name="A", price=100, rows=2, seats_per_row=4), Section(name="ST", price=100, capacity=6)),
)


def entry(name: str, quantity: int = 1, *sections: str, live: int = 0, passes: int = 0, over: bool = False) -> Waiting:
    return Waiting(EntryId(name), sections or ("A", "ST"), quantity, live, passes, over)


def house(row: int, standing: int = 0) -> House:
    """So many free seats of the row and of the standing area, the last ones."""
    return House(PLAN, held=[*PLAN.seats[: 8 - row], *PLAN.seats[8 : 14 - standing]])


def given_to(*waiting: Waiting, row: int, standing: int = 0, limit: int = 4) -> dict[str, int]:
    made = plan(waiting, house(row, standing), limit)
    return {offer.entry: len(offer.seats) for offer in made.offers}


def test_each_in_turn_gets_what_is_wanted_while_there_is_some() -> None:
    assert given_to(entry("a", 2), entry("b", 2), entry("c", 1), row=4) == {"a": 2, "b": 2}


def test_seats_of_one_offer_are_neighbours_of_one_section_where_that_is_possible() -> None:
    [offer] = plan([entry("a", 3)], house(4, 6), 4).offers
    assert offer.seats == ("A-02-01", "A-02-02", "A-02-03")


def test_seats_of_two_sections_are_never_one_offer() -> None:
    assert given_to(entry("a", 2), row=1, standing=1) == {}


def test_who_wants_more_than_there_are_is_passed_over_and_that_is_counted() -> None:
    made = plan([entry("a", 4), entry("b"), entry("c"), entry("d")], house(2), 4)
    assert [offer.entry for offer in made.offers] == ["b", "c"]
    assert made.short == {"a": 2}


def test_after_so_many_times_nothing_goes_past_any_more() -> None:
    waiting = [entry("a", 4, passes=MOST_PASSES), entry("b"), entry("c", 1, "ST")]
    assert given_to(*waiting, row=2, standing=2) == {}
    assert given_to(entry("a", 4, "A", passes=MOST_PASSES), *waiting[1:], row=2, standing=2) == {"b": 1, "c": 1}


def test_the_count_is_kept_within_one_round_as_well() -> None:
    crowd = [entry(f"b{number}") for number in range(4)]
    made = plan([entry("a", 8, passes=MOST_PASSES - 2), *crowd], house(4), 10)
    assert [offer.entry for offer in made.offers] == ["b0", "b1"]
    assert made.short == {"a": 2}


def test_seats_of_other_sections_go_past_nobody() -> None:
    made = plan([entry("a", 4, "A"), entry("b", 1, "ST")], house(1, 1), 4)
    assert ([offer.entry for offer in made.offers], made.short) == (["b"], {"a": 0})


def test_what_was_gathered_is_offered_when_the_time_is_over() -> None:
    assert given_to(entry("a", 4, passes=MOST_PASSES, over=True), entry("b"), row=3) == {"a": 3}


def test_seats_that_the_buyer_has_count() -> None:
    made = plan([entry("a", 4, live=4), entry("b", 4, live=3), entry("c", 4)], house(4), 4)
    assert {offer.entry: len(offer.seats) for offer in made.offers} == {"b": 1}
    assert (made.full, made.short) == (["a"], {"c": 0})


def test_nothing_free_is_nobodys_shortage() -> None:
    made = plan([entry("a", 2)], house(0), 4)
    assert (made.offers, made.short, made.full) == ([], {}, [])


ENTRIES = st.lists(
    st.builds(
        Waiting,
        id=st.uuids().map(lambda name: EntryId(str(name))),
        sections=st.sampled_from([("A",), ("ST",), ("A", "ST")]),
        quantity=st.integers(1, 8),
        live=st.integers(0, 5),
        passes=st.integers(0, MOST_PASSES),
        is_gathered=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda waiting: waiting.id,
)


@given(ENTRIES, st.integers(0, 8), st.integers(0, 6))
def test_no_seat_is_offered_twice_nobody_gets_too_many_and_nobody_is_passed_over_too_often(
    waiting: list[Waiting], row: int, standing: int
) -> None:
    free = [*PLAN.seats[8 - row : 8], *PLAN.seats[14 - standing :]]
    made = plan(waiting, house(row, standing), 5)
    by_id = {entry.id: entry for entry in waiting}
    seats = [seat for offer in made.offers for seat in offer.seats]
    assert len(set(seats)) == len(seats)
    assert set(seats) <= set(free)
    for offer in made.offers:
        wanted = by_id[offer.entry]
        room = min(wanted.quantity, 5 - wanted.live)
        assert len(offer.seats) == room or (wanted.is_gathered and 1 <= len(offer.seats) < room)
        assert {seat.partition("-")[0] for seat in offer.seats} <= set(wanted.sections)
    for name, passes in made.short.items():
        assert by_id[name].passes + passes <= MOST_PASSES
    order = [entry.id for entry in waiting]
    assert [offer.entry for offer in made.offers] == sorted((o.entry for o in made.offers), key=order.index)
