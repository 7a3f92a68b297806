"""More time for a hold: for who asks while it lasts, a few times, and never past the bound."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    EVENT,
    FRONT,
    NEXT,
    THIRD,
    Stage,
    all_at_once,
    kinds,
)

from tiketi_runtime.contracts.identity import HoldId
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    LONGEST_HOLD,
    MOST_EXTENSIONS,
    AlreadyOrdered,
    ExtensionsUsedUp,
    Hold,
    HoldExpired,
    HoldNotFound,
    SeatTaken,
)

TEN = timedelta(minutes=10)
MOMENT = timedelta(seconds=5)
NOBODYS = HoldId("99999999-0000-4000-8000-000000000000")


async def extend(stage: Stage, hold: Hold | HoldId, buyer: str = ANNA) -> Hold:
    return await usecases.extend_hold(stage.office, EVENT, buyer, hold.id if isinstance(hold, Hold) else hold)  # type: ignore[arg-type]


async def let_pass(stage: Stage, hold: Hold, time: timedelta) -> None:
    """Everything about the hold happened so much earlier. Redis, which has another clock, forgot its seats."""
    await stage.redis.delete(stage.keys.seats)
    await stage.pool.execute("UPDATE seats SET until = until - $2::interval WHERE hold = $1", hold.id, time)
    await stage.pool.execute(
        "UPDATE holds SET until = until - $2::interval, held_at = held_at - $2, since = since - $2 WHERE id = $1",
        hold.id,
        time,
    )


async def test_a_hold_in_its_second_half_lasts_its_full_time_again(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    await let_pass(stage, hold, timedelta(minutes=9))
    extended = await extend(stage, hold)
    now = await stage.pool.fetchval("SELECT clock_timestamp()")
    assert (extended.id, extended.seats, extended.extensions) == (hold.id, (FRONT, NEXT), 1)
    assert now + TEN - MOMENT < extended.until <= now + TEN
    rows = await stage.pool.fetch("SELECT until FROM seats UNION SELECT until FROM holds")
    assert [row["until"] for row in rows] == [extended.until]


async def test_redis_shows_the_new_end(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await let_pass(stage, hold, timedelta(minutes=9))
    extended = await extend(stage, hold)
    until_ms = int(extended.until.timestamp() * 1000)
    assert await stage.paint(FRONT) == f"{hold.id}|{ANNA}|{until_ms}"
    assert (await stage.redis.zscore(stage.keys.holding, ANNA) or 0) >= until_ms


async def test_asking_early_or_again_changes_and_counts_nothing(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    assert (await extend(stage, hold)).until == hold.until
    await let_pass(stage, hold, timedelta(minutes=6))
    answers = await asyncio.gather(*(extend(stage, hold) for _ in range(20)))
    assert {(answer.until, answer.extensions) for answer in answers} == {(answers[0].until, 1)}


async def test_more_time_is_given_a_few_times_and_no_longer_than_the_bound(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    began = await stage.pool.fetchval("SELECT since FROM holds")
    for number in range(1, MOST_EXTENSIONS + 1):
        await let_pass(stage, hold, timedelta(minutes=9))
        began -= timedelta(minutes=9)
        hold = await extend(stage, hold)
        assert hold.extensions == number
        assert hold.until <= began + LONGEST_HOLD * TEN
    assert hold.until == began + LONGEST_HOLD * TEN, "the last one is cut short"
    await let_pass(stage, hold, hold.until - began - timedelta(minutes=28))
    with pytest.raises(ExtensionsUsedUp) as refusal:
        await extend(stage, hold)
    assert refusal.value.members["until"]


async def test_the_bound_holds_even_if_not_every_extension_was_used(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await stage.pool.execute("UPDATE holds SET since = since - interval '20 min', until = until - interval '9 min'")
    await stage.pool.execute("UPDATE seats SET until = until - interval '9 min'")
    extended = await extend(stage, hold)
    assert extended.until == await stage.pool.fetchval("SELECT since + interval '30 min' FROM holds")
    await stage.change(hold_duration=timedelta(minutes=30))  # all of the ten minutes left are "in the second half" now
    await stage.pool.execute("UPDATE holds SET since = since - interval '1 h'")
    with pytest.raises(ExtensionsUsedUp):
        await extend(stage, hold)


async def test_a_hold_that_has_run_out_is_not_revived_though_its_seats_are_nobodys(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await let_pass(stage, hold, TEN)
    with pytest.raises(HoldExpired):
        await extend(stage, hold)
    await stage.hold(BORIS, FRONT)
    with pytest.raises(HoldExpired):
        await extend(stage, hold)
    with pytest.raises(HoldNotFound):
        await extend(stage, hold, BORIS)


async def test_a_released_or_ordered_hold_gets_no_time_and_neither_does_the_order(stage: Stage) -> None:
    released = await stage.hold(BORIS, THIRD)
    await usecases.release_hold(stage.office, EVENT, BORIS, released.id)
    with pytest.raises(HoldExpired):
        await extend(stage, released, BORIS)
    hold = await stage.hold(ANNA, FRONT)
    await let_pass(stage, hold, timedelta(minutes=9))
    await extend(stage, hold)
    order = await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert abs(order.pay_by - order.placed_at - TEN) < timedelta(seconds=1)
    with pytest.raises(AlreadyOrdered):
        await extend(stage, hold)
    assert await stage.office.book.find(order.id) == order


async def test_holds_of_others_and_of_nobody_are_not_told_apart(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    for foreign in (hold.id, NOBODYS):
        with pytest.raises(HoldNotFound) as refusal:
            await extend(stage, foreign, BORIS)
        assert refusal.value.detail == "There is no such hold."


async def test_a_paused_sale_takes_no_time_away_from_who_holds(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await let_pass(stage, hold, timedelta(minutes=9))
    await stage.change(admission=Admission.PAUSED)
    assert (await extend(stage, hold)).extensions == 1


async def test_without_redis_more_time_is_given_as_well(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await let_pass(stage, hold, timedelta(minutes=9))
    await stage.redis.flushdb()
    assert (await extend(stage, hold)).extensions == 1
    with pytest.raises(SeatTaken):
        await stage.hold(BORIS, FRONT)


async def test_at_the_very_end_a_seat_is_extended_or_taken_over_and_never_both(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(milliseconds=200))
    seats = await stage.office.sales.sheet(EVENT)
    for seat in list(seats.sections[0].seats())[:20]:
        hold = await stage.hold(ANNA, seat)
        await asyncio.sleep(0.194)
        results = await all_at_once(*(extend(stage, hold), stage.hold(BORIS, seat)) * 4)
        assert set(kinds(results)) <= {"Hold", "HoldExpired", "SeatTaken", "ExtensionsUsedUp"}
        extended = [result for result in results if isinstance(result, Hold) and result.id == hold.id]
        taken_over = [result for result in results if isinstance(result, Hold) and result.id != hold.id]
        assert not (extended and taken_over)


async def test_an_order_and_an_extension_at_once_both_see_the_other(stage: Stage) -> None:
    seats = (await stage.office.sales.sheet(EVENT)).sections[0].seats()
    for number, seat in zip(range(10), seats, strict=False):
        hold = await stage.hold(ANNA, seat)
        await let_pass(stage, hold, timedelta(minutes=9))
        order, extended = await all_at_once(
            usecases.place_order(stage.office, EVENT, ANNA, hold.id, f"key-{number}"), extend(stage, hold)
        )
        assert kinds([order]) == ["Order"]
        assert kinds([extended]) in (["Hold"], ["AlreadyOrdered"])
        assert await stage.office.book.close(order.id)
