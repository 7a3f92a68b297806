"""A broker on its way down accepts a connection and ends it before its first word."""

from __future__ import annotations

import aio_pika
import pytest

from tiketi_runtime.rabbitmq import Broker, BrokerUnavailable


async def test_a_broker_that_ends_a_connection_before_its_first_word_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: object, **__: object) -> None:
        raise StopAsyncIteration  # what the client says then

    monkeypatch.setattr(aio_pika, "connect", connect)
    async with Broker("amqp://ticket:word@127.0.0.1:9/tiketi", "ticket") as broker:
        with pytest.raises(BrokerUnavailable):
            await broker.publish(b"{}", "order.placed", "1")
