"""Who gets a seat: decided by PostgreSQL, one buyer or another, all of the seats or none."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    CHLOE,
    EVENT,
    FOURTH,
    FRONT,
    HOUR,
    NEXT,
    PRESALE,
    THIRD,
    Stage,
    all_at_once,
    kinds,
)

from tiketi_runtime import redis
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, SeatId
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    Hold,
    HoldNotFound,
    LimitReached,
    NotEnoughSeats,
    SalePaused,
    SeatTaken,
    SectionNotOnSale,
    UnknownSeat,
    Wish,
)
from tiketi_services.ticket.queue.domain import SaleClosed

SHORT = timedelta(milliseconds=60)


def crowd(size: int) -> list[BuyerId]:
    return [BuyerId(f"buyer-{number}") for number in range(size)]


async def forget_paint(stage: Stage) -> None:
    """Redis lost what it showed: every loser now reaches PostgreSQL."""
    await stage.redis.delete(stage.keys.seats)


async def test_a_held_seat_is_the_buyers_for_the_sales_hold_duration_by_the_databases_clock(stage: Stage) -> None:
    before = await stage.pool.fetchval("SELECT clock_timestamp()")
    hold = await stage.hold(ANNA, NEXT, FRONT)
    after = await stage.pool.fetchval("SELECT clock_timestamp()")
    assert hold.seats == [FRONT, NEXT]
    assert before + timedelta(minutes=10) <= hold.until <= after + timedelta(minutes=10)
    assert (await stage.paint(FRONT) or "").startswith(f"{hold.id}|{ANNA}|")


async def test_of_many_buyers_who_want_one_seat_at_once_exactly_one_gets_it(stage: Stage) -> None:
    results = await all_at_once(*(stage.hold(buyer, FRONT) for buyer in crowd(40)))
    assert kinds(results) == ["Hold"] + ["SeatTaken"] * 39


async def test_exactly_one_gets_the_seat_when_redis_turns_nobody_away(stage: Stage) -> None:
    await stage.redis.delete(stage.keys.sheet)  # without a sheet nothing is painted
    results = await all_at_once(*(stage.hold(buyer, FRONT) for buyer in crowd(40)))
    assert kinds(results) == ["Hold"] + ["SeatTaken"] * 39
    assert await stage.paint(FRONT) is None


async def test_overlapping_wishes_never_deadlock_and_never_half_hold(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)  # expired holds are taken over all the time
    await stage.redis.delete(stage.keys.sheet)
    row = [SeatId(f"A-02-{number:02d}") for number in range(1, 11)]
    dice = random.Random(3)
    end = time.monotonic() + 1

    async def shop(buyer: BuyerId) -> int:
        won = 0
        while time.monotonic() < end:
            wanted = dice.sample(row, dice.randint(2, 4))
            try:
                won += isinstance(await stage.hold(buyer, *wanted), Hold)
            except (SeatTaken, LimitReached):
                await asyncio.sleep(0.005)
        return won

    results = await asyncio.gather(*(shop(buyer) for buyer in crowd(12)))
    assert sum(results) > 10
    halves = await stage.pool.fetch(
        "SELECT h.id FROM holds h JOIN seats s ON s.hold = h.id AND s.until > clock_timestamp()"
        " GROUP BY h.id HAVING count(*) <> cardinality(h.seats)"
    )
    assert halves == []


async def test_a_buyer_who_holds_from_many_tabs_at_once_stays_within_the_limit(stage: Stage) -> None:
    seats = [SeatId(f"A-0{row}-{seat:02d}") for row in range(1, 4) for seat in range(1, 11)]
    results = await all_at_once(*(stage.hold(ANNA, seat) for seat in seats))
    assert kinds(results) == ["Hold"] * 4 + ["LimitReached"] * 26
    assert len(await stage.states()) == 4


async def test_an_order_being_placed_as_its_hold_runs_out_still_counts_toward_the_limit(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(seconds=1))
    hold = await stage.hold(ANNA, FRONT, NEXT, THIRD, FOURTH)
    async with stage.pool.acquire() as slow, slow.transaction():
        sheet = await stage.office.sales.sheet(EVENT)
        book = type(stage.office.book)(slow)
        placing = await book.place(sheet, ANNA, hold.id, hold.id, "key")  # type: ignore[arg-type]
        assert placing.outcome == "placed"
        await asyncio.sleep(1.05)
        greedy = asyncio.create_task(stage.hold(ANNA, SeatId("A-02-01")))
        await asyncio.sleep(0.1)
        assert not greedy.done()
    with pytest.raises(LimitReached):
        await greedy


async def test_an_expired_hold_does_not_count_toward_the_limit(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    await stage.hold(ANNA, FRONT, NEXT, THIRD, FOURTH)
    await asyncio.sleep(0.08)
    await stage.change(hold_duration=timedelta(minutes=1))
    assert len((await stage.hold(ANNA, SeatId("A-02-01"), SeatId("A-02-02"))).seats) == 2


async def test_a_limit_that_was_lowered_meanwhile_counts_what_the_buyer_has(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, NEXT, THIRD)
    await stage.change(max_tickets_per_buyer=2)
    with pytest.raises(LimitReached) as refusal:
        await stage.hold(ANNA, FOURTH)
    assert refusal.value.members == {"limit": 2, "held": 3}


async def test_a_seat_whose_hold_expired_can_be_held_by_another_buyer(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    first = await stage.hold(ANNA, FRONT)
    with pytest.raises(SeatTaken):
        await stage.hold(BORIS, FRONT)
    await asyncio.sleep(0.08)
    second = await stage.hold(BORIS, FRONT)
    fences = {str(row["id"]): row["fence"] for row in await stage.pool.fetch("SELECT id, fence FROM holds")}
    assert fences[second.id] > fences[first.id]


async def test_whoever_comes_too_late_learns_what_is_taken_and_what_is_free(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, NEXT)
    with pytest.raises(SeatTaken) as refusal:
        await stage.hold(BORIS, NEXT, THIRD)
    assert refusal.value.members["taken"] == [NEXT]
    free = refusal.value.members["free"]
    assert 1 <= len(free) <= 8
    assert not {FRONT, NEXT} & set(free)
    assert all(seat.startswith("A-") for seat in free)
    assert stage.admissions.ended == []


async def test_a_refusal_by_postgresql_repaints_the_seat_in_redis(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await forget_paint(stage)
    with pytest.raises(SeatTaken):
        await stage.hold(BORIS, FRONT, NEXT)
    assert (await stage.paint(FRONT) or "").startswith(f"{hold.id}|{ANNA}|")
    assert await stage.paint(NEXT) is None


async def test_a_released_seat_can_be_held_at_once_and_releasing_again_is_no_error(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    await usecases.release_hold(stage.office, EVENT, ANNA, hold.id)
    assert await stage.states() == {}
    assert await stage.paint(FRONT) is None
    await stage.hold(BORIS, FRONT)
    await usecases.release_hold(stage.office, EVENT, ANNA, hold.id)
    assert await stage.states() == {FRONT: "HELD"}


async def test_nobody_can_release_the_hold_of_another(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    with pytest.raises(HoldNotFound):
        await usecases.release_hold(stage.office, EVENT, BORIS, hold.id)
    assert await stage.states() == {FRONT: "HELD"}


async def test_seats_the_house_does_not_have_are_refused(stage: Stage) -> None:
    for seat in ("A-06-01", "A-01-11", "C-01-01", "ST-0031", "A-1-1", "A-0001", "ST-01-01"):
        with pytest.raises(UnknownSeat):
            await stage.hold(ANNA, SeatId(seat))


async def test_a_line_sells_only_its_own_sections(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, line=PRESALE)
    with pytest.raises(SectionNotOnSale):
        await stage.hold(BORIS, SeatId("B-01-01"), line=PRESALE)


async def test_no_hold_is_made_while_the_sale_is_paused(stage: Stage) -> None:
    await stage.change(admission=Admission.PAUSED)
    with pytest.raises(SalePaused):
        await stage.hold(ANNA, FRONT)


async def test_a_pause_that_this_process_has_not_heard_of_yet_is_obeyed(stage: Stage) -> None:
    sheet = await stage.office.sales.sheet(EVENT)
    paused = sheet.model_copy(update={"version": 2, "admission": Admission.PAUSED})
    await stage.pool.execute(
        "INSERT INTO sale_sheets (event, version, content) VALUES ($1, 2, $2)",
        EVENT,
        paused.model_dump(mode="json", by_alias=True),
    )
    with pytest.raises(SalePaused):
        await stage.hold(ANNA, FRONT)
    assert await stage.paint(FRONT) is None


@pytest.mark.parametrize("shift", [2 * HOUR, -2 * HOUR])
async def test_a_line_that_is_not_open_by_the_databases_clock_sells_nothing(stage: Stage, shift: timedelta) -> None:
    sheet = await stage.office.sales.sheet(EVENT)
    now = datetime.now(UTC)
    lines = tuple(
        line.model_copy(update={"opens_at": now - HOUR + shift, "closes_at": now + HOUR + shift})
        for line in sheet.lines
    )
    await stage.change(lines=lines)
    with pytest.raises(SaleClosed):
        await stage.hold(ANNA, FRONT)
    assert await stage.states() == {}


async def test_the_best_seats_are_neighbours_in_the_lowest_row_that_has_them(stage: Stage) -> None:
    first = await usecases.hold_best(stage.office, EVENT, ANNA, PUBLIC, Wish(3, "B"))
    second = await usecases.hold_best(stage.office, EVENT, BORIS, PUBLIC, Wish(2, "B"))
    third = await usecases.hold_best(stage.office, EVENT, CHLOE, PUBLIC, Wish(3, "B"))
    assert list(first.seats) == ["B-01-01", "B-01-02", "B-01-03"]
    assert list(second.seats) == ["B-02-01", "B-02-02"]
    assert list(third.seats) == ["B-01-04", "B-02-03", "B-02-04"]
    with pytest.raises(NotEnoughSeats):
        await usecases.hold_best(stage.office, EVENT, ANNA, PUBLIC, Wish(1, "B"))


async def test_a_crowd_that_wants_the_best_seats_gets_all_of_them_once(stage: Stage) -> None:
    async def insist(buyer: BuyerId) -> Hold | None:
        for _ in range(10):
            try:
                return await usecases.hold_best(stage.office, EVENT, buyer, PUBLIC, Wish(2, "ST"))
            except (NotEnoughSeats, SeatTaken):
                await asyncio.sleep(0.06)  # past the age of a seat map: seats under way are free or held by then
        return None

    holds = [hold for hold in await asyncio.gather(*map(insist, crowd(25))) if hold is not None]
    assert len({seat for hold in holds for seat in hold.seats}) == 2 * len(holds) == 30


async def test_two_processes_that_know_nothing_of_each_other_share_the_best_seats(stage: Stage) -> None:
    other = Stage(
        type(stage.office)(**{
            **{name: getattr(stage.office, name) for name in stage.office.__slots__},
            "maps": type(stage.office.maps)(stage.office.book, timedelta(minutes=1)),
        }),
        stage.pool, stage.redis, stage.admissions, stage.payment, stage.payment_signer,
    )  # fmt: skip
    results = await all_at_once(
        *(
            usecases.hold_best((stage, other)[number % 2].office, EVENT, buyer, PUBLIC, Wish(2, "A"))
            for number, buyer in enumerate(crowd(25))
        )
    )
    assert "Hold" in kinds(results)
    seats = [seat for result in results if isinstance(result, Hold) for seat in result.seats]
    assert len(seats) == len(set(seats)) >= 30


async def test_holds_go_on_without_redis(stage: Stage) -> None:
    office = stage.office
    broken = type(office.paint)(redis.connect("redis://127.0.0.1:1"))
    alone = type(office)(**{**{name: getattr(office, name) for name in office.__slots__}, "paint": broken})
    hold = await usecases.hold_seats(alone, EVENT, ANNA, PUBLIC, [FRONT])
    with pytest.raises(SeatTaken):
        await usecases.hold_seats(alone, EVENT, BORIS, PUBLIC, [FRONT])
    await usecases.release_hold(alone, EVENT, ANNA, hold.id)
    await usecases.hold_seats(alone, EVENT, BORIS, PUBLIC, [FRONT])


async def test_a_hold_that_waited_for_a_lock_until_it_was_over_is_decided_again(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(milliseconds=150))
    await stage.hold(BORIS, FRONT)
    await asyncio.sleep(0.2)
    await stage.redis.delete(stage.keys.seats)
    async with stage.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM seats WHERE seat = $1 FOR UPDATE", FRONT)
        waiting = asyncio.create_task(stage.hold(ANNA, FRONT))
        await asyncio.sleep(0.4)
        assert not waiting.done()
    assert (await waiting).until > datetime.now(UTC)
    assert await stage.states() == {FRONT: "HELD"}
