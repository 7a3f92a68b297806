"""Who is offered a slot, when, and what becomes of it."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.ticket.queue.lines import ANNA, BORIS, CARLA, DORA, Scene, redis_now, until_redis_time_passes

from tiketi_runtime.contracts.identity import BuyerId, Line, Seq
from tiketi_services.ticket.queue.domain import AlreadyAdmitted, SaleClosed, StaleReceipt, Standing


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
        await _pretend_last_service_was(scene, 1_000)
        assert await scene.serve() == 0
    await _pretend_last_service_was(scene, 1_000)
    assert await scene.serve() == 1
    assert float(await scene.redis.hget(serving, "tokens") or 0) < 0.1


async def test_an_hour_without_any_pod_lets_in_two_seconds_worth_at_most(scene: Scene) -> None:
    scene.change(per_minute=60)
    await scene.join(*(BuyerId(f"buyer-{number}") for number in range(20)))
    await scene.serve()
    await _pretend_last_service_was(scene, 3_600_000)
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
    both = (scene.terms.line, vip)
    scene.change(slots=1, lines=both)
    await scene.join(ANNA)
    await scene.serve()
    scene.change(line=vip)
    await scene.join(BORIS)
    assert await scene.serve() == 0


async def test_nobody_is_offered_a_slot_beyond_what_is_left_to_sell(scene: Scene) -> None:
    scene.change(stock=10)
    await scene.redis.hset(scene.keys.counts, mapping={"sold": 9, "sold:A": 9})
    await scene.join(ANNA, BORIS)
    assert await scene.serve() == 1
    assert await scene.serve() == 0
    await scene.claim(ANNA)
    await scene.redis.hset(scene.keys.counts, mapping={"sold": 10, "sold:A": 10})
    await scene.lines.end_session(scene.terms.event, ANNA)
    assert await scene.serve() == 0


async def test_a_presale_is_not_stopped_by_what_other_sections_have_sold(scene: Scene) -> None:
    scene.change(stock=10, sections=("VIP",))
    await scene.redis.hset(scene.keys.counts, mapping={"sold": 50, "sold:A": 50})
    await scene.join(ANNA)
    assert await scene.serve() == 1


async def test_while_paused_nobody_is_offered_a_slot_or_admitted(scene: Scene) -> None:
    await scene.join(ANNA, BORIS)
    await scene.serve()
    scene.change(is_paused=True)
    assert (await scene.claim(ANNA)).standing is Standing.NEXT
    assert await scene.serve() == 0
    scene.change(is_paused=False)
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED


async def test_before_the_opening_nobody_is_served_and_the_clock_alone_opens(scene: Scene) -> None:
    scene.change(opens=await redis_now(scene.redis) + 60)
    await scene.join(ANNA)
    assert await scene.serve() == 0
    await until_redis_time_passes(scene.redis, 65)
    assert await scene.serve() == 1


async def test_an_offer_that_lapses_frees_its_slot_for_the_next_place(scene: Scene) -> None:
    scene.change(slots=1, claim_window=30, per_minute=1)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    await until_redis_time_passes(scene.redis, 35)
    scene.change(claim_window=60_000)
    assert await scene.serve() == 1  # the token of the offer that lapsed
    assert await scene.horizon() == 2
    assert (await scene.claim(BORIS)).standing is Standing.ADMITTED
    assert await scene.count("lapsed") == 1


async def test_who_let_an_offer_lapse_and_asks_again_goes_first(scene: Scene) -> None:
    scene.change(slots=1, claim_window=30)
    await scene.join(ANNA, BORIS, CARLA)
    await scene.serve()
    await until_redis_time_passes(scene.redis, 35)
    scene.change(claim_window=60_000)
    await scene.serve()
    assert (await scene.claim(ANNA)).standing is Standing.NEXT
    await scene.claim(BORIS)
    await scene.lines.end_session(scene.terms.event, BORIS)
    assert await scene.serve() == 1
    assert (await scene.claim(CARLA)).standing is Standing.WAITING
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED


async def test_a_lapsed_offer_admits_nobody(scene: Scene) -> None:
    scene.change(claim_window=20)
    await scene.join(ANNA)
    await scene.serve()
    await until_redis_time_passes(scene.redis, 25)
    assert (await scene.claim(ANNA)).standing is Standing.NEXT


async def test_the_same_claim_again_answers_the_same_session(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.serve()
    first = await scene.claim(ANNA, "first")
    again = await scene.claim(ANNA, "second")
    assert (first.session, first.began_now) == ("first", True)
    assert (again.session, again.until, again.began_now) == ("first", first.until, False)
    assert await scene.count("admitted") == 1


async def test_a_place_admits_once(scene: Scene) -> None:
    scene.change(session=20)
    await scene.join(ANNA)
    await scene.serve()
    await scene.claim(ANNA)
    await until_redis_time_passes(scene.redis, 25)
    with pytest.raises(AlreadyAdmitted):
        await scene.claim(ANNA)


async def test_fifty_claims_at_once_are_one_admission(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.serve()
    turns = await asyncio.gather(*(scene.claim(ANNA, f"session-{number}") for number in range(50)))
    assert len({turn.session for turn in turns}) == 1
    assert sum(turn.began_now for turn in turns) == 1


async def test_a_session_ends_with_the_sale_at_the_latest(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.serve()
    turn = await scene.claim(ANNA)
    assert turn.until is not None
    assert turn.until.timestamp() * 1000 <= scene.terms.closes


async def test_nobody_is_admitted_after_the_close(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.serve()
    scene.change(closes=await redis_now(scene.redis))
    with pytest.raises(SaleClosed):
        await scene.claim(ANNA)


async def test_a_receipt_of_an_earlier_epoch_or_another_place_is_stale(scene: Scene) -> None:
    place = await scene.join(ANNA)
    for seq, epoch, buyer in (
        (Seq(place.seq + 1), place.epoch, ANNA),
        (place.seq, place.epoch + 1, ANNA),
        (place.seq, place.epoch, DORA),
    ):
        with pytest.raises(StaleReceipt):
            await scene.lines.claim(scene.terms, buyer, seq, epoch, "session")


async def test_an_ended_session_frees_its_slot_by_itself(scene: Scene) -> None:
    scene.change(slots=1, session=20)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    await scene.claim(ANNA)
    await until_redis_time_passes(scene.redis, 25)
    assert await scene.serve() == 1


async def test_a_session_is_live_until_its_end_and_only_for_its_buyer(scene: Scene) -> None:
    scene.change(session=40)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    turn = await scene.claim(ANNA)
    event, line = scene.terms.event, scene.terms.line
    live = await scene.lines.session(event, line, ANNA, str(turn.session))
    assert live is not None
    assert live.ends is not None
    assert await scene.lines.session(event, line, BORIS, str(turn.session)) is None
    assert await scene.lines.session(event, line, ANNA, "another") is None
    await until_redis_time_passes(scene.redis, 45)
    over = await scene.lines.session(event, line, ANNA, str(turn.session))
    assert over is not None
    assert over.ends is None


async def _pretend_last_service_was(scene: Scene, ms: int) -> None:
    serving = scene.keys.line(scene.terms.line).serving
    await scene.redis.hset(serving, "at", await redis_now(scene.redis) - ms)
