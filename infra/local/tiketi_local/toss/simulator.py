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
from tiketi_local.toss.payment import Payment
from tiketi_local.toss.vendor import Vendor
from tiketi_local.toss.webhooks import Webhooks

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
    webhooks: Webhooks = field(init=False)
    faults: Faults = field(default_factory=Faults)
    clock: Callable[[], datetime] = wall_clock
    secret_key: str | None = None
    client_key: str | None = None
    _calls: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(lambda: self.faults.webhooks, self.clock)

    @classmethod
    def over(
        cls,
        journal: Journal,
        clock: Callable[[], datetime] = wall_clock,
        secret_key: str | None = None,
        client_key: str | None = None,
    ) -> Simulator:
        """A simulator that goes on where the journal ended."""

        def record(payment: Payment) -> None:
            journal.record_payment(payment)
            simulator.webhooks.on_change(payment)

        simulator = cls(
            vendor=Vendor(record, journal.payments),
            answers=Answers(journal.record_answer, journal.answers),
            clock=clock,
            secret_key=secret_key,
            client_key=client_key,
        )
        return simulator

    def count_call(self, api: str) -> None:
        """Raises TossError TOO_MANY_REQUESTS beyond the limit of calls a minute, if there is one."""
        if (most := self.faults.requests_per_minute) == 0:
            return
        slot = (api, f"{self.clock():%H%M}")
        self._calls = {key: count for key, count in self._calls.items() if key[1] == slot[1]}
        self._calls[slot] = self._calls.get(slot, 0) + 1
        if self._calls[slot] > most:
            raise TossError("TOO_MANY_REQUESTS")

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
