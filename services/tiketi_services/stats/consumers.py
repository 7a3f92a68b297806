"""Messages that stats hears."""

from __future__ import annotations

from functools import partial

from tiketi_runtime.rabbitmq import Broker
from tiketi_services.stats import usecases
from tiketi_services.stats.repository import Orders

QUEUE = "stats.sales"
KEYS = ("order.placed", "order.closed", "payment.settled", "payment.refused", "tickets.issued", "refund.requested")


async def consume(broker: Broker, orders: Orders) -> None:
    """Apply messages until cancelled."""
    await broker.consume(QUEUE, KEYS, partial(usecases.record, orders))
