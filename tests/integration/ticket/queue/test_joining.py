"""Taking, keeping and giving up a place."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.ticket.queue.lines import ANNA, BORIS, CARLA, HOUR, Scene, later, redis_now

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.domain import (
    NotInLine,
    QueueClosed,
    QueueNotOpen,
    Recovering,
    SaleClosed,
    Standing,
)
from tiketi_services.ticket.queue.repository import Spent


async def test_places_are_given_in_the_order_of_joining(scene: Scene) -> None:
    await scene.join(ANNA, BORIS, CARLA)
    assert [scene.places[buyer].seq for buyer in (ANNA, BORIS, CARLA)] == [1, 2, 3]


async def test_joining_again_on_another_device_answers_the_same_place(scene: Scene) -> None:
    await scene.join(ANNA, BORIS)
    again = await scene.join(ANNA)
    assert (again.seq, again.standing) == (1, Standing.WAITING)
    assert await scene.count("joined") == 2


async def test_fifty_tabs_joining_at_once_are_one_place(scene: Scene) -> None:
    places = await asyncio.gather(*(scene.lines.join(scene.terms, None, ANNA) for _ in range(50)))
    assert {place and place.seq for place in places} == {1}


async def test_nobody_joins_before_the_lead_in(scene: Scene) -> None:
    now = await redis_now(scene.redis)
    scene.change(joins_from=now + 5_000, opens=now + 10_000)
    with pytest.raises(QueueNotOpen) as refusal:
        await scene.join(ANNA)
    assert refusal.value.members["opensAt"].endswith("Z")
    assert 0 < refusal.value.members["retryAfter"] <= 5
    assert not await scene.redis.exists(scene.keys.line(scene.terms.line).places)


async def test_buyers_may_line_up_before_the_opening_and_are_not_served_yet(scene: Scene) -> None:
    scene.change(opens=scene.terms.closes - 1)
    await scene.join(ANNA)
    assert await scene.serve() == 0
    assert (await scene.claim(ANNA)).standing is Standing.WAITING


async def test_nobody_joins_after_the_close(scene: Scene) -> None:
    scene.change(closes=await redis_now(scene.redis))
    with pytest.raises(SaleClosed):
        await scene.join(ANNA)


async def test_while_draining_nobody_new_joins_and_who_has_a_place_keeps_it(scene: Scene) -> None:
    await scene.join(ANNA)
    scene.change(takes_new=False)
    with pytest.raises(QueueClosed):
        await scene.join(BORIS)
    assert (await scene.join(ANNA)).seq == 1
    assert await scene.serve() == 1


async def test_leaving_frees_the_place_at_once_and_joining_again_answers_the_same_number(scene: Scene) -> None:
    await scene.join(ANNA, BORIS)
    assert await scene.leave(ANNA)
    assert (await scene.state()).waiting == 1
    assert (await scene.join(ANNA)).seq == 1
    await scene.serve()
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED


async def test_leaving_twice_changes_nothing(scene: Scene) -> None:
    await scene.join(ANNA)
    assert [await scene.leave(ANNA), await scene.leave(ANNA)] == [True, False]
    assert await scene.count("left") == 1


async def test_who_left_is_not_brought_back_by_a_heartbeat_or_a_claim(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.leave(ANNA)
    assert await scene.beat(ANNA) == [ANNA]
    with pytest.raises(NotInLine):
        await scene.claim(ANNA)


async def test_who_comes_back_after_the_horizon_passed_is_next(scene: Scene) -> None:
    scene.change(slots=1)
    await scene.join(ANNA, BORIS, CARLA)
    await scene.leave(ANNA)
    await scene.serve()
    assert (await scene.join(ANNA)).standing is Standing.NEXT
    await scene.leave(BORIS)
    await scene.serve()
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED
    assert (await scene.claim(CARLA)).standing is Standing.WAITING


async def test_leaving_while_shopping_frees_the_slot_and_the_place_stays_spent(scene: Scene) -> None:
    scene.change(slots=1)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    await scene.claim(ANNA)
    assert await scene.leave(ANNA)
    assert await scene.serve() == 1
    with pytest.raises(Spent):
        await scene.join(ANNA)


async def test_silent_buyers_are_swept_and_keep_their_number(scene: Scene) -> None:
    scene.change(ghost_timeout=60_000)
    await scene.join(ANNA, BORIS)
    await later(scene, 70_000)
    await scene.beat(BORIS)
    assert await scene.lines.sweep(scene.terms) == 1
    with pytest.raises(NotInLine):
        await scene.claim(ANNA)
    assert (await scene.join(ANNA)).seq == 1
    assert await scene.count("ghosts") == 1


async def test_who_asked_again_and_then_went_silent_is_swept_too(scene: Scene) -> None:
    scene.change(claim_window=1_000, ghost_timeout=60_000)
    await scene.join(ANNA)
    await scene.serve()
    await later(scene, 5_000)
    assert (await scene.claim(ANNA)).standing is Standing.NEXT
    await later(scene, 70_000)
    assert await scene.lines.sweep(scene.terms) == 1
    assert await scene.serve() == 0


async def test_a_third_of_the_line_falling_silent_is_an_outage_and_nobody_is_swept(scene: Scene) -> None:
    crowd = [BuyerId(f"buyer-{number}") for number in range(30)]
    scene.change(ghost_timeout=1_000_000)
    await scene.join(*crowd)
    await later(scene, 1_005_000)
    await scene.beat(*crowd[10:])
    assert await scene.lines.sweep(scene.terms) == 0
    await scene.beat(*crowd[:10])
    assert await scene.lines.sweep(scene.terms) == 0


async def test_who_stays_silent_after_the_outage_is_swept(scene: Scene) -> None:
    crowd = [BuyerId(f"buyer-{number}") for number in range(30)]
    scene.change(ghost_timeout=200_000)
    await scene.join(*crowd)
    await later(scene, 420_000)
    await scene.beat(*crowd[10:])
    assert await scene.lines.sweep(scene.terms) == 10


async def test_nothing_is_decided_on_a_server_the_line_was_not_begun_on(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.redis.hset(scene.keys.epoch, "run_id", "0" * 40)
    before = await scene.redis.dump(scene.keys.line(scene.terms.line).places)
    for attempt in (
        scene.join(BORIS),
        scene.serve(),
        scene.claim(ANNA),
        scene.beat(ANNA),
        scene.leave(ANNA),
        scene.lines.sweep(scene.terms),
        scene.state(),
        scene.lines.session(scene.terms.event, scene.terms.line, ANNA, "x"),
    ):
        with pytest.raises(Recovering) as refusal:
            await attempt
        assert refusal.value.members["retryAfter"] > 0
    assert await scene.redis.dump(scene.keys.line(scene.terms.line).places) == before


async def test_an_emptied_redis_is_noticed(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.redis.delete(*[key async for key in scene.redis.scan_iter(scene.keys.pattern)])
    with pytest.raises(Recovering):
        await scene.join(BORIS)
    assert [key async for key in scene.redis.scan_iter(scene.keys.pattern)] == []


async def test_time_of_an_event_never_runs_backwards(scene: Scene) -> None:
    ahead = await redis_now(scene.redis) + HOUR
    await scene.redis.set(scene.keys.clock, ahead)
    state = await scene.state()
    assert state.now.timestamp() * 1000 == ahead
