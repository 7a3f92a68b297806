"""What messages of payment tell adaptive admission."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from tiketi_runtime.contracts.answer_times import Kind
from tiketi_runtime.contracts.identity import EventId, OrderId
from tiketi_runtime.contracts.messages import AnyMessage, PaymentRefused
from tiketi_services.ticket.orders import consumers
from tiketi_services.ticket.queue.pace.answers import Answer, Answers

EVENT = EventId("demo/show")


class Broker:
    """Hands out what it is asked to deliver to."""

    async def consume(self, _: str, keys: tuple[str, ...], handle: Callable[[AnyMessage], Awaitable[None]]) -> None:
        assert "payment.refused" in keys
        self.handle = handle


async def heard(**facts: Any) -> list[Answer]:
    answers, broker, office = Answers(), Broker(), object()
    await consumers.consume(office, answers, broker)  # type: ignore[arg-type]
    await broker.handle(PaymentRefused(order=OrderId("1"), event=EVENT, attempt="2", code="REJECT", **facts))
    return list(answers.take().get(EVENT, ()))


async def test_the_time_of_a_payment_is_heard() -> None:
    assert await heard(took_ms=700) == [Answer(Kind.CONFIRM, timedelta(milliseconds=700), is_fault=False)]


async def test_a_payment_whose_answer_was_lost_was_slow_and_a_fault() -> None:
    (answer,) = await heard(is_fault=True)
    assert answer.is_fault
    assert answer.took >= timedelta(seconds=30)


async def test_a_message_of_a_service_that_does_not_tell_it_counts_as_nothing() -> None:
    assert await heard() == []
