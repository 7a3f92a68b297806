"""Other seats for a hold: all of them, or it stays as it was."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    EVENT,
    FOURTH,
    FRONT,
    NEXT,
    PRESALE,
    THIRD,
    Stage,
    all_at_once,
    kinds,
)

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, HoldId, Line, SeatId
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    AlreadyOrdered,
    Hold,
    HoldChanged,
    HoldExpired,
    HoldNotFound,
    LimitReached,
    SalePaused,
    SeatTaken,
    SectionNotOnSale,
    UnknownSeat,
)

STANDING = SeatId("ST-0001")


async def change(
    stage: Stage, hold: Hold, *seats: SeatId, buyer: BuyerId = ANNA, line: Line = PUBLIC, name: HoldId | None = None
) -> Hold:
    return await usecases.change_seats(stage.office, EVENT, buyer, line, name or hold.id, seats)


async def holder_of(stage: Stage, seat: SeatId) -> BuyerId | None:
    found = await stage.pool.fetchval(
        "SELECT buyer FROM seats WHERE seat = $1 AND (state <> 'HELD' OR until > clock_timestamp())", seat
    )
    return BuyerId(found) if found else None


async def test_some_seats_are_kept_some_given_up_and_some_gained(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    changed = await change(stage, hold, THIRD, NEXT)
    assert changed.seats == (NEXT, THIRD)
    assert changed.id != hold.id
    assert changed.until == hold.until, "other seats are no way to more time"
    assert await stage.states() == {NEXT: "HELD", THIRD: "HELD"}
    assert await stage.office.book.holds_of(EVENT, ANNA) == [changed]
    order = await usecases.place_order(stage.office, EVENT, ANNA, changed.id, "key")
    assert order.seats == (NEXT, THIRD)


async def test_redis_shows_the_new_hold_and_the_seat_that_was_given_up_is_free_at_once(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    changed = await change(stage, hold, NEXT, THIRD)
    assert await stage.paint(FRONT) is None
    for seat in (NEXT, THIRD):
        assert (await stage.paint(seat) or "").startswith(f"{changed.id}|{ANNA}|")
    await stage.hold(BORIS, FRONT)
    assert await stage.redis.hget(stage.keys.counts, "taken:A") == b"3"


async def test_if_one_of_the_new_seats_is_lost_the_hold_stays_as_it_was(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    await stage.hold(BORIS, FOURTH)
    with pytest.raises(SeatTaken) as refusal:
        await change(stage, hold, NEXT, THIRD, FOURTH)
    assert refusal.value.members["taken"] == [FOURTH]
    assert refusal.value.members["rows"][0]["states"][3] == "1"
    [kept] = await stage.office.book.holds_of(EVENT, ANNA)
    assert (kept.id, kept.seats, kept.until) == (hold.id, (FRONT, NEXT), hold.until)
    assert await stage.states() == {FRONT: "HELD", NEXT: "HELD", FOURTH: "HELD"}
    assert (await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")).seats == (FRONT, NEXT)


async def test_a_seat_lost_between_the_look_and_the_grasp_loses_no_other(stage: Stage) -> None:
    """Another transaction has the wanted seat and commits while the change waits for it."""
    hold = await stage.hold(ANNA, FRONT, NEXT)
    async with stage.pool.acquire() as other, other.transaction():
        await other.execute(
            "INSERT INTO seats (event, seat, state, buyer, hold, fence, until)"
            " SELECT $1, $2, 'HELD', $3, id, 1, until FROM holds",
            EVENT,
            THIRD,
            BORIS,
        )
        changing = asyncio.create_task(change(stage, hold, NEXT, THIRD))
        await asyncio.sleep(0.1)
        assert not changing.done()
    with pytest.raises(SeatTaken):
        await changing
    assert (await stage.states())[FRONT] == "HELD"
    await stage.pool.execute("DELETE FROM seats WHERE seat = $1", THIRD)


async def test_the_same_change_again_is_answered_and_another_one_is_told_the_new_name(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    changed = await change(stage, hold, NEXT)
    assert await change(stage, hold, NEXT) == changed
    again = await change(stage, changed, THIRD)
    for old in (hold, changed):
        assert await change(stage, old, THIRD) == again
        with pytest.raises(HoldChanged) as refusal:
            await change(stage, old, FOURTH)
        assert refusal.value.members == {"hold": again.id}


async def test_by_its_old_name_a_changed_hold_cannot_be_used(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    changed = await change(stage, hold, NEXT, THIRD)
    office = stage.office
    for use in (
        usecases.place_order(office, EVENT, ANNA, hold.id, "key"),
        usecases.extend_hold(office, EVENT, ANNA, hold.id),
        usecases.release_hold(office, EVENT, ANNA, hold.id),
    ):
        with pytest.raises(HoldChanged) as refusal:
            await use
        assert refusal.value.members == {"hold": changed.id}
    assert set(await stage.states()) == {NEXT, THIRD}


async def test_other_seats_are_no_way_to_more_extensions(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await stage.pool.execute("UPDATE holds SET extensions = 2")
    changed = await change(stage, hold, NEXT)
    assert (changed.extensions, changed.since) == (2, hold.since)


async def test_seats_may_be_added_and_given_up_within_the_limit(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    hold = await change(stage, hold, FRONT, NEXT, THIRD, FOURTH)
    fewer = await change(stage, hold, FRONT, NEXT)
    await stage.hold(ANNA, THIRD)
    with pytest.raises(LimitReached) as refusal:
        await change(stage, fewer, FRONT, NEXT, FOURTH, STANDING)
    assert refusal.value.members == {"limit": 4, "held": 1}
    with pytest.raises(LimitReached, match=r"`seats`") as refusal:
        await change(stage, fewer, FRONT, NEXT, FOURTH, STANDING, SeatId("A-02-01"))
    assert refusal.value.members == {"limit": 4, "held": 1}
    assert set(await stage.states()) == {FRONT, NEXT, THIRD}


async def test_many_tabs_that_change_and_hold_at_once_stay_within_the_limit(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    row = [SeatId(f"A-02-{number:02d}") for number in range(1, 11)]
    await all_at_once(
        *(change(stage, hold, *row[at : at + 3]) for at in range(0, 9, 3)), *(stage.hold(ANNA, seat) for seat in row)
    )
    assert len(await stage.states()) <= 4


@pytest.mark.parametrize(
    ("seat", "refusal"), [("A-09-99", UnknownSeat), ("-1", UnknownSeat), ("B-01-01", SectionNotOnSale)]
)
async def test_seats_that_are_not_for_sale_are_refused(stage: Stage, seat: SeatId, refusal: type[Exception]) -> None:
    hold = await stage.hold(ANNA, FRONT, line=PRESALE)
    with pytest.raises(refusal):
        await change(stage, hold, seat, line=PRESALE)
    assert await stage.states() == {FRONT: "HELD"}


async def test_holds_of_others_ended_ones_and_orders_are_not_changed(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    with pytest.raises(HoldNotFound):
        await change(stage, hold, NEXT, buyer=BORIS)
    with pytest.raises(HoldNotFound):
        await change(stage, hold, NEXT, name=HoldId(str(uuid4())))
    await stage.pool.execute("UPDATE holds SET held_at = now() - interval '2 h', until = now() - interval '1 s'")
    await stage.pool.execute("UPDATE seats SET until = now() - interval '1 s'")
    with pytest.raises(HoldExpired):
        await change(stage, hold, NEXT)
    await stage.redis.delete(stage.keys.seats)
    ordered = await stage.hold(ANNA, FRONT)
    await usecases.place_order(stage.office, EVENT, ANNA, ordered.id, "key")
    with pytest.raises(AlreadyOrdered):
        await change(stage, ordered, NEXT)
    await stage.change(admission=Admission.PAUSED)
    with pytest.raises(SalePaused):
        await change(stage, ordered, NEXT)


async def test_two_who_want_each_others_seats_keep_their_own_and_nobody_waits_for_ever(stage: Stage) -> None:
    for _ in range(20):
        mine, theirs = await stage.hold(ANNA, FRONT, THIRD), await stage.hold(BORIS, NEXT, FOURTH)
        results = await all_at_once(change(stage, mine, NEXT, FOURTH), change(stage, theirs, FRONT, THIRD, buyer=BORIS))
        assert kinds(results) == ["SeatTaken", "SeatTaken"]
        await usecases.release_hold(stage.office, EVENT, ANNA, mine.id)
        await usecases.release_hold(stage.office, EVENT, BORIS, theirs.id)


async def test_a_crowd_that_changes_its_mind_all_the_time_breaks_no_invariant(stage: Stage) -> None:
    """Holds, changes, releases and orders over one row, with holds that run out; the fixture checks their history."""
    await stage.change(hold_duration=timedelta(milliseconds=80))
    row = [SeatId(f"A-02-{number:02d}") for number in range(1, 11)]
    end = time.monotonic() + 1.5
    done = dict.fromkeys(("held", "changed", "ordered"), 0)

    async def shop(buyer: BuyerId, dice: random.Random) -> None:
        while time.monotonic() < end:
            try:
                hold = await stage.hold(buyer, *dice.sample(row, dice.randint(1, 3)))
                done["held"] += 1
                for _ in range(dice.randint(0, 2)):
                    hold = await change(stage, hold, *dice.sample(row, dice.randint(1, 3)), buyer=buyer)
                    done["changed"] += 1
                await asyncio.sleep(dice.choice([0, 0, 0.1]))
                if dice.random() < 0.3:
                    order = await usecases.place_order(stage.office, EVENT, buyer, hold.id, str(uuid4()))
                    done["ordered"] += 1
                    assert await stage.office.book.close(order.id)
                else:
                    await usecases.release_hold(stage.office, EVENT, buyer, hold.id)
            except (SeatTaken, LimitReached, HoldExpired):
                await asyncio.sleep(0.005)

    await asyncio.gather(*(shop(BuyerId(f"buyer-{number}"), random.Random(number)) for number in range(10)))
    assert min(done.values()) > 5, done
