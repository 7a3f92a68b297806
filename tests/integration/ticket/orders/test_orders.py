"""From hold to order: once, whatever is repeated or races."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import jwt
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
    messages_of,
)

from tiketi_runtime.contracts.identity import BuyerId, HoldId, SeatId
from tiketi_runtime.contracts.messages import OrderPlaced
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    AlreadyOrdered,
    HoldExpired,
    IdempotencyMismatch,
    OrderState,
    RequestInFlight,
    SectionWithdrawn,
)

SHORT = timedelta(milliseconds=60)


async def test_an_order_takes_its_price_from_the_sale_sheet_in_force_and_tells_payment(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, SeatId("B-01-01"), SeatId("ST-0001"))
    sections = (await stage.office.sales.sheet(EVENT)).sections
    dearer = tuple(section.model_copy(update={"price": section.price + 1}) for section in sections)
    await stage.change(sections=dearer)
    order = await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert (order.amount, order.currency) == (310_003, "KRW")
    assert order.time_to_pay <= timedelta(minutes=10)
    assert set((await stage.states()).values()) == {"PLACED"}
    [message] = await messages_of(stage, "order.placed")
    assert isinstance(message, OrderPlaced)
    assert (message.order, message.event, message.buyer, message.seats) == (order.id, EVENT, ANNA, order.seats)
    assert (message.amount, message.currency, message.pay_by) == (order.amount, order.currency, order.pay_by)
    assert message.order_name == "First Night × 3"


async def test_the_intent_says_the_same_as_the_order_and_ends_with_its_time_to_pay(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    intent = usecases.sign_intent(stage.office, order)
    assert jwt.get_unverified_header(intent)["typ"] == "payment-intent+jwt"
    claims = jwt.decode(intent, options={"verify_signature": False})
    assert claims["exp"] <= claims["payBy"] == order.pay_by.timestamp() <= claims["exp"] + 1
    assert [claims[name] for name in ("order", "event", "buyer", "amount", "currency", "orderName")] == [
        order.id,
        EVENT,
        ANNA,
        150_000,
        "KRW",
        "First Night",
    ]


async def test_the_same_key_and_hold_give_the_same_order_and_the_same_intent(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    results = await all_at_once(*(usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key") for _ in range(20)))
    orders = [result for result in results if not isinstance(result, RequestInFlight)]
    orders.append(await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key"))
    assert len(set(orders)) == 1
    await asyncio.sleep(1.1)  # were the intent signed by the clock, it would differ by now
    assert len({usecases.sign_intent(stage.office, order) for order in orders}) == 1
    assert len(await stage.messages("order.placed")) == 1


async def test_a_key_used_for_another_hold_is_refused(stage: Stage) -> None:
    first, second = await stage.hold(ANNA, FRONT), await stage.hold(ANNA, NEXT)
    await usecases.place_order(stage.office, EVENT, ANNA, first.id, "key")
    with pytest.raises(IdempotencyMismatch):
        await usecases.place_order(stage.office, EVENT, ANNA, second.id, "key")
    assert (await stage.states())[NEXT] == "HELD"


async def test_two_buyers_may_use_the_same_key(stage: Stage) -> None:
    for buyer, seat in ((ANNA, FRONT), (BORIS, NEXT)):
        hold = await stage.hold(buyer, seat)
        await usecases.place_order(stage.office, EVENT, buyer, hold.id, "key")
    assert set((await stage.states()).values()) == {"PLACED"}


async def test_a_hold_becomes_one_order_however_many_keys_ask_for_it(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    results = await all_at_once(
        *(usecases.place_order(stage.office, EVENT, ANNA, hold.id, f"key-{number}") for number in range(10))
    )
    assert kinds(results) == ["AlreadyOrdered"] * 9 + ["Order"]


async def test_an_expired_hold_cannot_be_ordered(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    hold = await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.08)
    with pytest.raises(HoldExpired):
        await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert await stage.messages("order.placed") == []


async def test_whoever_slept_past_the_hold_cannot_order_seats_that_are_anothers_by_now(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    late = await stage.hold(ANNA, FRONT, NEXT)
    await asyncio.sleep(0.08)
    await stage.change(hold_duration=timedelta(minutes=1))
    await stage.hold(BORIS, NEXT, THIRD)
    with pytest.raises(HoldExpired):
        await usecases.place_order(stage.office, EVENT, ANNA, late.id, "key")
    assert (await stage.states())[NEXT] == "HELD"


async def test_an_old_hold_cannot_order_seats_that_the_same_buyer_holds_anew(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    late = await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.08)
    await stage.change(hold_duration=timedelta(minutes=1))
    await stage.hold(ANNA, FRONT)
    with pytest.raises(HoldExpired):
        await usecases.place_order(stage.office, EVENT, ANNA, late.id, "key")


async def test_nobody_can_order_the_hold_of_another_or_one_that_never_was(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    for buyer, wanted in ((BORIS, hold.id), (ANNA, HoldId(str(uuid4())))):
        with pytest.raises(HoldExpired):
            await usecases.place_order(stage.office, EVENT, buyer, wanted, "key")


async def test_a_buyer_who_holds_may_order_though_the_sale_was_paused_meanwhile(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await stage.change(admission=Admission.PAUSED)
    order = await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert order.state is OrderState.OPEN


async def test_a_hold_that_became_an_order_is_not_released(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    with pytest.raises(AlreadyOrdered) as refusal:
        await usecases.release_hold(stage.office, EVENT, ANNA, order.hold)
    assert refusal.value.members == {"order": order.id}
    assert await stage.states() == {FRONT: "PLACED"}


async def test_release_and_order_of_one_hold_at_once_leave_one_of_them(stage: Stage) -> None:
    for number in range(10):
        hold = await stage.hold(BuyerId(f"buyer-{number}"), SeatId(f"A-03-{number + 1:02d}"))
        buyer = BuyerId(f"buyer-{number}")
        results = await all_at_once(
            usecases.place_order(stage.office, EVENT, buyer, hold.id, "key"),
            usecases.release_hold(stage.office, EVENT, buyer, hold.id),
        )
        assert kinds(results) in (["AlreadyOrdered", "Order"], ["HoldExpired", "NoneType"], ["NoneType", "Order"])


async def test_a_placed_seat_stays_taken_past_the_end_of_the_hold(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(seconds=1))
    await stage.place(ANNA, FRONT)
    await stage.redis.delete(stage.keys.seats)
    await asyncio.sleep(1.1)
    assert kinds(await all_at_once(stage.hold(BORIS, FRONT))) == ["SeatTaken"]
    assert await stage.paint(FRONT) is not None


async def test_an_order_of_a_section_that_left_the_sale_is_refused_and_the_hold_goes_on(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, SeatId("B-01-01"))
    sections = (await stage.office.sales.sheet(EVENT)).sections
    await stage.change(sections=tuple(section for section in sections if section.name != "B"))
    for key in ("key", "key", "other"):
        with pytest.raises(SectionWithdrawn):
            await usecases.place_order(stage.office, EVENT, ANNA, hold.id, key)
    assert await stage.states() == {FRONT: "HELD", "B-01-01": "HELD"}
    assert await messages_of(stage, "order.placed") == []
    await stage.change(sections=sections)
    order = await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert order.amount == 240_000
