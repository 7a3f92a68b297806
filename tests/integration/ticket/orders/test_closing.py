"""From an order that was not paid back to free seats: only when payment says so."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    FRONT,
    NEXT,
    Stage,
    all_at_once,
    messages_of,
    sweeper,
)

from tiketi_runtime.contracts.identity import BuyerId, OrderId, SeatId
from tiketi_runtime.contracts.messages import OrderClosed
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    OrderEnded,
    OrderNotFound,
    OrderState,
)
from tiketi_services.ticket.orders.payment import Closing, PaymentAway

RETRY = timedelta(milliseconds=100)


async def test_an_order_past_its_time_is_closed_by_payment_and_its_seats_are_free(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(seconds=1))
    order = await stage.place(ANNA, FRONT, NEXT)
    await stage.change(hold_duration=timedelta(minutes=10))
    await sweeper(stage, RETRY).close_orders()
    assert stage.payment.asked == []
    await asyncio.sleep(1.1)
    stage.payment.answers[None] = {"status": "CLOSED"}
    await sweeper(stage, RETRY).close_orders()
    claims = jwt.decode(stage.payment.asked[0], options={"verify_signature": False})
    assert (claims["iss"], claims["order"]) == ("tiketi-ticket", order.id)
    assert jwt.get_unverified_header(stage.payment.asked[0])["typ"] == "order-close+jwt"
    [message] = await messages_of(stage, "order.closed")
    assert isinstance(message, OrderClosed)
    assert (message.order, message.seats) == (order.id, (FRONT, NEXT))
    await stage.hold(BORIS, FRONT, NEXT)


async def test_seats_stay_the_orders_while_payment_has_an_attempt_under_way(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await usecases.cancel_order(stage.office, order.id, ANNA)
    await sweeper(stage, RETRY).close_orders()
    await sweeper(stage, RETRY).close_orders()
    assert len(stage.payment.asked) == 1
    assert await stage.states() == {FRONT: "PLACED"}
    await asyncio.sleep(RETRY.total_seconds() + 0.02)
    stage.payment.answers[None] = {"status": "CLOSED"}
    await sweeper(stage, RETRY).close_orders()
    assert await stage.states() == {}


async def test_seats_stay_the_orders_while_payment_does_not_answer(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await usecases.cancel_order(stage.office, order.id, ANNA)
    stage.payment.is_open = False
    await sweeper(stage, RETRY).close_orders()
    with pytest.raises(PaymentAway):
        await usecases.close_order(stage.office, order.id)
    assert await stage.states() == {FRONT: "PLACED"}


async def test_an_order_that_turns_out_to_be_paid_is_settled_by_the_answer(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    stage.payment.answers[None] = {"status": "PAID", "outcome": stage.outcome(order)}
    assert await usecases.close_order(stage.office, order.id) is Closing.PAID
    assert await stage.states() == {FRONT: "SOLD"}


async def test_a_settlement_that_overtakes_the_closing_wins(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    stage.payment.answers[None] = {"status": "CLOSED"}
    stage.payment.before_answer = stage.settle(order)
    await usecases.close_order(stage.office, order.id)
    assert await stage.states() == {FRONT: "SOLD"}
    assert await stage.messages("order.closed") == []


async def test_closing_and_settling_at_once_leave_the_order_in_one_of_the_two_states(stage: Stage) -> None:
    stage.payment.answers[None] = {"status": "CLOSED"}
    for number in range(10):
        order = await stage.place(BuyerId(f"buyer-{number}"), SeatId(f"A-04-{number + 1:02d}"))
        await all_at_once(usecases.close_order(stage.office, order.id), stage.settle(order))
        ended = await stage.office.book.find(order.id)
        assert ended is not None
        assert ended.state in (OrderState.PAID, OrderState.CLOSED)


async def test_only_the_buyer_can_cancel_and_only_what_is_open(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    with pytest.raises(OrderNotFound):
        await usecases.cancel_order(stage.office, order.id, BORIS)
    assert (await usecases.cancel_order(stage.office, order.id, ANNA)).cancel_requested_at is not None
    await stage.settle(order)
    with pytest.raises(OrderEnded):
        await usecases.cancel_order(stage.office, order.id, ANNA)
    with pytest.raises(OrderNotFound):
        await usecases.cancel_order(stage.office, OrderId(str(uuid4())), ANNA)
