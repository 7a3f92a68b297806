"""Sends the mails that wait. Any number of processes may do so at once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from tiketi_runtime.mail import Mail, MailNotTaken, MailServer, MailServerAway, MailSession
from tiketi_runtime.outages import is_outage
from tiketi_services.auth.letters import SUBJECT, verification_text
from tiketi_services.auth.repository import DueMail, Mails
from tiketi_services.auth.settings import AuthSettings
from tiketi_services.auth.tokens import VerificationTokens

MAILS = Counter("tiketi_auth_mails", "Tries to hand a mail over: taken, not-taken, given-up.", ["outcome"])
WAITING = Gauge("tiketi_auth_mails_waiting", "Mails that wait to be sent, as of the last look.")
OLDEST = Gauge("tiketi_auth_mails_oldest_seconds", "Age of the oldest mail that waits, as of the last look; 0: none.")
DELAY = Histogram(
    "tiketi_auth_mail_delay_seconds",
    "Time from asking for a mail until the mail server took it.",
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 14400, 86400),
)

_BATCH: Final = 20
"""Mails of one connection before it is known in PostgreSQL that they were sent: so many come twice after a crash."""
_PAUSES: Final = (1.0, 30.0)
"""Shortest and longest pause in seconds while the mail server is away."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Round:
    """One batch on its way."""

    todo: deque[DueMail]
    done: list[DueMail] = field(default_factory=list)
    refused: list[DueMail] = field(default_factory=list)


class Postman:
    """Takes due mails from PostgreSQL and hands them to the mail server.

    It connects first and takes then: while the server is away no mail is touched, and all leave when it is back. A
    mail is forgotten when the server has answered for it, so a crash may send it twice but never loses it.
    """

    def __init__(
        self, mails: Mails, server: MailServer, verifications: VerificationTokens, settings: AuthSettings
    ) -> None:
        self._mails = mails
        self._server = server
        self._verifications = verifications
        self._settings = settings

    async def run(self) -> None:
        """Send until cancelled; waits longer and longer while mail server or database is away."""
        pause, longest = _PAUSES
        while True:
            try:
                taken = await self.deliver()
            except Exception as error:
                if not (isinstance(error, MailServerAway) or is_outage(error)):
                    raise
                log.warning("mails wait", extra={"error": f"{type(error).__name__}: {error}"})
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - only so that pods do not meet
                pause = min(2 * pause, longest)
                continue
            pause = _PAUSES[0]
            if not taken:
                await asyncio.sleep(self._settings.mail_interval.total_seconds())

    async def deliver(self) -> int:
        """Send one batch; returns how many mails were tried. Raises MailServerAway."""
        waiting = await self._mails.waiting()
        WAITING.set(waiting.count)
        OLDEST.set((datetime.now(UTC) - waiting.oldest).total_seconds() if waiting.oldest else 0)
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
                MAILS.labels("taken").inc()
                DELAY.observe((datetime.now(UTC) - due.asked_at).total_seconds())

    def _judge(self, due: DueMail, error: MailNotTaken, batch: _Round) -> None:
        """Tried again after its pause, or given up. A "no" for good is not believed at once: servers that are set up
        wrongly say it to everybody.
        """
        is_over = datetime.now(UTC) - due.asked_at > self._settings.mail_patience
        MAILS.labels("given-up" if is_over else "not-taken").inc()
        extra = {"account": due.account, "attempts": due.attempts, "given_up": is_over, "error": error.detail}
        log.warning("mail not taken", extra=extra)
        (batch.done if is_over else batch.refused).append(due)

    def _mail(self, due: DueMail) -> Mail:
        now = datetime.now(UTC)
        token = self._verifications.seal(due.account, due.email, now)
        text = verification_text(self._settings.public_url, token, self._settings.verification_lifetime)
        return Mail(due.email, SUBJECT, text, f"{due.account}.{int(due.asked_at.timestamp() * 1000)}", now)
