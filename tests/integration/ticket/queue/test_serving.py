"""Who is offered a slot, when, and what becomes of it."""

from __future__ import annotations

import asyncio

from tests.integration.ticket.queue.lines import (
    ANNA,
    BORIS,
    CARLA,
    Scene,
    begin,
    later,
    pretend_last_service_was,
    redis_now,
    until_redis_time_passes,
)

from tiketi_runtime.contracts.identity import BuyerId, Line
from tiketi_services.ticket.queue.domain import Standing
from tiketi_services.ticket.queue.terms import UNLIMITED


async def test_slots_are_offered_in_place_order(scene: Scene) -> None:
    scene.change(slots=2)
    await scene.join(ANNA, BORIS, CARLA)
    assert await scene.serve() == 1  # one token to begin with
    assert await scene.serve() == 1
    assert await scene.horizon() == 2
    assert [(await scene.claim(buyer)).standing for buyer in (CARLA, BORIS, ANNA)] == [
        Standing.WAITING,
        Standing.ADMITTED,
        Standing.ADMITTED,
    ]


async def test_with_one_slot_one_buyer_shops_at_a_time(scene: Scene) -> None:
    scene.change(slots=1)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    await scene.claim(ANNA)
    assert await scene.serve() == 0
    await scene.lines.end_session(scene.terms.event, ANNA)
    assert await scene.serve() == 1
    assert (await scene.claim(BORIS)).standing is Standing.ADMITTED


async def test_one_user_a_minute_means_one_now_and_not_one_more_soon(scene: Scene) -> None:
    scene.change(per_minute=1)
    await scene.join(ANNA, BORIS)
    assert await scene.serve() == 1
    await until_redis_time_passes(scene.redis, 50)
    assert await scene.serve() == 0


async def test_one_user_a_minute_is_served_again_after_a_minute_of_short_steps(scene: Scene) -> None:
    scene.change(per_minute=1)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    serving = scene.keys.line(scene.terms.line).serving
    for _ in range(59):
        await pretend_last_service_was(scene, 1_000)
        assert await scene.serve() == 0
    await pretend_last_service_was(scene, 1_000)
    assert await scene.serve() == 1
    assert float(await scene.redis.hget(serving, "tokens") or 0) < 0.1


async def test_an_hour_without_any_pod_lets_in_two_seconds_worth_at_most(scene: Scene) -> None:
    scene.change(per_minute=60)
    await scene.join(*(BuyerId(f"buyer-{number}") for number in range(20)))
    await scene.serve()
    await pretend_last_service_was(scene, 3_600_000)
    assert await scene.serve() == 2


async def test_many_pods_serving_at_once_offer_no_more_than_one_would(scene: Scene) -> None:
    scene.change(per_minute=60, slots=5)
    await scene.join(*(BuyerId(f"buyer-{number}") for number in range(20)))
    assert sum(await asyncio.gather(*(scene.serve() for _ in range(20)))) == 1
    assert await scene.horizon() == 1


async def test_offers_count_as_taken_slots(scene: Scene) -> None:
    scene.change(slots=3)
    await scene.join(*(BuyerId(f"buyer-{number}") for number in range(10)))
    for _ in range(5):
        await scene.serve()
    assert await scene.horizon() == 3


async def test_offers_of_another_line_of_the_event_count_as_well(scene: Scene) -> None:
    vip = Line("vip")
    await begin(scene.redis, scene.terms.event, vip)
    both = (scene.terms.line, vip)
    scene.change(slots=1, lines=both)
    await scene.join(ANNA)
    await scene.serve()
    scene.change(line=vip)
    await scene.join(BORIS)
    assert await scene.serve() == 0


async def test_nobody_is_offered_a_slot_beyond_what_is_left_to_sell(scene: Scene) -> None:
    scene.change(stock=10)
    await scene.redis.hset(scene.keys.counts, mapping={"sold": 9, "taken:A": 9})
    await scene.join(ANNA, BORIS)
    assert await scene.serve() == 1
    assert await scene.serve() == 0
    await scene.claim(ANNA)
    await scene.redis.hset(scene.keys.counts, mapping={"sold": 10, "taken:A": 10})
    await scene.lines.end_session(scene.terms.event, ANNA)
    assert await scene.serve() == 0


async def test_a_presale_is_not_stopped_by_what_other_sections_have_sold(scene: Scene) -> None:
    scene.change(stock=10, sections=("VIP",))
    await scene.redis.hset(scene.keys.counts, mapping={"sold": 50, "taken:A": 50})
    await scene.join(ANNA)
    assert await scene.serve() == 1


async def test_while_paused_nobody_is_offered_a_slot_or_admitted(scene: Scene) -> None:
    await scene.join(ANNA, BORIS)
    await scene.serve()
    scene.change(is_paused=True)
    assert (await scene.claim(ANNA)).standing is Standing.NEXT
    assert await scene.serve() == 0
    scene.change(is_paused=False)
    await scene.serve()
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED


async def test_offers_that_lapse_during_a_pause_say_nothing_about_no_shows(scene: Scene) -> None:
    scene.change(claim_window=20_000)
    await scene.join(ANNA)
    await scene.serve()
    scene.change(is_paused=True)
    await later(scene, 25_000)
    await scene.serve()
    assert (await scene.count("lapsed"), (await scene.state()).no_shows) == (1, 0)


async def test_before_the_opening_nobody_is_served_and_the_clock_alone_opens(scene: Scene) -> None:
    scene.change(opens=await redis_now(scene.redis) + 60_000)
    await scene.join(ANNA)
    assert await scene.serve() == 0
    await later(scene, 65_000)
    assert await scene.serve() == 1


async def test_an_offer_that_lapses_frees_its_slot_for_the_next_place(scene: Scene) -> None:
    scene.change(slots=1, claim_window=30_000, per_minute=1)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    await later(scene, 35_000)
    scene.change(claim_window=60_000)
    assert await scene.serve() == 1  # the token of the offer that lapsed
    assert await scene.horizon() == 2
    assert (await scene.claim(BORIS)).standing is Standing.ADMITTED
    assert await scene.count("lapsed") == 1


async def test_an_ended_session_frees_its_slot_by_itself(scene: Scene) -> None:
    scene.change(slots=1, session=20_000)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    await scene.claim(ANNA)
    await later(scene, 25_000)
    assert await scene.serve() == 1


# --- As many as rate, slots and stock allow


async def test_two_lines_share_what_there_is_to_sell(scene: Scene) -> None:
    scene.change(stock=2)
    await scene.redis.zadd(scene.keys.active, {"somebody": scene.terms.closes})
    await scene.join(ANNA, BORIS)
    assert [await scene.serve(), await scene.serve()] == [1, 0]


async def test_who_holds_seats_already_is_not_counted_twice(scene: Scene) -> None:
    scene.change(stock=2)
    await scene.redis.hset(scene.keys.counts, "taken:A", 1)
    await scene.redis.zadd(scene.keys.active, {"somebody": scene.terms.closes})
    await scene.join(ANNA)
    assert await scene.serve() == 0
    await scene.redis.zadd(scene.keys.holding, {"somebody": scene.terms.closes})
    assert await scene.serve() == 1


async def test_a_hold_that_ran_out_counts_its_buyer_again(scene: Scene) -> None:
    scene.change(stock=2)
    await scene.redis.hset(scene.keys.counts, "taken:A", 1)
    await scene.redis.zadd(scene.keys.active, {"somebody": scene.terms.closes})
    await scene.redis.zadd(scene.keys.holding, {"somebody": await redis_now(scene.redis)})
    await scene.join(ANNA)
    assert await scene.serve() == 0


async def test_adaptive_admission_slows_the_line_down_and_never_speeds_it_up(scene: Scene) -> None:
    scene.change(per_minute=60)
    await scene.join(*(BuyerId(f"buyer-{number}") for number in range(20)))
    await scene.serve()
    await scene.redis.hset(scene.keys.rate, "perMinute", 30)
    await pretend_last_service_was(scene, 2_000)
    assert await scene.serve() == 1
    await scene.redis.hset(scene.keys.rate, "perMinute", 6_000)
    await pretend_last_service_was(scene, 2_000)
    assert await scene.serve() == 2
    assert (await scene.state()).per_minute == 6_000


async def test_passthrough_lets_everybody_in_as_they_come(scene: Scene) -> None:
    crowd = [BuyerId(f"buyer-{number}") for number in range(700)]
    scene.change(per_minute=UNLIMITED, slots=UNLIMITED)
    await scene.join(*crowd)
    await scene.serve()
    await scene.serve()
    await scene.serve()
    assert await scene.horizon() == 700
    assert (await scene.claim(crowd[699])).standing is Standing.ADMITTED


async def test_the_horizon_stops_at_the_mark_that_postgresql_has(scene: Scene) -> None:
    await scene.redis.hset(scene.line.limits, "serving", 2)
    await scene.join(ANNA, BORIS, CARLA)
    for _ in range(4):
        await scene.serve()
    assert await scene.horizon() == 2
    await scene.redis.hset(scene.line.limits, "serving", 3)
    assert await scene.serve() == 1


async def test_a_horizon_far_behind_the_next_number_goes_to_its_mark_so_that_that_is_raised(scene: Scene) -> None:
    await scene.redis.set(scene.line.seq, 500)
    await scene.redis.hset(scene.line.limits, "serving", 100)
    await scene.join(ANNA)
    assert await scene.serve() == 0
    assert await scene.horizon() == 100


async def test_an_idle_line_writes_nothing(scene: Scene) -> None:
    scene.change(per_minute=60)
    await scene.serve()
    await pretend_last_service_was(scene, 2_000)
    await scene.serve()
    await pretend_last_service_was(scene, 2_000)
    await scene.serve()
    before = await scene.redis.hgetall(scene.line.serving)
    assert await scene.serve() == 0
    assert await scene.redis.hgetall(scene.line.serving) == before


async def test_waiting_for_the_opening_saves_up_nothing(scene: Scene) -> None:
    scene.change(per_minute=6_000, opens=await redis_now(scene.redis) + 50)
    await scene.join(*(BuyerId(f"buyer-{number}") for number in range(200)))
    await scene.serve()
    await until_redis_time_passes(scene.redis, 60)
    assert await scene.serve() < 100  # 2 s of the rate are 200


async def test_only_while_somebody_has_to_wait_a_crowd_is_noted(scene: Scene) -> None:
    scene.change(slots=1)
    await scene.join(ANNA)
    await scene.serve()  # there is room: nobody is left waiting
    assert (await scene.state()).crowded == {}
    await scene.join(BORIS)
    scene.change(slots=1, is_paused=True)
    await scene.serve()  # waits for the organiser, which says nothing of how fast the line is
    assert (await scene.state()).crowded == {}
    scene.change(slots=1, is_paused=False)
    first = await redis_now(scene.redis)
    await scene.serve()
    await scene.serve()
    crowded = (await scene.state()).crowded
    seconds = (await redis_now(scene.redis)) // 1000 - first // 1000 + 1
    assert 1 <= sum(crowded.values()) <= seconds
    assert all(first // 10_000 <= stretch <= first // 10_000 + 1 for stretch in crowded)


async def test_crowds_of_long_ago_are_forgotten(scene: Scene) -> None:
    scene.change(slots=1)
    await scene.redis.hset(scene.line.crowded, mapping={"1": 1023})
    await scene.join(ANNA, BORIS)
    await scene.serve()
    assert 1 not in (await scene.state()).crowded
