"""Messages in: the orders that ticket has placed, and what it wants back of them."""

from __future__ import annotations

from functools import partial

from tiketi_runtime.contracts.messages import AnyMessage, OrderPlaced, RefundRequested
from tiketi_runtime.rabbitmq import Broker
from tiketi_services.payment.domain import Order
from tiketi_services.payment.refunds_book import RefundsBook
from tiketi_services.payment.repository import Payments

QUEUE = "payment.orders"
KEYS = ("order.placed", "refund.requested")


async def consume(broker: Broker, payments: Payments, refunds: RefundsBook) -> None:
    """Learn of orders and refunds until cancelled."""
    await broker.consume(QUEUE, KEYS, partial(on_message, payments, refunds))


async def on_message(payments: Payments, refunds: RefundsBook, message: AnyMessage) -> None:
    """Learn of one. Raises OrderDiffers or RefundNotOwed, which send the message to the dead letters."""
    if isinstance(message, OrderPlaced):
        await payments.learn_by(message, Order.placed(message))
    elif isinstance(message, RefundRequested):
        await refunds.learn_by(message)
