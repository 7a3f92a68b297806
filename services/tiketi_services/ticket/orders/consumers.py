"""Messages from payment."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tiketi_runtime.contracts.answer_times import Kind
from tiketi_runtime.contracts.messages import AnyMessage, PaymentRefused, PaymentSettled
from tiketi_runtime.rabbitmq import Broker
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.usecases import BoxOffice
from tiketi_services.ticket.queue.pace.answers import Answer, Answers

QUEUE = "ticket.payments"
KEYS = ("payment.settled", "payment.refused")
_LOST: Final = timedelta(minutes=1)
"""What counts as the time of a payment whose answer had to be found out: longer than anybody waits."""


async def consume(office: BoxOffice, answers: Answers, broker: Broker) -> None:
    """Apply payment's messages until cancelled."""

    async def handle(message: AnyMessage) -> None:
        if isinstance(message, PaymentSettled):
            outcome = await usecases.read_outcome(office, message.outcome, message.order)
            await usecases.settle(office, outcome, message.id)
        if isinstance(message, PaymentSettled | PaymentRefused):
            _note(answers, message)

    await broker.consume(QUEUE, KEYS, handle)


def _note(answers: Answers, message: PaymentSettled | PaymentRefused) -> None:
    """How long the buyer waited for the vendor.

    Noted after the message was applied: one that is put back again and again does not count again and again. One that
    is delivered twice counts twice, among hundreds.
    """
    took = _LOST if message.took_ms is None else timedelta(milliseconds=message.took_ms)
    if message.took_ms is not None or message.is_fault:
        answers.add(message.event, Answer(Kind.CONFIRM, took, message.is_fault))
