"""Mail over SMTP: plain text and nothing else, so nothing in it can report that or when it was read.

Sending is slow and may fail, so it never belongs into a request: who has a mail to send writes that down in the
transaction that causes it, and a loop of the same service sends it from there (auth: ``postman.py``).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import Header
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, getaddresses
from typing import Any, Final, Self, TypeAlias, cast
from urllib.parse import unquote, urlsplit

import aiosmtplib

from tiketi_runtime.errors import TiketiError, Unavailable

_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
SomePolicy: TypeAlias = "EmailPolicy[EmailMessage]"
_LINE: Final = 76
"""Characters of a line with an encoded word (RFC 2047, 2)."""
_SERVICE_NOT_AVAILABLE: Final = 421
"""RFC 5321, 3.8: the server closes the connection, whatever was asked."""


class _Subject(UniqueUnstructuredHeader):
    """Encoded as a whole. The library encodes word by word, and readers then drop the spaces between the words."""

    @classmethod
    def parse(cls, string: str, kwds: dict[str, Any]) -> None:
        """Take it as it is: what looks like an encoded word was typed so, and is not decoded."""
        kwds.update(parse_tree=None, decoded=string)

    def fold(self, *, policy: SomePolicy) -> str:
        """The header as it travels."""
        text = str(self)
        charset = "us-ascii" if text.isascii() and "=?" not in text else "utf-8"
        value = Header(text, charset, maxlinelen=_LINE, header_name="Subject").encode(linesep=policy.linesep)
        return f"Subject: {value}{policy.linesep}"


def _policy() -> SomePolicy:
    registry = HeaderRegistry()
    registry.map_to_type("subject", cast("type[BaseHeader]", _Subject))
    return SMTP.clone(header_factory=registry)


_POLICY: Final = _policy()


class MailServerAway(Unavailable):
    """No mail can be handed over now: the server is away, or takes none from us. Every mail has to wait."""

    code, title = "mail-server-away", "Mail server away"


class MailNotTaken(TiketiError):
    """The server takes other mails, but not this one: address unknown, mailbox full, grey-listed."""

    code, status, title = "mail-not-taken", 502, "Mail not taken"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person."""

    to: str
    subject: str
    text: str
    id: str
    """The same each time it is tried, so that a mailbox can tell a repetition; letters, digits, ``.`` and ``-``."""
    written_at: datetime


class MailSession:
    """An open connection to the server."""

    def __init__(self, smtp: aiosmtplib.SMTP, sender: Address) -> None:
        self._smtp = smtp
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Hand a mail over; when this returns the server answers for it. Raises MailNotTaken or MailServerAway."""
        try:
            await self._smtp.send_message(_message(mail, self._sender))
        except (ConnectionError, TimeoutError) as error:
            raise MailServerAway(f"The mail server went away: {error}") from error
        except aiosmtplib.SMTPSenderRefused as error:
            raise MailServerAway(f"The mail server takes no mail from us: {error.code}.") from error
        except (ValueError, aiosmtplib.SMTPException) as error:
            if _SERVICE_NOT_AVAILABLE in _codes(error):
                raise MailServerAway("The mail server closes the connection.") from error
            # Its answer may quote the address: only the code is told.
            raise MailNotTaken(f"The mail was not taken: {_codes(error) or type(error).__name__}.") from error


class MailServer:
    """Where mails are handed over, and in whose name."""

    def __init__(self, host: str, port: int, sender: Address, timeout_seconds: float = 10) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._timeout = timeout_seconds
        self._credentials: tuple[str, str] | None = None
        self._use_tls = False
        self._start_tls = False

    @classmethod
    def from_url(cls, url: str, sender: str) -> Self:
        """A server by its URL, and the sender as ``Name <address>`` or an address alone. Raises ValueError.

        ``smtps://user:password@host`` speaks TLS from the first byte, ``smtp+starttls://`` insists on changing to it,
        ``smtp://`` sends in the clear: for a relay on the same host or behind the mesh only.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("the mail server's URL: smtps://, smtp+starttls:// or smtp:// and a host is needed")
        server = cls(parts.hostname, parts.port or _PORTS[parts.scheme], _sender(sender))
        server._use_tls = parts.scheme == "smtps"
        server._start_tls = parts.scheme == "smtp+starttls"
        if parts.username:
            server._credentials = unquote(parts.username), unquote(parts.password or "")
        return server

    @asynccontextmanager
    async def session(self) -> AsyncIterator[MailSession]:
        """A connection for some mails. Raises MailServerAway if there can be none."""
        smtp = await self._connect()
        try:
            yield MailSession(smtp, self._sender)
            await _part(smtp)
        finally:
            smtp.close()

    async def _connect(self) -> aiosmtplib.SMTP:
        user, password = self._credentials or (None, None)
        smtp = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=user,
            password=password,
            use_tls=self._use_tls,
            start_tls=self._start_tls,
            timeout=self._timeout,
            tls_context=ssl.create_default_context() if self._use_tls or self._start_tls else None,
        )
        try:
            await smtp.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            smtp.close()
            where = f"{self._host}:{self._port}"
            raise MailServerAway(f"No mail server at {where}: {type(error).__name__} {_codes(error)}") from error
        return smtp


async def _part(smtp: aiosmtplib.SMTP) -> None:
    """Say good-bye, as RFC 5321 asks; what was taken is taken, whether or not it is answered."""
    try:
        await smtp.quit()
    except (aiosmtplib.SMTPException, OSError):
        return


def _message(mail: Mail, sender: Address) -> EmailMessage:
    """Raises ValueError if the address is none that SMTP can carry."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = _recipient(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.written_at)
    message["Message-ID"] = f"<{mail.id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers to this
    message.set_content(mail.text, cte="base64" if not mail.text.isascii() else "7bit")
    return message


def _recipient(text: str) -> Address:
    """One mailbox, whatever commas or quotes are in its name."""
    local, _, unicode_domain = text.rpartition("@")
    domain = unicode_domain.encode("idna").decode()  # UnicodeError is a ValueError
    if not _DOMAIN.fullmatch(domain):
        raise ValueError("no domain that mail can be sent to")
    return Address(username=local, domain=domain)


def _sender(text: str) -> Address:
    try:
        [(name, address)] = getaddresses([text])
        return Address(name, addr_spec=address)
    except (HeaderParseError, ValueError, IndexError) as error:  # the last: the parser runs off the end of "a@"
        mend = "an address such as 'Tiketi <no-reply@example.com>' is needed"
        raise ValueError(f"the sender of mails: {mend}") from error


def _codes(error: Exception) -> set[int]:
    """Reply codes of the server, RFC 5321, 4.2."""
    refused = error.recipients if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else [error]
    return {each.code for each in refused if isinstance(each, aiosmtplib.SMTPResponseException)}
