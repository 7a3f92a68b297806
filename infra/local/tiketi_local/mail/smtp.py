"""The SMTP side. Some addresses answer as mail servers do on a bad day, so that senders can be tested against it."""

from __future__ import annotations

import asyncio
import email.policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from tiketi_local.mail.box import Mailbox

TAKEN: Final = "250 OK"
NO_SUCH_USER: Final = "550 5.1.1 no such user"
"""For recipients ``nobody@...``."""
TRY_LATER: Final = "450 4.2.0 greylisted, try again later"
"""For the first try of each recipient ``grey...@...``."""
_MOST_BYTES: Final = 64 * 1024
_PARSER = BytesParser(EmailMessage, policy=email.policy.default)


class Handler:
    """Judges recipients and keeps what was sent."""

    def __init__(self, box: Mailbox) -> None:
        self._box = box
        self._seen: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - the name is the library's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or refuse it."""
        name = address.partition("@")[0]
        if name == "nobody":
            return NO_SUCH_USER
        if name.startswith("grey") and address not in self._seen:
            self._seen.add(address)
            return TRY_LATER
        envelope.rcpt_tos.append(address)
        return TAKEN

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the mail."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        message = _PARSER.parsebytes(content)
        self._box.put(str(envelope.mail_from), list(envelope.rcpt_tos), message)
        return TAKEN


async def listen(box: Mailbox, host: str, port: int) -> asyncio.Server:
    """Serve SMTP; close the server to end."""
    loop = asyncio.get_running_loop()
    handler = Handler(box)

    def protocol() -> SMTP:
        return SMTP(handler, data_size_limit=_MOST_BYTES, enable_SMTPUTF8=True, hostname="mail.local", loop=loop)

    return await loop.create_server(protocol, host, port)
