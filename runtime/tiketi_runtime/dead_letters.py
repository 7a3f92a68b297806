"""Dead letters at a terminal: list them, send them to their queue once more, or give them up.

A letter stays where it is until the broker has confirmed what became of it. So one may be replayed twice when the
command is killed: its message is applied once, by its inbox key.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from tiketi_runtime.outbox import KEEP_APPLIED
from tiketi_runtime.rabbitmq import AWAY, Broker, BrokerUnavailable, Header, graveyard

COMMAND: Final = "replay"
_CONNECT_SECONDS = 5.0
_MOST = 10_000
_BROKERS_WORDS: Final = {"delivery_limit": "delivered too often", "rejected": "rejected"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that could not be applied, and why."""

    id: str
    queue: str
    key: str
    order: str
    sent_at: datetime | None
    died_at: str
    tries: str
    replays: int
    reason: str
    message: AbstractIncomingMessage

    @classmethod
    def read(cls, queue: str, message: AbstractIncomingMessage) -> Letter:
        """Whatever can be said about it; the body may be anything."""
        headers, body = message.headers, _body(message)
        detail, replays = headers.get(Header.DETAIL), headers.get(Header.REPLAYS)
        reason = _text(headers.get(Header.REASON)) or _brokers_reason(headers)
        return cls(
            id=message.message_id or hashlib.sha256(message.body).hexdigest()[:16],
            queue=queue,
            key=_text(headers.get(Header.KEY)) or _text(body.get("key")) or "-",
            order=_text(body.get("order")) or "-",
            sent_at=_instant(body.get("at")),
            died_at=_text(headers.get(Header.DIED_AT)) or "-",
            tries=_text(headers.get(Header.TRIES)) or "-",
            replays=replays if isinstance(replays, int) else 0,
            reason=f"{reason}: {_text(detail)}" if detail else reason,
            message=message,
        )

    @property
    def is_too_old(self) -> bool:
        """Whether it can no longer be told if the message was applied before."""
        return self.sent_at is not None and datetime.now(UTC) - self.sent_at > KEEP_APPLIED


class Graveyard:
    """The dead letters of some queues, for as long as this process holds them."""

    def __init__(self, broker: Broker, letters: Sequence[Letter]) -> None:
        self._broker = broker
        self.letters = letters

    async def replay(self, letter: Letter) -> None:
        """Send it to its queue once more. Raises BrokerUnavailable."""
        message = letter.message
        await self._broker.replay(letter.queue, letter.key, message.body, message.message_id, letter.replays + 1)
        await message.ack()
        log.warning("dead letter replayed", extra=_facts(letter))

    async def drop(self, letter: Letter, reason: str) -> None:
        """Give it up for ever."""
        digest = hashlib.sha256(letter.message.body).hexdigest()
        log.warning("dead letter dropped", extra={**_facts(letter), "why": reason, "sha256": digest})
        await letter.message.ack()


@asynccontextmanager
async def open_graveyard(amqp_url: str, service: str, queues: Sequence[str]) -> AsyncIterator[Graveyard]:
    """All dead letters of these queues; those still there at the end stay. Raises BrokerUnavailable."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Broker(amqp_url, service))
        try:
            connection = await stack.enter_async_context(await aio_pika.connect(amqp_url, timeout=_CONNECT_SECONDS))
            letters = [letter for queue in queues for letter in await _take(stack, connection, queue)]
        except AWAY as error:
            raise BrokerUnavailable(f"the broker does not answer: {error or type(error).__name__}") from error
        yield Graveyard(broker, letters)


async def _take(stack: AsyncExitStack, connection: aio_pika.abc.AbstractConnection, queue: str) -> list[Letter]:
    letters: list[Letter] = []
    channel = await connection.channel()
    stack.push_async_callback(channel.close)
    with contextlib.suppress(ChannelNotFoundEntity):  # nobody has ever consumed it
        grave = await channel.declare_queue(graveyard(queue), passive=True)
        while len(letters) < _MOST and (message := await grave.get(fail=False)) is not None:
            letters.append(Letter.read(queue, message))
    return letters


def add_command(commands: Any) -> None:
    """The command ``replay`` among others of a service's command line."""
    command = commands.add_parser(COMMAND, help="list dead letters; replay or drop them")
    command.add_argument("ids", metavar="ID", nargs="*", help="replay these; without any, and without --all: list")
    command.add_argument("--all", action="store_true", help="replay all")
    command.add_argument("--drop", metavar="ID", help="give one up for ever")
    command.add_argument("--reason", metavar="TEXT", help="why it is dropped, for the log")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(prog: str, argv: Sequence[str]) -> argparse.Namespace:
    """The command line of a service that has no other commands; ``command`` is None to serve."""
    parser = _Parser(prog=prog, description="Serve (without a command), or look after dead letters.")
    add_command(parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser))
    return parser.parse_args(argv)


async def run(arguments: argparse.Namespace, amqp_url: str, service: str, queues: Sequence[str]) -> int:
    """Do it and say so. Returns the exit code: 0, 1 if something was left undone, 2 if it could not be done."""
    if (arguments.drop is None) is not (arguments.reason is None) or (arguments.drop and _wants_replay(arguments)):
        return _fail(service, "--drop ID and --reason TEXT go together, and with nothing else")
    try:
        async with open_graveyard(amqp_url, service, queues) as graveyard:
            if arguments.drop is not None:
                return await _drop(graveyard, service, arguments.drop, arguments.reason)
            if _wants_replay(arguments):
                return await _replay(graveyard, service, None if arguments.all else arguments.ids)
            _say(table(graveyard.letters))
            return 0
    except BrokerUnavailable as error:
        return _fail(service, error.detail)


def table(letters: Sequence[Letter]) -> str:
    """One line for each letter, under a heading."""
    rows = [("ID", "QUEUE", "MESSAGE", "ORDER", "DIED AT", "TRIES", "REPLAYS", "REASON")]
    rows += [
        (each.id, each.queue, each.key, each.order, each.died_at, each.tries, str(each.replays), each.reason)
        for each in letters
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) if letters else "no dead letters"


async def _replay(graveyard: Graveyard, service: str, ids: Sequence[str] | None) -> int:
    wanted = [letter for letter in graveyard.letters if ids is None or letter.id in ids]
    left = sorted(set(ids or ()) - {letter.id for letter in wanted})
    for unknown in left:
        _fail(service, f"no dead letter {unknown}")
    for letter in wanted:
        if letter.is_too_old:
            left.append(letter.id)
            _fail(service, f"{letter.id} is older than {KEEP_APPLIED.days} days: it may have been applied; drop it")
            continue
        await graveyard.replay(letter)
        _say(f"{letter.id} {letter.key} -> {letter.queue}")
    return 1 if left else 0


async def _drop(graveyard: Graveyard, service: str, wanted: str, reason: str) -> int:
    letters = [letter for letter in graveyard.letters if letter.id == wanted]
    for letter in letters:
        await graveyard.drop(letter, reason)
        _say(f"{letter.id} {letter.key} dropped")
    return 0 if letters else _fail(service, f"no dead letter {wanted}")


def _wants_replay(arguments: argparse.Namespace) -> bool:
    return bool(arguments.all or arguments.ids)


def _facts(letter: Letter) -> dict[str, str]:
    """For the audit log: who did what to which message, never whose it is."""
    actor = os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"
    return {
        "message_id": letter.id,
        "queue": letter.queue,
        "key": letter.key,
        "order": letter.order,
        "reason": letter.reason,
        "actor": actor,
    }


def _body(message: AbstractIncomingMessage) -> dict[str, Any]:
    try:
        body = json.loads(message.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(value: object) -> str:
    """As one word or one line; the letter may be anybody's."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo else None


def _brokers_reason(headers: Any) -> str:
    """What the broker says when it has buried the message itself."""
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else {}
    return _BROKERS_WORDS.get(str(first.get("reason")), "unknown") if isinstance(first, dict) else "unknown"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _fail(service: str, line: str) -> int:
    sys.stderr.write(f"tiketi-{service}: {line}\n")
    return 2
