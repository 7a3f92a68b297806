"""Who is admitted when asking, and what an admission is."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.ticket.queue.lines import (
    ANNA,
    BORIS,
    CARLA,
    Scene,
    later,
    offer,
    redis_now,
)

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.domain import SaleClosed, Standing
from tiketi_services.ticket.queue.repository import Spent


async def test_the_same_claim_again_answers_the_same_session(scene: Scene) -> None:
    await scene.join(ANNA)
    await scene.serve()
    first = await scene.claim(ANNA, "first")
    again = await scene.claim(ANNA, "second")
    assert (first.session, first.began_now) == ("first", True)
    assert (again.session, again.until, again.began_now) == ("first", first.until, False)
    assert await scene.count("admitted") == 1


async def test_a_place_admits_once(scene: Scene) -> None:
    scene.change(session=20_000)
    await scene.join(ANNA)
    await scene.serve()
    await scene.claim(ANNA)
    await later(scene, 25_000)
    with pytest.raises(Spent):
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


async def test_a_session_is_live_until_its_end_and_only_for_its_buyer(scene: Scene) -> None:
    scene.change(session=40_000)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    turn = await scene.claim(ANNA)
    event, line = scene.terms.event, scene.terms.line
    live = await scene.lines.session(event, line, ANNA, str(turn.session))
    assert live is not None
    assert live.ends is not None
    assert await scene.lines.session(event, line, BORIS, str(turn.session)) is None
    assert await scene.lines.session(event, line, ANNA, "another") is None
    await later(scene, 45_000)
    over = await scene.lines.session(event, line, ANNA, str(turn.session))
    assert over is not None
    assert over.ends is None


async def test_a_lapsed_offer_admits_nobody(scene: Scene) -> None:
    scene.change(claim_window=20_000)
    await scene.join(ANNA)
    await scene.serve()
    await later(scene, 25_000)
    assert (await scene.claim(ANNA)).standing is Standing.NEXT


async def test_who_let_an_offer_lapse_and_asks_again_goes_first(scene: Scene) -> None:
    scene.change(slots=1, claim_window=30_000)
    await scene.join(ANNA, BORIS, CARLA)
    await scene.serve()
    await later(scene, 35_000)
    scene.change(claim_window=60_000)
    await scene.serve()
    assert (await scene.claim(ANNA)).standing is Standing.NEXT
    await scene.claim(BORIS)
    await scene.lines.end_session(scene.terms.event, BORIS)
    assert await scene.serve() == 1
    assert (await scene.claim(CARLA)).standing is Standing.WAITING
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED


# --- The gate: rate, slots and stock, whatever was offered


async def test_room_is_for_earlier_places_that_asked_before(scene: Scene) -> None:
    scene.change(slots=1)
    await scene.join(ANNA, BORIS, CARLA)
    await offer(scene, ANNA, BORIS)
    await scene.redis.zadd(scene.keys.active, {"somebody": scene.terms.closes})
    assert (await scene.claim(ANNA)).standing is Standing.NEXT
    await scene.lines.end_session(scene.terms.event, BuyerId("somebody"))
    assert (await scene.claim(BORIS)).standing is Standing.NEXT
    assert await scene.serve() == 1
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED


async def test_more_offers_than_slots_admit_no_more_than_there_are_slots(scene: Scene) -> None:
    scene.change(slots=2)
    crowd = [BuyerId(f"buyer-{number}") for number in range(5)]
    await scene.join(*crowd)
    await offer(scene, *crowd)
    await scene.redis.hset(scene.line.serving, "claims", 5)
    standings = [(await scene.claim(buyer)).standing for buyer in crowd]
    assert standings == [Standing.ADMITTED] * 2 + [Standing.NEXT] * 3
    assert await scene.living() == {3, 4, 5}


async def test_claims_come_no_faster_than_the_rate(scene: Scene) -> None:
    scene.change(per_minute=1)
    await scene.join(ANNA, BORIS)
    await offer(scene, ANNA, BORIS)
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED
    assert (await scene.claim(BORIS)).standing is Standing.NEXT


async def test_nobody_is_admitted_when_the_last_ticket_went_after_the_offer(scene: Scene) -> None:
    scene.change(stock=1)
    await scene.join(ANNA)
    await scene.serve()
    await scene.redis.hset(scene.keys.counts, "taken:A", 1)
    assert (await scene.claim(ANNA)).standing is Standing.NEXT


async def test_admissions_are_counted_by_stretches_of_ten_seconds(scene: Scene) -> None:
    await scene.redis.hset(scene.line.pace, mapping={"1": 9})
    await scene.join(ANNA, BORIS)
    await offer(scene, ANNA, BORIS)
    await scene.redis.hset(scene.line.serving, "claims", 2)
    await scene.claim(ANNA)
    await scene.claim(BORIS)
    assert sum((await scene.state()).pace.values()) == 2
