"""Everything one running simulator has: books, stored answers, faults, clock, keys."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from tiketi_local.toss.errors import TossError
from tiketi_local.toss.faults import Faults
from tiketi_local.toss.idempotency import Answers
from tiketi_local.toss.journal import Journal
from tiketi_local.toss.vendor import Vendor

_SECRET = re.compile(r"test_(g?)sk_[A-Za-z0-9]+")
_CLIENT = re.compile(r"test_g?ck_[A-Za-z0-9]+")


def wall_clock() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


@dataclass
class Simulator:
    """One vendor with one merchant. Keys that are None: any well-formed test key is taken."""

    vendor: Vendor
    answers: Answers
    faults: Faults = field(default_factory=Faults)
    clock: Callable[[], datetime] = wall_clock
    secret_key: str | None = None
    client_key: str | None = None

    @classmethod
    def over(
        cls,
        journal: Journal,
        clock: Callable[[], datetime] = wall_clock,
        secret_key: str | None = None,
        client_key: str | None = None,
    ) -> Simulator:
        """A simulator that goes on where the journal ended."""
        return cls(
            vendor=Vendor(journal.record_payment, journal.payments),
            answers=Answers(journal.record_answer, journal.answers),
            clock=clock,
            secret_key=secret_key,
            client_key=client_key,
        )

    def authorise(self, header: str) -> str:
        """The secret key of an Authorization header. Raises TossError."""
        key = _basic_user(header)
        if not _SECRET.fullmatch(key) or not _same(key, self.secret_key):
            raise TossError("UNAUTHORIZED_KEY")
        return key

    def check_client_key(self, key: str) -> None:
        """Raises TossError unless the window may be opened with this key."""
        if not _CLIENT.fullmatch(key) or not _same(key, self.client_key):
            raise TossError("UNAUTHORIZED_KEY")


def client_kind(secret_key: str) -> str:
    """How the client key of this secret key's pair begins."""
    return "test_gck_" if secret_key.startswith("test_gsk_") else "test_ck_"


def _same(key: str, wanted: str | None) -> bool:
    return wanted is None or hmac.compare_digest(key.encode(), wanted.encode())


def _basic_user(header: str) -> str:
    """User of HTTP Basic with an empty password; the colon is a must."""
    scheme, _, word = header.partition(" ")
    try:
        user, colon, password = base64.b64decode(word, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise TossError("INCORRECT_BASIC_AUTH_FORMAT") from None
    if scheme.lower() != "basic" or not user or not colon or password:
        raise TossError("INCORRECT_BASIC_AUTH_FORMAT")
    return user


SIMULATOR = web.AppKey("simulator", Simulator)
"""Where the application keeps it."""
