"""Messages in: money that payment has given back."""

from __future__ import annotations

from typing import Final

from tiketi_runtime.contracts.messages import AnyMessage, PaymentRefunded
from tiketi_runtime.rabbitmq import Broker
from tiketi_services.ticket.refunds import usecases
from tiketi_services.ticket.refunds.usecases import RefundDesk

QUEUE: Final = "ticket.refunds"
KEYS: Final = ("payment.refunded",)


async def consume(desk: RefundDesk, broker: Broker) -> None:
    """Apply payment's messages until cancelled."""

    async def handle(message: AnyMessage) -> None:
        if isinstance(message, PaymentRefunded):
            await usecases.finish(desk, message)

    await broker.consume(QUEUE, KEYS, handle)
