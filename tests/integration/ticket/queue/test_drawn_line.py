"""A line whose order is drawn: who is an entry, whose turn it is, and who comes after the entries."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.ticket.queue.lines import (
    ANNA,
    BORIS,
    CARLA,
    DORA,
    HOUR,
    Scene,
    allow,
    later,
    offer,
    redis_now,
)

from tiketi_runtime.contracts.draw import Draw
from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.domain import NotReady, Standing
from tiketi_services.ticket.queue.repository import Candidates


async def draw_now(scene: Scene, key: bytes = bytes(32)) -> Draw:
    """What drawing leaves behind: the entries are fixed, their order is known here and in Redis."""
    fixed = await scene.redis.hget(scene.line.draw, "n") or await scene.redis.get(scene.line.seq) or 0
    await scene.redis.hset(scene.line.draw, mapping={"n": int(fixed), "ready": 1})
    scene.order = Draw(int(fixed), key)
    return scene.order


def order_that_begins_with(n: int, *seqs: int) -> Draw:
    """A draw of n entries with these at the first places."""
    draws = (Draw(n, number.to_bytes(32, "big")) for number in range(100_000))
    return next(draw for draw in draws if draw.seqs(1, len(seqs)) == list(seqs))


@pytest.fixture
async def lottery(scene: Scene) -> Scene:
    """Three have joined; the draw is an hour away."""
    now = await redis_now(scene.redis)
    scene.change(draw_at=now + HOUR)
    await scene.join(ANNA, BORIS, CARLA)
    return scene


async def offered_to(scene: Scene) -> set[str]:
    buyers: list[Any] = await scene.redis.zrange(scene.line.offers, 0, -1)
    return {buyer.decode() for buyer in buyers}


async def close_entries(scene: Scene) -> None:
    scene.change(draw_at=await redis_now(scene.redis))


async def test_before_the_draw_nobody_has_a_place_yet_and_nobody_is_served(lottery: Scene) -> None:
    assert lottery.places[ANNA].place is None
    assert await lottery.serve() == 0
    assert (await lottery.claim(ANNA)).standing is Standing.WAITING


async def test_who_joins_after_the_entries_are_closed_is_never_one_of_them(lottery: Scene) -> None:
    await close_entries(lottery)
    late = await lottery.join(DORA)
    assert (late.seq, late.place) == (4, 4)
    state = await lottery.state()
    assert (state.entries, state.is_drawn) == (3, False)
    assert (await lottery.join(ANNA)).place is None


async def test_serving_closes_the_entries_too(lottery: Scene) -> None:
    await close_entries(lottery)
    assert await lottery.serve() == 0
    assert (await lottery.state()).entries == 3


async def test_who_has_two_numbers_after_a_loss_cannot_choose_between_their_places(lottery: Scene) -> None:
    """Redis lost the line, and who joined anew without the receipt got a second number."""
    await lottery.redis.hdel(lottery.line.places, ANNA, BORIS)
    await lottery.redis.zrem(lottery.line.waiting, ANNA, BORIS)
    anew = await lottery.join(ANNA, BORIS)
    assert anew.seq == 5
    assert await lottery.present(BORIS, 2) is not None
    await close_entries(lottery)
    order = order_that_begins_with(5, 1, 4)
    await draw_now(lottery)
    lottery.order = order
    kept = await lottery.present(ANNA, 1)
    assert kept is not None
    assert (kept.seq, kept.place) == (4, 2)
    back = await lottery.present(BORIS, 5)
    assert back is not None
    assert back.seq == 2, "before the entries were fixed, the earlier number counted"
    late = await lottery.join(BuyerId("dora"))
    assert late.seq == 6
    found = await lottery.present(BuyerId("dora"), 5)
    assert found is not None
    assert found.seq == 5, "who is no entry may bring the receipt of one"


async def test_a_draw_that_is_put_off_later_does_not_open_closed_entries(lottery: Scene) -> None:
    await close_entries(lottery)
    await lottery.serve()
    lottery.change(draw_at=lottery.terms.draw_at + HOUR)
    await lottery.join(DORA)
    assert (await lottery.state()).entries == 3


async def test_slots_are_offered_in_the_order_that_was_drawn_then_in_order_of_joining(lottery: Scene) -> None:
    await close_entries(lottery)
    await lottery.join(DORA)
    await draw_now(lottery)
    lottery.order = order_that_begins_with(3, 3, 1, 2)
    candidates = Candidates(1, lottery.order.seqs(1, 3))
    order: list[str] = []
    for _ in range(4):
        await allow(lottery, 1)
        await lottery.serve_with(candidates)
        order += sorted(await offered_to(lottery) - set(order))
    assert order == [CARLA, ANNA, BORIS, DORA]
    assert await lottery.horizon() == 4
    assert await lottery.living() == set()


async def test_dead_places_cost_nothing(lottery: Scene) -> None:
    await close_entries(lottery)
    await draw_now(lottery)
    lottery.order = order_that_begins_with(3, 2, 3, 1)
    await lottery.leave(BORIS)
    await lottery.leave(CARLA)
    served = await lottery.serve_with(Candidates(1, [2, 3, 1]))
    assert (served.offered, served.horizon) == (1, 3)
    assert (await lottery.claim(ANNA)).standing is Standing.ADMITTED


async def test_who_is_offered_a_slot_is_asked_for_again_when_no_places_were_told(lottery: Scene) -> None:
    await close_entries(lottery)
    order = await draw_now(lottery)
    served = await lottery.serve_with(Candidates())
    assert (served.offered, served.horizon, served.entries, served.lacks_places) == (0, 0, 3, True)
    served = await lottery.serve_with(Candidates(2, order.seqs(2, 2)))  # a gap: whose turn it is, is not among them
    assert (served.offered, served.lacks_places) == (0, True)
    await allow(lottery, 1)
    served = await lottery.serve_with(Candidates(1, order.seqs(1, 3)))
    assert (served.offered, served.lacks_places) == (1, False)


async def test_places_told_before_the_horizon_are_passed_over(lottery: Scene) -> None:
    await close_entries(lottery)
    order = await draw_now(lottery)
    told = Candidates(1, order.seqs(1, 3))
    for expected in (1, 1, 1, 0):
        await allow(lottery, 1)
        assert (await lottery.serve_with(told)).offered == expected


async def test_an_entry_that_comes_back_after_its_place_was_passed_goes_first(lottery: Scene) -> None:
    await close_entries(lottery)
    await draw_now(lottery)
    lottery.order = order_that_begins_with(3, 3, 2, 1)
    lottery.change(slots=1)
    await lottery.leave(CARLA)
    await lottery.serve_with(Candidates(1, [3, 2, 1]))
    again = await lottery.join(CARLA)
    assert (again.standing, again.place) == (Standing.NEXT, 1)
    assert await lottery.redis.zscore(lottery.line.returning, CARLA) == 1
    await lottery.leave(BORIS)
    assert await lottery.serve() == 1
    assert (await lottery.claim(CARLA)).standing is Standing.ADMITTED


async def test_a_process_that_does_not_know_the_order_yet_decides_nothing_by_it(lottery: Scene) -> None:
    await close_entries(lottery)
    await draw_now(lottery)
    await offer(lottery, ANNA)
    await lottery.leave(BORIS)
    lottery.order = None
    with pytest.raises(NotReady):
        await lottery.claim(ANNA)
    with pytest.raises(NotReady):
        await lottery.join(BORIS)
    assert await lottery.join(CARLA)  # waits already: nothing to decide


async def test_a_lapsed_offer_of_an_entry_is_kept_by_its_place(lottery: Scene) -> None:
    await close_entries(lottery)
    await draw_now(lottery)
    lottery.order = order_that_begins_with(3, 3, 1, 2)
    lottery.change(claim_window=20_000)
    await lottery.serve_with(Candidates(1, [3, 1, 2]))
    await later(lottery, 25_000)
    assert (await lottery.claim(CARLA)).standing is Standing.NEXT
    assert await lottery.redis.zscore(lottery.line.returning, CARLA) == 1
    assert await lottery.living() == {1, 2, 3}


async def test_the_horizon_of_a_drawn_line_stops_at_its_mark_as_well(lottery: Scene) -> None:
    await close_entries(lottery)
    order = await draw_now(lottery)
    await lottery.redis.hset(lottery.line.limits, "serving", 1)
    told = Candidates(1, order.seqs(1, 3))
    assert [(await lottery.serve_with(told)).offered for _ in range(3)] == [1, 0, 0]
    assert await lottery.horizon() == 1


async def test_a_line_that_nobody_entered_is_served_in_order_of_joining(scene: Scene) -> None:
    scene.change(draw_at=await redis_now(scene.redis))
    await scene.join(ANNA)
    await draw_now(scene)
    assert (await scene.state()).entries == 0
    assert await scene.serve() == 1


async def test_places_of_a_thousand_entries_are_served_once_each(scene: Scene) -> None:
    crowd = [BuyerId(f"buyer-{number}") for number in range(1, 1001)]
    scene.change(draw_at=await redis_now(scene.redis) + HOUR, per_minute=60_000_000, slots=10_000, stock=10_000)
    await scene.join(*crowd)
    await close_entries(scene)
    order = await draw_now(scene)
    await allow(scene, 10_000)
    served = await scene.serve_with(Candidates(1, order.seqs(1, 1000)))
    assert (served.offered, served.horizon) == (500, 500)
    assert await offered_to(scene) == {f"buyer-{seq}" for seq in order.seqs(1, 500)}
