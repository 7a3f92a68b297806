"""Messages from payment."""

from __future__ import annotations

from tiketi_runtime.contracts.messages import AnyMessage, PaymentSettled
from tiketi_runtime.rabbitmq import Broker
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.usecases import BoxOffice

QUEUE = "ticket.payments"
KEYS = ("payment.settled",)


async def consume(office: BoxOffice, broker: Broker) -> None:
    """Apply payment's messages until cancelled."""

    async def handle(message: AnyMessage) -> None:
        if isinstance(message, PaymentSettled):
            outcome = await usecases.read_outcome(office, message.outcome, message.order)
            await usecases.settle(office, outcome, message.id)

    await broker.consume(QUEUE, KEYS, handle)
