"""Orders are learnt by message and by intent alike; what was decided leaves through the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import asyncpg
import pytest
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.shop import LOST_ANSWER_CARD, REFUSED_CARD, Placed, Shop, placed, until
from tests.integration.serving import serve_app

from tiketi_runtime.contracts.messages import (
    AnyMessage,
    OrderPlaced,
    PaymentRefused,
    PaymentSettled,
    encode_message,
    parse_message,
)
from tiketi_runtime.rabbitmq import Broker, NobodyListens
from tiketi_services.payment.app import build_app


class Tap:
    """Everything payment sends, as another service would receive it."""

    def __init__(self) -> None:
        self.heard: list[AnyMessage] = []

    async def hear(self, message: AnyMessage) -> None:
        self.heard.append(message)

    def of(self, order: Placed) -> list[AnyMessage]:
        return [message for message in self.heard if message.order == order.order]


@pytest.fixture(scope="module")
async def tap(amqp_url: str, shop: Shop) -> AsyncIterator[Tap]:
    tap = Tap()
    async with Broker(amqp_url, "test") as broker:
        listening = asyncio.create_task(broker.consume("test.tap", ["payment.*"], tap.hear))
        yield tap
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture(scope="module")
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with Broker(amqp_url, "test") as broker:
        yield broker


def _message(order: Placed) -> OrderPlaced:
    return OrderPlaced.model_validate(
        {
            "order": order.order,
            "event": order.event,
            "buyer": order.buyer,
            "seats": ["VIP-01-01"],
            "amount": order.amount,
            "currency": order.currency,
            "payBy": order.pay_by,
            "orderName": order.order_name,
        }
    )


async def _send(broker: Broker, message: OrderPlaced) -> None:
    """Publish, once payment has bound its queue."""

    async def is_taken() -> bool:
        try:
            await broker.publish(encode_message(message), message.key, str(message.id))
        except NobodyListens:
            return False
        return True

    await until(is_taken)


async def _is_known(shop: Shop, order: Placed) -> bool:
    return (await shop.state(order)).status == 200


async def test_an_order_is_known_by_its_message(shop: Shop, broker: Broker) -> None:
    order = placed()
    await _send(broker, _message(order))
    await until(lambda: _is_known(shop, order))
    assert (await shop.confirm(order, await shop.authenticated(order))).status == 200


async def test_a_message_delivered_twice_and_after_the_intent_changes_nothing(
    shop: Shop, broker: Broker, rows: asyncpg.Pool
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    message = _message(order)
    await _send(broker, message)
    await _send(broker, message)

    async def is_applied() -> bool:
        return await rows.fetchval("SELECT 1 FROM inbox WHERE id = $1", message.id) is not None

    await until(is_applied)
    assert (await shop.confirm(order, redirect)).status == 200


async def test_a_message_that_contradicts_the_intent_goes_to_the_dead_letters(
    shop: Shop, broker: Broker, amqp_url: str
) -> None:
    order = placed(amount=1000)
    assert (await shop.attempt(order)).status == 201
    await _send(broker, _message(order.but(amount=2000)))
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        grave = await channel.get_queue("payment.orders.dead")

        async def has_a_letter() -> bool:
            letter = await grave.get(fail=False)
            if letter is None:
                return False
            await letter.ack()
            return parse_message(letter.body).order == order.order

        await until(has_a_letter)
    assert (await shop.state(order)).body["amount"] == 1000


async def test_an_intent_that_contradicts_the_message_is_refused(shop: Shop, broker: Broker) -> None:
    order = placed(amount=1000)
    await _send(broker, _message(order))
    await until(lambda: _is_known(shop, order))
    answer = await shop.attempt(order.but(amount=999))
    assert (answer.status, answer.code) == (409, "order-differs")


async def test_a_message_about_an_order_closed_before_it_leaves_it_closed(shop: Shop, broker: Broker) -> None:
    order = placed()
    assert await shop.close(order) == "CLOSED"
    await _send(broker, _message(order))
    await until(lambda: _is_known(shop, order))
    assert (await shop.state(order)).body["state"] == "CLOSED"


async def test_settled_and_refused_are_told_once_each(shop: Shop, tap: Tap) -> None:
    order = placed()
    await shop.confirm(order, await shop.authenticated(order, REFUSED_CARD))
    redirect = await shop.authenticated(order)
    outcome = (await shop.confirm(order, redirect)).body["outcome"]
    await asyncio.gather(*(shop.confirm(order, redirect) for _ in range(5)))

    async def both_arrived() -> bool:
        return len(tap.of(order)) >= 2

    await until(both_arrived)
    refused, settled = sorted(tap.of(order), key=lambda message: message.key)
    assert isinstance(refused, PaymentRefused)
    assert refused.code == "REJECT_CARD_PAYMENT"
    assert isinstance(settled, PaymentSettled)
    assert (settled.outcome, settled.amount, settled.payment_key) == (outcome, order.amount, redirect["paymentKey"])
    for message in (refused, settled):
        assert message.took_ms is not None
        assert not message.is_fault


async def test_a_payment_whose_answer_was_lost_is_told_as_a_fault(shop: Shop, tap: Tap) -> None:
    order = placed()
    await shop.confirm(order, await shop.authenticated(order, LOST_ANSWER_CARD))

    async def arrived() -> bool:
        return bool(tap.of(order))

    await until(arrived)
    (settled,) = tap.of(order)
    assert isinstance(settled, PaymentSettled)
    assert (settled.took_ms, settled.is_fault) == (None, True)


async def test_payments_go_on_without_a_broker(shop: Shop, settings: MakeSettings) -> None:
    order = placed()
    async with serve_app(build_app(settings(amqp_url="amqp://guest:guest@127.0.0.1:9/"))) as cut_off:
        alone = shop.at(cut_off)
        assert (await alone.confirm(order, await alone.authenticated(order))).status == 200
