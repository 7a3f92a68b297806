"""Offers that nobody takes; and a crowd that is still on its way back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.ticket.queue.lines import (
    ANNA,
    BORIS,
    CARLA,
    HOUR,
    Scene,
    redis_now,
)

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.domain import Standing


async def test_no_shows_are_made_up_for(scene: Scene) -> None:
    scene.change(slots=10)
    await scene.redis.hset(scene.line.serving, mapping={"shows": 50, "no_shows": 55, "tokens": 100, "claims": 100})
    await scene.join(*(BuyerId(f"buyer-{number}") for number in range(50)))
    assert await scene.serve() == 20  # half of them come
    assert abs((await scene.state()).no_shows - 0.5) < 0.01
    assert await scene.serve() == 0


async def test_an_offer_that_nobody_takes_for_some_seconds_is_missed_already(scene: Scene) -> None:
    scene.change(slots=1, claim_window=60_000, per_minute=60_000)
    await scene.join(ANNA, BORIS, CARLA)
    await scene.serve()
    assert await scene.serve() == 0
    now = await redis_now(scene.redis)
    await scene.redis.zadd(scene.line.offers, {ANNA: now + 49_000})
    assert await scene.serve() == 1
    assert (await scene.claim(BORIS)).standing is Standing.ADMITTED
    assert (await scene.claim(ANNA)).standing is Standing.NEXT


async def test_a_missed_offer_is_paid_back_once_and_costs_a_whole_token_if_it_is_claimed_after_all(
    scene: Scene,
) -> None:
    scene.change(claim_window=60_000, per_minute=1)
    await scene.redis.hset(scene.line.serving, mapping={"tokens": 1, "claims": 5, "at": await redis_now(scene.redis)})
    await scene.join(ANNA, BORIS, CARLA)
    assert await scene.serve() == 1
    assert await scene.serve() == 0
    await scene.redis.zadd(scene.line.offers, {ANNA: await redis_now(scene.redis) + 50_000})  # made 10 s ago
    await scene.redis.hset(scene.line.serving, "missed", await redis_now(scene.redis))
    assert await scene.serve() == 1  # Boris, for Anna's token
    assert await scene.serve() == 0
    assert (await scene.claim(ANNA)).standing is Standing.ADMITTED
    tokens, no_shows = await scene.redis.hmget(scene.line.serving, ["tokens", "no_shows"])
    assert float(tokens or 0) == pytest.approx(1 - 5 / 6 - 1, abs=0.01)  # what Boris' offer left, less one
    assert float(no_shows or 0) == 0


async def test_who_asked_again_is_counted_on_however_many_others_do_not_come(scene: Scene) -> None:
    scene.change(slots=4)
    await scene.redis.hset(scene.line.serving, mapping={"shows": 50, "no_shows": 55, "tokens": 100, "claims": 100})
    names = [BuyerId(f"buyer-{number}") for number in range(10)]
    await scene.join(*names)
    await scene.redis.zadd(scene.line.returning, {name: seq for seq, name in enumerate(names, start=1)})
    await scene.redis.delete(scene.line.waiting)
    assert await scene.serve() == 4


async def test_what_was_measured_of_no_shows_fades(scene: Scene) -> None:
    measured: dict[Any, Any] = {"shows": 50, "no_shows": 55, "at": await redis_now(scene.redis) - HOUR}
    await scene.redis.hset(scene.line.serving, mapping=measured)
    await scene.join(ANNA)
    await scene.serve()
    assert (await scene.state()).no_shows < 0.001


async def test_however_many_do_not_come_a_fifth_is_counted_on(scene: Scene) -> None:
    await scene.redis.hset(scene.line.serving, mapping={"no_shows": 10_000})
    await scene.join(ANNA)
    await scene.serve()
    assert (await scene.state()).no_shows == 0.8


async def test_a_given_up_offer_gives_its_token_back_and_is_no_no_show(scene: Scene) -> None:
    scene.change(per_minute=1, slots=1)
    await scene.join(ANNA, BORIS)
    await scene.serve()
    await scene.leave(ANNA)
    assert await scene.serve() == 1
    assert (await scene.state()).no_shows == 0


# --- After a recovery


async def test_after_a_recovery_nobody_is_offered_a_slot_until_the_crowd_is_back(scene: Scene) -> None:
    held: dict[Any, Any] = {"hold_until": await redis_now(scene.redis) + HOUR, "hold_living": 3}
    await scene.redis.hset(scene.line.serving, mapping=held)
    await scene.join(ANNA, BORIS)
    assert await scene.serve() == 0
    await scene.join(CARLA)
    assert await scene.serve() > 0
    assert not await scene.redis.hexists(scene.line.serving, "hold_until")


async def test_the_crowd_is_waited_for_only_so_long(scene: Scene) -> None:
    held: dict[Any, Any] = {"hold_until": await redis_now(scene.redis) + HOUR, "hold_living": 1_000}
    await scene.redis.hset(scene.line.serving, mapping=held)
    await scene.join(ANNA)
    assert await scene.serve() == 0
    await scene.redis.hset(scene.line.serving, "hold_until", await redis_now(scene.redis))
    assert await scene.serve() == 1
