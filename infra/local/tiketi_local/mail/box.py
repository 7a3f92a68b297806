"""The mails that were caught, newest at the end."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage

MOST_KEPT = 20_000
"""Mails kept, each of 3 KiB; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """One mail, as its recipient would read it."""

    id: int
    """Grows by one with each mail caught."""
    to: str
    """The recipient that was named to the server (RFC 5321), not what the mail says."""
    sender: str
    subject: str
    text: str
    headers: tuple[tuple[str, str], ...]
    caught_at: datetime


class Mailbox:
    """Every mailbox of the world."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._mails: deque[CaughtMail] = deque(maxlen=most)
        self._ids = itertools.count(1)
        self._arrived = asyncio.Event()

    def put(self, sender: str, recipients: Sequence[str], message: EmailMessage) -> None:
        """Keep a mail for each of its recipients."""
        text = message.get_body(("plain",))
        content = text.get_content() if text is not None else ""
        headers = tuple((name, str(value)) for name, value in message.items())
        for recipient in recipients:
            mail = CaughtMail(
                next(self._ids), recipient, sender, str(message["Subject"]), content, headers, datetime.now(UTC)
            )
            self._mails.append(mail)
        self._arrived.set()
        self._arrived = asyncio.Event()

    @property
    def last_id(self) -> int:
        """Id of the newest mail; 0 before the first."""
        return self._mails[-1].id if self._mails else 0

    def mail(self, number: int) -> CaughtMail | None:
        """The mail with this id, if it is still kept."""
        return next((mail for mail in self._after(number - 1) if mail.id == number), None)

    def find(self, to: str | None = None, after: int = 0, most: int = 1000) -> list[CaughtMail]:
        """The oldest ``most`` mails with an id above ``after``, of one recipient or of all."""
        wanted = None if to is None else to.casefold()
        found = (mail for mail in self._after(after) if wanted is None or mail.to.casefold() == wanted)
        return list(itertools.islice(found, most))

    async def wait(self, to: str | None, after: int, seconds: float) -> list[CaughtMail]:
        """Like ``find``, but waits for a mail if there is none; an empty list when none came in time."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := self.find(to, after)):
                    await self._arrived.wait()
                return found
        except TimeoutError:
            return []

    def newest(self, most: int) -> list[CaughtMail]:
        """The newest first."""
        return list(itertools.islice(reversed(self._mails), most))

    def _after(self, number: int) -> list[CaughtMail]:
        """Mails with an id above this one, without looking at those before."""
        missing = self._mails[0].id - 1 if self._mails else 0
        return list(itertools.islice(self._mails, max(0, number - missing), None))
