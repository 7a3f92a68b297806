"""The best seats next to each other, wherever the line sells some; and what a buyer hears who came too late."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    CHLOE,
    EVENT,
    FRONT,
    NEXT,
    PRESALE,
    Stage,
    all_at_once,
)

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, Line, SeatId
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    Hold,
    LimitReached,
    NotEnoughSeats,
    SeatTaken,
    SectionNotOnSale,
    UnknownSeat,
    Wish,
)


async def best(stage: Stage, buyer: BuyerId, wish: Wish, line: Line = PUBLIC) -> list[SeatId]:
    return list((await usecases.hold_best(stage.office, EVENT, buyer, line, wish)).seats)


async def test_without_a_section_the_dearest_with_neighbours_is_the_best(stage: Stage) -> None:
    assert await best(stage, ANNA, Wish(2)) == ["A-01-01", "A-01-02"]
    assert await best(stage, ANNA, Wish(2, is_cheapest_best=True)) == ["ST-0001", "ST-0002"]
    assert await best(stage, BORIS, Wish(2, max_price=90_000)) == ["B-01-01", "B-01-02"]
    with pytest.raises(NotEnoughSeats) as refusal:
        await best(stage, CHLOE, Wish(2, max_price=69_999))
    assert refusal.value.members == {"left": 0}


async def test_only_sections_of_the_line_are_looked_at(stage: Stage) -> None:
    assert await best(stage, ANNA, Wish(1, is_cheapest_best=True), PRESALE) == ["A-01-01"]
    with pytest.raises(SectionNotOnSale):
        await best(stage, ANNA, Wish(1, "B"), PRESALE)
    with pytest.raises(UnknownSeat, match=r"no section NONE; it has A, B, .*\.$"):
        await best(stage, ANNA, Wish(1, "NONE"))
    with pytest.raises(LimitReached):
        await best(stage, ANNA, Wish(5))


async def test_who_asks_for_more_than_anybody_may_have_is_told_what_is_held(stage: Stage) -> None:
    await best(stage, ANNA, Wish(2, "A"))
    with pytest.raises(
        LimitReached, match=r"^You have 2 tickets, .* 5 besides; one buyer may have 4\..*`quantity`"
    ) as no:
        await best(stage, ANNA, Wish(5))
    assert no.value.members == {"limit": 4, "held": 2}


async def test_the_next_section_follows_when_the_best_is_full(stage: Stage) -> None:
    await stage.change(max_tickets_per_buyer=60)
    await best(stage, ANNA, Wish(50, "A"))
    assert await best(stage, BORIS, Wish(4)) == ["B-01-01", "B-01-02", "B-01-03", "B-01-04"]
    await asyncio.sleep(0.06)
    assert await best(stage, BORIS, Wish(30)) == [f"ST-{number:04d}" for number in range(1, 31)]
    with pytest.raises(NotEnoughSeats) as refusal:
        await best(stage, CHLOE, Wish(5))
    assert refusal.value.members == {"left": 4}


async def test_a_crowd_without_a_wish_for_a_section_fills_the_house_and_nobody_sits_twice(stage: Stage) -> None:
    """88 seats, 60 parties of two, from the front to the standing places."""

    async def insist(buyer: BuyerId) -> list[SeatId]:
        for _ in range(12):
            try:
                return await best(stage, buyer, Wish(2))
            except SeatTaken:
                await asyncio.sleep(0.06)
            except NotEnoughSeats:
                return []
        return []

    found = await asyncio.gather(*(insist(BuyerId(f"buyer-{number}")) for number in range(60)))
    seats = [seat for party in found for seat in party]
    assert len(seats) == len(set(seats)) == 88


# --- Too late


async def test_who_came_too_late_learns_what_the_wanted_rows_look_like_and_what_else_there_is(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, NEXT)
    await stage.settle(await stage.place(CHLOE, SeatId("A-01-05")))
    await asyncio.sleep(0.06)
    with pytest.raises(SeatTaken) as refusal:
        await stage.hold(BORIS, NEXT, SeatId("A-01-03"))
    told = refusal.value.members
    assert told["taken"] == [NEXT]
    assert told["rows"] == [{"section": "A", "row": 1, "first": 1, "states": "1100200000"}]
    offers = told["alternatives"]
    assert 1 <= len(offers) <= 4
    for offer in offers:
        row, number = offer[0].rsplit("-", 1)
        assert offer == [f"{row}-{int(number):02d}", f"{row}-{int(number) + 1:02d}"]
        assert not {FRONT, NEXT, "A-01-05"} & set(offer)
    assert all(seat.startswith("A-") for offer in offers for seat in offer), "near to what was wanted"
    assert set(told["free"]) <= {str(seat) for seat in (await stage.office.sales.sheet(EVENT)).sections[0].seats()}


async def test_what_is_offered_can_be_held_and_is_sold_in_the_line(stage: Stage) -> None:
    await stage.change(max_tickets_per_buyer=60)
    await best(stage, ANNA, Wish(50, "A"))
    with pytest.raises(SeatTaken) as refusal:
        await stage.hold(BORIS, FRONT, NEXT)
    offers = refusal.value.members["alternatives"]
    assert {offer[0].partition("-")[0] for offer in offers} <= {"B", "ST"}
    assert len((await stage.hold(BORIS, *offers[0])).seats) == 2
    with pytest.raises(SeatTaken) as presale:
        await stage.hold(CHLOE, FRONT, line=PRESALE)
    assert presale.value.members["alternatives"] == presale.value.members["free"] == []


async def test_a_crowd_of_losers_is_sent_to_different_seats(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT)
    losers = await all_at_once(*(stage.hold(BuyerId(f"buyer-{number}"), FRONT) for number in range(30)))
    first = [loser.members["alternatives"][0][0] for loser in losers if isinstance(loser, SeatTaken)]
    assert len(first) == 30
    assert len(set(first)) >= 8


async def test_losers_do_not_wait_for_a_reading_that_somebody_else_makes(stage: Stage) -> None:
    """The house cannot be read just now (its table is locked); one loser waits for it, the others do not."""
    await stage.hold(ANNA, FRONT)
    with pytest.raises(SeatTaken):
        await stage.hold(BORIS, FRONT)
    await asyncio.sleep(0.06)
    async with stage.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE seats IN ACCESS EXCLUSIVE MODE")
        losers = [asyncio.create_task(stage.hold(BuyerId(f"buyer-{number}"), FRONT)) for number in range(10)]
        await asyncio.sleep(0.3)
        assert sum(loser.done() for loser in losers) == 9
    results = await asyncio.gather(*losers, return_exceptions=True)
    assert {type(result) for result in results} == {SeatTaken}


async def test_the_session_of_who_lost_goes_on(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT)
    with pytest.raises(SeatTaken) as refusal:
        await stage.hold(BORIS, FRONT)
    assert stage.admissions.ended == []
    assert isinstance(await stage.hold(BORIS, *refusal.value.members["alternatives"][0]), Hold)
