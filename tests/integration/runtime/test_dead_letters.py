"""Dead letters at a terminal: listed, replayed to the one queue they came from, given up."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from tests.integration.runtime.messages import Inbox, consuming, placed, send, until

from tiketi_runtime import dead_letters
from tiketi_runtime.contracts.messages import OrderPlaced
from tiketi_runtime.errors import Conflict
from tiketi_runtime.outbox import KEEP_APPLIED
from tiketi_runtime.rabbitmq import Broker, graveyard
from tiketi_services.payment import commands as payment_commands
from tiketi_services.stats import commands as stats_commands


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with Broker(amqp_url, "test") as broker:
        yield broker


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        yield channel


@pytest.fixture
async def queue(channel: AbstractChannel) -> AsyncIterator[str]:
    """Name of a queue that only this test uses."""
    name = f"test.{uuid4().hex}"
    yield name
    for leftover in (name, graveyard(name)):
        await channel.queue_delete(leftover)


async def letters(channel: AbstractChannel, queue: str) -> int:
    return (await channel.declare_queue(graveyard(queue), passive=True)).declaration_result.message_count or 0


async def bury(broker: Broker, channel: AbstractChannel, queue: str, *messages: OrderPlaced) -> None:
    async with consuming(broker, channel, queue, Inbox(*[Conflict("the order differs")] * len(messages))):
        for message in messages:
            await send(broker, message)

        async def all_are_dead() -> bool:
            return await letters(channel, queue) == len(messages)

        await until(all_are_dead)


async def command(amqp_url: str, queue: str, *words: str) -> int:
    arguments = dead_letters.parse("tiketi-test", ["replay", *words])
    return await dead_letters.run(arguments, amqp_url, "test", [queue, "test.never-consumed"])


async def test_dead_letters_are_listed_and_stay(
    broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = placed("a")
    await bury(broker, channel, queue, message)
    for _ in range(25):  # more looks than RabbitMQ 4 allows by itself
        assert await command(amqp_url, queue) == 0
    heading, line = capsys.readouterr().out.splitlines()[-2:]
    assert heading.split()[:4] == ["ID", "QUEUE", "MESSAGE", "ORDER"]
    assert line.split()[:4] == [str(message.id), queue, "order.placed", "a"]
    assert line.endswith("1      0        conflict: the order differs")
    assert await letters(channel, queue) == 1


async def test_no_dead_letters_are_said_to_be_none(
    broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command(amqp_url, queue) == 0
    assert capsys.readouterr().out == "no dead letters\n"


async def test_one_letter_is_replayed_to_its_own_queue_only(
    broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str
) -> None:
    one, other = placed("one"), placed("other")
    await bury(broker, channel, queue, one, other)
    bystander = await channel.declare_queue(exclusive=True)
    await bystander.bind("tiketi", routing_key="order.placed")
    inbox = Inbox()
    async with consuming(broker, channel, queue, inbox):
        assert await command(amqp_url, queue, str(one.id)) == 0
        assert await inbox.next() == "one"
    assert await letters(channel, queue) == 1
    assert await bystander.get(fail=False) is None


async def test_all_letters_are_replayed(broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str) -> None:
    messages = [placed(str(number)) for number in range(40)]
    await bury(broker, channel, queue, *messages)
    inbox = Inbox()
    async with consuming(broker, channel, queue, inbox):
        assert await command(amqp_url, queue, "--all") == 0
        assert sorted([await inbox.next() for _ in messages]) == sorted(message.order for message in messages)
    assert await letters(channel, queue) == 0


async def test_a_letter_that_dies_again_says_how_often_it_was_replayed(
    broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await bury(broker, channel, queue, placed("a"))
    inbox = Inbox(Conflict("still"))
    async with consuming(broker, channel, queue, inbox):
        assert await command(amqp_url, queue, "--all") == 0
        await asyncio.wait_for(inbox.first.wait(), 10)

        async def is_dead() -> bool:
            return await letters(channel, queue) == 1

        await until(is_dead)
    await command(amqp_url, queue)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split()[2:4] == ["order.placed", "a"]
    assert line.endswith("1      1        conflict: still")


async def test_a_letter_is_dropped_with_a_reason_in_the_log(
    broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    message = placed("a")
    await bury(broker, channel, queue, message)
    with caplog.at_level(logging.WARNING):
        assert await command(amqp_url, queue, "--drop", str(message.id), "--reason", "a test order") == 0
    (record,) = [record for record in caplog.records if record.message == "dead letter dropped"]
    facts = vars(record)
    assert (facts["message_id"], facts["order"], facts["why"]) == (str(message.id), "a", "a test order")
    assert facts["actor"]
    assert await letters(channel, queue) == 0


async def test_a_letter_older_than_the_inbox_is_not_replayed(
    broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old = datetime.now(UTC) - KEEP_APPLIED - timedelta(hours=1)
    await bury(broker, channel, queue, placed("a").model_copy(update={"at": old}))
    assert await command(amqp_url, queue, "--all") == 1
    assert "it may have been applied" in capsys.readouterr().err
    assert await letters(channel, queue) == 1


@pytest.mark.parametrize(
    "words",
    [("nobody",), ("--drop", "x"), ("--reason", "x"), ("--drop", "nobody", "--reason", "x"), ("--all", "--drop", "a")],
)
async def test_what_cannot_be_done_is_said(
    amqp_url: str, queue: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert await command(amqp_url, queue, *words) in (1, 2)
    assert capsys.readouterr().err.startswith("tiketi-test: ")


async def test_a_broker_that_is_away_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert await command("amqp://guest:guest@127.0.0.1:1/", "q") == 2
    assert "the broker does not answer" in capsys.readouterr().err


async def test_a_letter_of_a_stranger_is_shown_as_far_as_it_can_be_read(
    broker: Broker, channel: AbstractChannel, queue: str, amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with consuming(broker, channel, queue, Inbox()):
        pass
    await channel.default_exchange.publish(aio_pika.Message(b'["\x1b'), routing_key=graveyard(queue))

    async def lies() -> bool:
        return await letters(channel, queue) == 1

    await until(lies)
    assert await command(amqp_url, queue) == 0
    assert capsys.readouterr().out.rstrip().endswith("unknown")


@pytest.mark.parametrize(
    "parse", [payment_commands.parse, stats_commands.parse, partial(dead_letters.parse, "tiketi-ticket")]
)
def test_every_consuming_service_has_the_command(parse: Callable[[Sequence[str]], argparse.Namespace]) -> None:
    arguments = parse(["replay", "--drop", "x", "--reason", "y"])
    assert (arguments.command, arguments.drop, arguments.reason) == (dead_letters.COMMAND, "x", "y")
    assert parse([]).command is None
