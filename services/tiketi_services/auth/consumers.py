"""Messages in: what buyers are to hear by mail. Only auth knows their addresses."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from prometheus_client import Counter

from tiketi_runtime.contracts.messages import AnyMessage, EventCancelled, RefundDone, TicketsIssued
from tiketi_runtime.rabbitmq import Broker
from tiketi_services.auth.repository import LetterBook

QUEUE: Final = "auth.letters"
KEYS: Final = ("tickets.issued", "refund.done", "event.cancelled")

LETTERS = Counter(
    "tiketi_auth_letters",
    "Messages that ask for a letter: waiting (it will be sent), nobody (no account any more, or not verified).",
    ["key", "result"],
)

log = logging.getLogger(__name__)


async def consume(broker: Broker, letters: LetterBook) -> None:
    """Write down letters until cancelled. None is sent here: a mail server that is away holds up no message."""
    await broker.consume(QUEUE, KEYS, partial(on_message, letters))


async def on_message(letters: LetterBook, message: AnyMessage) -> None:
    """Have a letter sent about one message, once."""
    if not isinstance(message, TicketsIssued | RefundDone | EventCancelled):
        return
    is_waiting = await letters.add(message)
    if is_waiting is None:
        return
    LETTERS.labels(message.key, "waiting" if is_waiting else "nobody").inc()
    if not is_waiting:
        log.info("nobody to write to", extra={"account": message.buyer, "order": message.order, "key": message.key})
