"""What orders tell the queue: how much is taken, and who holds it. Serving offers no slot without stock behind it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.ticket.orders.box_office import ANNA, BORIS, FRONT, NEXT, THIRD, Stage, paid

from tiketi_runtime.contracts.identity import BuyerId, SeatId
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import SeatTaken
from tiketi_services.ticket.orders.sweeper import Sweeper

STANDING = SeatId("ST-0001")


async def taken(stage: Stage, section: str = "A") -> int:
    return int(await stage.redis.hget(stage.keys.counts, f"taken:{section}") or 0)


async def holders(stage: Stage) -> set[BuyerId]:
    buyers: list[Any] = await stage.redis.zrange(stage.keys.holding, 0, -1)
    return {BuyerId(buyer.decode()) for buyer in buyers}


def sweeper(stage: Stage) -> Sweeper:
    return Sweeper(stage.office, timedelta(seconds=10))


async def test_held_places_are_counted_by_section_and_their_buyer_is_known(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, NEXT)
    await stage.hold(BORIS, STANDING)
    assert (await taken(stage), await taken(stage, "ST"), await taken(stage, "B")) == (2, 1, 0)
    assert await holders(stage) == {ANNA, BORIS}


async def test_a_buyer_holds_until_the_end_of_the_hold(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    until = await stage.redis.zscore(stage.keys.holding, ANNA)
    assert until is not None
    assert abs(until / 1000 - hold.until.timestamp()) < 2


async def test_a_refused_hold_leaves_nothing_counted(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT)
    await stage.redis.delete(stage.keys.seats, stage.keys.counts, stage.keys.holding)  # Redis turns nobody away
    with pytest.raises(SeatTaken):
        await stage.hold(BORIS, FRONT, NEXT)
    assert await taken(stage) == 1  # painted again as Anna's
    assert await holders(stage) == {ANNA}


async def test_released_places_are_free_and_their_buyer_holds_nothing(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    await usecases.release_hold(stage.office, stage.keys.event, ANNA, hold.id)
    assert (await taken(stage), await holders(stage)) == (0, set())


async def test_an_ordered_place_stays_counted_and_its_buyer_goes_on_holding(stage: Stage) -> None:
    await stage.place(ANNA, FRONT)
    assert (await taken(stage), await holders(stage)) == (1, {ANNA})


async def test_a_sold_place_stays_counted_once_and_nobody_holds_it(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT, NEXT)
    await stage.settle(order)
    await usecases.settle(stage.office, paid(order))
    assert (await taken(stage), await holders(stage)) == (2, set())


async def test_a_hold_that_ran_out_is_counted_until_it_is_swept(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(milliseconds=50))
    await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.1)
    assert await taken(stage) == 1
    await sweeper(stage).sweep_holds()
    assert (await taken(stage), await holders(stage)) == (0, set())


async def test_a_seat_that_changes_hands_is_counted_once(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(milliseconds=50))
    await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.1)
    await stage.change(hold_duration=timedelta(minutes=10))
    await stage.hold(BORIS, FRONT)
    assert await taken(stage) == 1


async def test_counts_that_drifted_are_mended(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, NEXT)
    await stage.settle(await stage.place(BORIS, THIRD))
    await stage.redis.hset(stage.keys.counts, mapping={"taken:A": 7, "taken:GONE": 1, "admitted": 5})
    await stage.redis.delete(stage.keys.holding)
    await sweeper(stage).mend_paint()
    counts = await stage.redis.hgetall(stage.keys.counts)
    assert counts == {b"taken:A": b"3", b"sold": b"1", b"sold:A": b"1", b"admitted": b"5"}
    assert await holders(stage) == {ANNA}


async def test_after_a_loss_one_call_paints_and_counts_everything_anew(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT)
    await stage.settle(await stage.place(BORIS, THIRD))
    keys = stage.keys
    until = int(datetime.now(UTC).timestamp() * 1000) + 60_000
    await stage.redis.delete(keys.seats, keys.counts, keys.holding)
    await stage.redis.hset(keys.seats, NEXT, f"11111111-0000-4000-8000-000000000000|{BORIS}|{until}")  # a stale memory
    await usecases.repaint(stage.office, keys.event)
    assert await stage.paint(FRONT) is not None
    assert (await stage.paint(THIRD), await stage.paint(NEXT)) == ("sold", None)
    counts = await stage.redis.hgetall(keys.counts)
    assert counts == {b"taken:A": b"2", b"sold": b"1", b"sold:A": b"1"}
    assert await holders(stage) == {ANNA}
