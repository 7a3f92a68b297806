"""Sends the mails that wait. Any number of processes may do so at once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Protocol

from prometheus_client import Counter, Gauge, Histogram
from pydantic import Field, TypeAdapter

from tiketi_runtime.mail import Mail, MailNotTaken, MailServer, MailServerAway, MailSession
from tiketi_runtime.outages import is_outage
from tiketi_services.auth.letters import Letter, Occasion, letter_about, verification
from tiketi_services.auth.repository import DueMail, Mails
from tiketi_services.auth.settings import AuthSettings
from tiketi_services.auth.tokens import VerificationTokens

MAILS = Counter(
    "tiketi_auth_mails",
    "Tries to hand a mail over: taken, not-taken, given-up; kinds: verification, letter.",
    ["kind", "outcome"],
)
WAITING = Gauge("tiketi_auth_mails_waiting", "Mails that wait to be sent, as of the last look.", ["kind"])
OLDEST = Gauge(
    "tiketi_auth_mails_oldest_seconds", "Age of the oldest mail that waits, as of the last look; 0: none.", ["kind"]
)
DELAY = Histogram(
    "tiketi_auth_mail_delay_seconds",
    "Time from asking for a mail until the mail server took it.",
    ["kind"],
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 14400, 86400),
)

_BATCH: Final = 20
"""Mails of one connection before it is known in PostgreSQL that they were sent: so many come twice after a crash."""
_PAUSES: Final = (1.0, 30.0)
"""Shortest and longest pause in seconds while the mail server is away."""
_OCCASION: Final[TypeAdapter[Occasion]] = TypeAdapter(Annotated[Occasion, Field(discriminator="key")])

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Round:
    """One batch on its way."""

    todo: deque[DueMail]
    done: list[DueMail] = field(default_factory=list)
    refused: list[DueMail] = field(default_factory=list)


class Writer(Protocol):
    """Knows what the mails of one kind say."""

    @property
    def kind(self) -> str:
        """As metrics and logs call it."""

    def write(self, due: DueMail, now: datetime) -> Letter:
        """The letter. Raises ValueError or ArithmeticError if there can be none."""


@dataclass(frozen=True, slots=True)
class VerificationWriter:
    """Mails that ask to verify an address. Each has a token of its own, made when it is sent."""

    verifications: VerificationTokens
    public_url: str
    lifetime: timedelta
    kind: str = "verification"

    def write(self, due: DueMail, now: datetime) -> Letter:
        """The mail to the owner of an address."""
        return verification(self.public_url, self.verifications.seal(due.account, due.email, now), self.lifetime)


@dataclass(frozen=True, slots=True)
class LetterWriter:
    """Letters about orders, refunds and cancelled events."""

    kind: str = "letter"

    def write(self, due: DueMail, now: datetime) -> Letter:
        """The letter to a buyer."""
        return letter_about(_OCCASION.validate_python(due.message))


class Postman:
    """Takes due mails from PostgreSQL and hands them to the mail server.

    It connects first and takes then: while the server is away no mail is touched, and all leave when it is back. A
    mail is forgotten when the server has answered for it, so a crash may send it twice but never loses it.
    """

    def __init__(
        self, mails: Mails, server: MailServer, writer: Writer, settings: AuthSettings, rate: float | None = None
    ) -> None:
        """``rate``: most mails a second, on average; None: as many as the server takes."""
        self._mails = mails
        self._server = server
        self._writer = writer
        self._settings = settings
        self._rate = rate

    async def run(self) -> None:
        """Send until cancelled; waits longer and longer while mail server or database is away."""
        pause, longest = _PAUSES
        while True:
            try:
                taken = await self.deliver()
            except Exception as error:
                if not (isinstance(error, MailServerAway) or is_outage(error)):
                    raise
                log.warning(
                    "mails wait", extra={"kind": self._writer.kind, "error": f"{type(error).__name__}: {error}"}
                )
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - only so that pods do not meet
                pause = min(2 * pause, longest)
                continue
            pause = _PAUSES[0]
            if not taken:
                await asyncio.sleep(self._settings.mail_interval.total_seconds())
            elif self._rate is not None:
                await asyncio.sleep(taken / self._rate)

    async def deliver(self) -> int:
        """Send one batch; returns how many mails were tried. Raises MailServerAway."""
        waiting = await self._mails.waiting()
        WAITING.labels(self._writer.kind).set(waiting.count)
        oldest = (datetime.now(UTC) - waiting.oldest).total_seconds() if waiting.oldest else 0
        OLDEST.labels(self._writer.kind).set(oldest)
        if not waiting.due:
            return 0
        async with AsyncExitStack() as stack:
            connections = min(waiting.due, self._settings.mail_connections)
            sessions = [await stack.enter_async_context(self._server.session()) for _ in range(connections)]
            mails = await self._mails.take(_BATCH * connections)
            await self._send(_Round(deque(mails)), sessions)
        return len(mails)

    async def _send(self, batch: _Round, sessions: list[MailSession]) -> None:
        """Hand over what can be; whatever happens, PostgreSQL then knows what was."""
        try:
            outcomes = await asyncio.gather(
                *(self._hand_over(batch, session) for session in sessions), return_exceptions=True
            )
        finally:
            if batch.done:
                await self._mails.done(batch.done)
            if batch.refused:
                await self._mails.postpone(batch.refused)
            if batch.todo:
                await self._mails.put_back(batch.todo)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _hand_over(self, batch: _Round, session: MailSession) -> None:
        """Send mails of the batch until none is left. Raises MailServerAway."""
        while batch.todo:
            due = batch.todo.popleft()
            try:
                await session.send(self._mail(due))
            except MailServerAway:
                batch.todo.append(due)
                raise
            except MailNotTaken as error:
                self._judge(due, error, batch)
            else:
                batch.done.append(due)
                MAILS.labels(self._writer.kind, "taken").inc()
                DELAY.labels(self._writer.kind).observe((datetime.now(UTC) - due.asked_at).total_seconds())

    def _judge(self, due: DueMail, error: MailNotTaken, batch: _Round) -> None:
        """Tried again after its pause, or given up. A "no" for good is not believed at once: servers that are set up
        wrongly say it to everybody.
        """
        is_over = datetime.now(UTC) - due.asked_at > self._settings.mail_patience
        MAILS.labels(self._writer.kind, "given-up" if is_over else "not-taken").inc()
        mail = {"kind": self._writer.kind, "mail": str(due.id), "account": due.account, "attempts": due.attempts}
        log.warning("mail not taken", extra={**mail, "given_up": is_over, "error": error.detail})
        (batch.done if is_over else batch.refused).append(due)

    def _mail(self, due: DueMail) -> Mail:
        """Raises MailNotTaken if it cannot be written: that, too, holds up no other."""
        now = datetime.now(UTC)
        try:
            letter = self._writer.write(due, now)
        except (ValueError, ArithmeticError) as error:
            raise MailNotTaken(f"The mail cannot be written: {type(error).__name__}.") from error
        return Mail(due.email, letter.subject, letter.text, f"{due.id}.{int(due.asked_at.timestamp() * 1000)}", now)
