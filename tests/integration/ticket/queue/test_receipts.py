"""Places that Redis has lost come back with the receipts of those who have them."""

from __future__ import annotations

import pytest
from tests.integration.ticket.queue.lines import ANNA, BORIS, CARLA, DORA, Scene, offer, receipt_of

from tiketi_runtime.contracts.draw import Draw
from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.domain import QueueClosed, StaleReceipt, Standing
from tiketi_services.ticket.queue.repository import NumbersUsedUp, Spent


@pytest.fixture
async def rebuilt(scene: Scene) -> Scene:
    """A line in epoch 2: numbers go on after 100, places up to 50 had their turn. Redis knows nobody."""
    await scene.redis.hset(scene.keys.epoch, "epoch", 2)
    await scene.redis.set(scene.line.seq, 100)
    await scene.redis.hset(scene.line.serving, mapping={"horizon": 50, "tokens": 1})
    await scene.redis.hset(scene.line.limits, mapping={"seq": 120, "serving": 70})
    return scene


async def test_a_receipt_of_an_earlier_epoch_restores_its_place(rebuilt: Scene) -> None:
    place = await rebuilt.present(ANNA, 60)
    assert place is not None
    assert (place.seq, place.epoch, place.standing) == (60, 2, Standing.WAITING)
    assert await rebuilt.living() == {60}
    assert await rebuilt.count("joined") == 1


async def test_a_place_that_had_its_turn_goes_first_by_its_number(rebuilt: Scene) -> None:
    for buyer, seq in ((ANNA, 40), (BORIS, 30), (CARLA, 60)):
        await rebuilt.present(buyer, seq)
    rebuilt.change(slots=1)
    await rebuilt.serve()
    assert [(await rebuilt.claim(buyer)).standing for buyer in (CARLA, ANNA, BORIS)] == [
        Standing.WAITING,
        Standing.NEXT,
        Standing.ADMITTED,
    ]


async def test_presenting_it_again_answers_the_same(rebuilt: Scene) -> None:
    await rebuilt.present(ANNA, 60)
    again = await rebuilt.present(ANNA, 60)
    assert again is not None
    assert again.seq == 60
    assert await rebuilt.count("joined") == 1


async def test_a_new_number_is_given_up_for_the_earlier_place_of_a_receipt(rebuilt: Scene) -> None:
    assert (await rebuilt.join(ANNA)).seq == 101
    place = await rebuilt.present(ANNA, 60)
    assert place is not None
    assert place.seq == 60
    assert await rebuilt.living() == {60}
    assert (await rebuilt.join(ANNA)).seq == 60


async def test_a_later_receipt_than_the_known_place_changes_nothing(rebuilt: Scene) -> None:
    await rebuilt.present(ANNA, 60)
    place = await rebuilt.present(ANNA, 70)
    assert place is not None
    assert place.seq == 60


async def test_an_offer_is_kept_when_an_earlier_receipt_is_presented(rebuilt: Scene) -> None:
    await rebuilt.join(ANNA)
    await offer(rebuilt, ANNA)
    place = await rebuilt.present(ANNA, 60)
    assert place is not None
    assert (place.seq, place.standing) == (60, Standing.OFFERED)
    assert (await rebuilt.claim(ANNA)).standing is Standing.ADMITTED


@pytest.mark.parametrize(("seq", "epoch"), [(121, 1), (60, 3)])
async def test_a_receipt_that_cannot_be_of_this_line_is_no_place(rebuilt: Scene, seq: int, epoch: int) -> None:
    assert await rebuilt.present(ANNA, seq, epoch) is None
    assert not await rebuilt.redis.exists(rebuilt.line.places)


async def test_a_spent_place_never_comes_alive_again(rebuilt: Scene) -> None:
    await rebuilt.redis.hset(rebuilt.line.places, ANNA, 60)
    await rebuilt.redis.hset(rebuilt.line.claimed, ANNA, "session")
    with pytest.raises(Spent):
        await rebuilt.present(ANNA, 60)
    assert await rebuilt.living() == set()


async def test_who_left_comes_back_with_the_receipt_as_by_joining(rebuilt: Scene) -> None:
    await rebuilt.present(ANNA, 60)
    await rebuilt.leave(ANNA)
    await rebuilt.present(ANNA, 60)
    assert await rebuilt.living() == {60}


async def test_while_draining_a_receipt_is_as_good_as_being_known(rebuilt: Scene) -> None:
    rebuilt.change(takes_new=False)
    assert await rebuilt.present(ANNA, 60)
    with pytest.raises(QueueClosed):
        await rebuilt.join(BORIS)


async def test_an_entry_of_a_drawn_line_comes_back_at_its_drawn_place(rebuilt: Scene) -> None:
    rebuilt.order = Draw(80, bytes(32))
    await rebuilt.redis.hset(rebuilt.line.draw, mapping={"n": 80, "ready": 1})
    first, last = rebuilt.order.seqs(1, 1)[0], rebuilt.order.seqs(80, 1)[0]
    passed, ahead = await rebuilt.present(ANNA, first), await rebuilt.present(BORIS, last)
    assert passed is not None
    assert ahead is not None
    assert (passed.standing, passed.place, ahead.standing, ahead.place) == (Standing.NEXT, 1, Standing.WAITING, 80)
    assert await rebuilt.redis.zscore(rebuilt.line.returning, ANNA) == 1


async def test_a_claim_with_a_receipt_that_is_not_known_yet_asks_to_join_with_it(rebuilt: Scene) -> None:
    with pytest.raises(StaleReceipt):
        await rebuilt.lines.claim(rebuilt.terms, None, ANNA, receipt_of(rebuilt.terms, ANNA, 60), "session")


@pytest.mark.parametrize(("later", "epoch", "buyer"), [(1, 2, ANNA), (0, 3, ANNA), (0, 2, DORA)])
async def test_a_receipt_of_another_place_or_a_coming_epoch_claims_nothing(
    rebuilt: Scene, later: int, epoch: int, buyer: str
) -> None:
    place = await rebuilt.join(ANNA)
    receipt = receipt_of(rebuilt.terms, ANNA, place.seq + later, epoch)
    with pytest.raises(StaleReceipt):
        await rebuilt.lines.claim(rebuilt.terms, None, BuyerId(buyer), receipt, "session")


async def test_a_receipt_of_an_earlier_epoch_claims_its_place(rebuilt: Scene) -> None:
    place = await rebuilt.present(ANNA, 60)
    assert place is not None
    await rebuilt.serve()
    receipt = receipt_of(rebuilt.terms, ANNA, 60, epoch=1)
    turn = await rebuilt.lines.claim(rebuilt.terms, None, ANNA, receipt, "session")
    assert (turn.standing, turn.epoch) == (Standing.ADMITTED, 2)


async def test_no_number_beyond_the_mark_is_given_out(rebuilt: Scene) -> None:
    await rebuilt.redis.hset(rebuilt.line.limits, "seq", 101)
    await rebuilt.join(ANNA)
    with pytest.raises(NumbersUsedUp):
        await rebuilt.join(BORIS)
    assert await rebuilt.redis.get(rebuilt.line.seq) == b"101"
    assert (await rebuilt.join(ANNA)).seq == 101
