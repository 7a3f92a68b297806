"""Accounts and mails in PostgreSQL, sessions and attempts in Redis. Sole caller of sql/ and lua/."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import asyncpg

from tiketi_runtime import outbox
from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.auth.domain import Account, Email, EmailTaken, RoleGrant, SessionEnded, SessionId
from tiketi_services.auth.letters import Occasion

PACKAGE: Final = "tiketi_services.auth"
_SQL: Final = load_queries(PACKAGE)
_LEASE: Final = timedelta(minutes=5)
"""How long a sender may keep mails it took: far longer than a batch takes, or one mail would be sent twice."""


class TokenReused(SessionEnded):
    """A used refresh token turned up again after the grace: the session is ended, for thief and owner."""

    def __init__(self, account: BuyerId) -> None:
        super().__init__("This refresh token was used before; the session is ended. Log in again.")
        self.account = account


class Accounts:
    """Who signed up, and what they may do."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, account: BuyerId, email: Email, name: str, password_hash: str) -> Account:
        """Open an account, and ask for the mail that verifies its address. Raises EmailTaken."""
        registered_at = await self._pool.fetchval(_SQL["add_account"], UUID(account), email, name, password_hash)
        if registered_at is None:
            raise EmailTaken("There is an account with this e-mail address; log in instead.")
        return Account(account, email, name, password_hash, registered_at)

    async def by_email(self, email: Email) -> Account | None:
        """The account with this address."""
        return _account(await self._pool.fetchrow(_SQL["account_by_email"], email))

    async def by_id(self, account: BuyerId) -> Account | None:
        """The account with this id."""
        return _account(await self._pool.fetchrow(_SQL["account_by_id"], UUID(account)))

    async def verify(self, account: BuyerId, email: Email) -> bool:
        """Mark the address as verified; True as well if it was. False if the account has it no longer."""
        return await self._pool.fetchval(_SQL["verify_account"], UUID(account), email) is not None

    async def ask_verification_mail(self, account: BuyerId) -> None:
        """Have a mail sent; of no effect when the address is verified."""
        await self._pool.execute(_SQL["ask_verification_mail"], UUID(account))

    async def renew_password_hash(self, account: Account, new: str) -> None:
        """Store the same password's hash with today's parameters."""
        await self._pool.execute(_SQL["renew_password_hash"], UUID(account.id), account.password_hash, new)

    async def grant(self, account: BuyerId, grant: RoleGrant, actor: str) -> bool:
        """Add a role; False if it was there."""
        return await self._change_grant("add_grant", account, grant, actor)

    async def revoke(self, account: BuyerId, grant: RoleGrant, actor: str) -> bool:
        """Take a role away; False if there was none."""
        return await self._change_grant("remove_grant", account, grant, actor)

    async def all_grants(self) -> list[tuple[Email, RoleGrant]]:
        """Every role that was given to anybody, by address."""
        rows = await self._pool.fetch(_SQL["all_grants"])
        return [(Email(row["email"]), RoleGrant(row["role"], row["namespace"])) for row in rows]

    async def _change_grant(self, query: str, account: BuyerId, grant: RoleGrant, actor: str) -> bool:
        row = await self._pool.fetchval(_SQL[query], UUID(account), grant.role, grant.namespace, actor)
        return row is not None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The mails that wait to be sent."""

    count: int
    due: int
    oldest: datetime | None
    """When the oldest was asked for."""


@dataclass(frozen=True, slots=True)
class DueMail:
    """A mail that is to be sent now."""

    id: UUID
    """Among its kind: the account's for a verification mail, the message's for a letter."""
    account: BuyerId
    email: Email
    asked_at: datetime
    attempts: int
    """This one included."""
    message: object = None
    """What a letter is about, as it is stored; None for a verification mail."""


class Mails:
    """Mails of one kind that wait to be sent."""

    def __init__(
        self,
        pool: Pool,
        kind: Literal["verifications", "letters"],
        first_pause: timedelta,
        longest_pause: timedelta,
    ) -> None:
        self._pool = pool
        self._kind = kind
        self._pauses = first_pause.total_seconds(), longest_pause.total_seconds()

    async def waiting(self) -> Waiting:
        """How many there are."""
        row = await self._pool.fetchrow(_SQL[f"{self._kind}_waiting"])
        if row is None:
            raise LookupError("an aggregate has one row")
        return Waiting(row["waiting"], row["due"], row["oldest"])

    async def take(self, most: int) -> list[DueMail]:
        """Due mails that no other sender has. What is neither done nor put off in five minutes is due again."""
        rows = await self._pool.fetch(_SQL[f"take_{self._kind}"], most, _LEASE.total_seconds())
        return [
            DueMail(
                row["id"],
                BuyerId(str(row["account"])),
                Email(row["email"]),
                row["asked_at"],
                row["attempts"],
                row["message"],
            )
            for row in rows
        ]

    async def done(self, mails: Sequence[DueMail]) -> None:
        """They need not be sent any more."""
        await self._pool.execute(_SQL[f"{self._kind}_done"], *_keys_of(mails))

    async def postpone(self, mails: Sequence[DueMail]) -> None:
        """They were not taken: due after their pause, which doubles with each attempt."""
        await self._pool.execute(_SQL[f"postpone_{self._kind}"], *_keys_of(mails), *self._pauses)

    async def put_back(self, mails: Sequence[DueMail]) -> None:
        """They were not tried: due at once."""
        await self._pool.execute(_SQL[f"put_{self._kind}_back"], *_keys_of(mails))


class LetterBook:
    """Letters that are to be written about messages."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, message: Occasion) -> bool | None:
        """Have a letter sent to the buyer whom a message names; False if nobody is written to, None if the same message
        was applied before.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            if not await outbox.is_new(connection, message):
                return None
            try:
                account = UUID(message.buyer)
            except ValueError:
                return False
            content = message.model_dump(mode="json", by_alias=True)
            return await connection.fetchval(_SQL["add_letter"], message.id, account, content) is not None


def _keys_of(mails: Sequence[DueMail]) -> tuple[list[UUID], list[datetime]]:
    return [mail.id for mail in mails], [mail.asked_at for mail in mails]


class Sessions:
    """Who is logged in. Losing them costs a log-in, nothing else."""

    def __init__(self, redis: Redis, lifetime: timedelta, grace: timedelta) -> None:
        scripts = load_scripts(redis, PACKAGE)
        self._redis = redis
        self._start = scripts["start_session"]
        self._rotate = scripts["rotate_session"]
        self._lifetime = _milliseconds(lifetime)
        self._grace = _milliseconds(grace)

    async def start(self, session: SessionId, account: BuyerId) -> int:
        """Begin a session; returns its first turn."""
        return int(await self._start(keys=[_session_key(session)], args=[account, self._lifetime]))

    async def rotate(self, session: SessionId, turn: int) -> tuple[BuyerId, int]:
        """Spend the token of this turn; returns whose session it is and the turn that is next.

        Raises SessionEnded, or TokenReused when the session was ended by this very call.
        """
        args = [turn, self._grace, self._lifetime]
        verdict, *rest = await self._rotate(keys=[_session_key(session)], args=args)
        if verdict == b"unknown":
            raise SessionEnded("The session has ended. Log in again.")
        account = BuyerId(rest[0].decode())
        if verdict == b"reused":
            raise TokenReused(account)
        return account, int(rest[1])

    async def end(self, session: SessionId) -> None:
        """Log out; of no effect when the session has ended already."""
        await self._redis.delete(_session_key(session))


class Budget:
    """How often something may be tried for one subject: ``burst`` times, then once in each ``refill``.

    Subjects need not exist: an address that nobody has is charged like any other.
    """

    def __init__(self, redis: Redis, name: str, burst: int, refill: timedelta) -> None:
        self._redis = redis
        self._name = name
        self._charge = load_scripts(redis, PACKAGE)["charge_attempt"]
        self._burst = burst
        self._refill = _milliseconds(refill)

    async def charge(self, subject: str) -> timedelta:
        """Count one before its outcome is known; returns how long to wait first, or zero."""
        wait = await self._charge(keys=[self._key(subject)], args=[self._burst, self._refill])
        return timedelta(milliseconds=int(wait))

    async def forgive(self, subject: str) -> None:
        """Forget what failed: the owner has come."""
        await self._redis.delete(self._key(subject))

    def _key(self, subject: str) -> str:
        """Hashed: keys show up in slow logs and monitors, addresses must not."""
        return f"tiketi-auth:{self._name}:{hashlib.sha256(subject.encode()).hexdigest()}"


def _account(row: asyncpg.Record | None) -> Account | None:
    if row is None:
        return None
    grants = tuple(RoleGrant(role, namespace) for role, namespace in row["grants"])
    return Account(
        BuyerId(str(row["id"])),
        Email(row["email"]),
        row["name"],
        row["password_hash"],
        row["created_at"],
        row["is_verified"],
        grants,
    )


def _session_key(session: SessionId) -> str:
    return f"tiketi-auth:session:{session}"


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
