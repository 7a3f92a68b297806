"""Messages in: the orders that ticket has placed."""

from __future__ import annotations

from functools import partial

from tiketi_runtime.contracts.messages import AnyMessage, OrderPlaced
from tiketi_runtime.rabbitmq import Broker
from tiketi_services.payment.domain import Order
from tiketi_services.payment.repository import Payments

QUEUE = "payment.orders"
KEYS = ("order.placed",)


async def consume(broker: Broker, payments: Payments) -> None:
    """Learn of orders until cancelled."""
    await broker.consume(QUEUE, KEYS, partial(on_message, payments))


async def on_message(payments: Payments, message: AnyMessage) -> None:
    """Learn of an order. Raises OrderDiffers, which sends the message to the dead letters."""
    if isinstance(message, OrderPlaced):
        await payments.learn_by(message, Order.placed(message))
