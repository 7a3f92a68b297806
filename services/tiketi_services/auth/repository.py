"""Accounts in PostgreSQL, sessions and failed attempts in Redis. Sole caller of sql/ and lua/."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.auth.domain import Account, Email, EmailTaken, RoleGrant, SessionEnded, SessionId

PACKAGE: Final = "tiketi_services.auth"
_SQL: Final = load_queries(PACKAGE)


class TokenReused(SessionEnded):
    """A used refresh token turned up again after the grace: the session is ended, for thief and owner."""

    def __init__(self, account: BuyerId) -> None:
        super().__init__("This refresh token was used before; the session is ended. Log in again.")
        self.account = account


class Accounts:
    """Who signed up, and what they may do."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, account: Account) -> None:
        """Raises EmailTaken."""
        values = (UUID(account.id), account.email, account.name, account.password_hash)
        if await self._pool.fetchval(_SQL["add_account"], *values) is None:
            raise EmailTaken("There is an account with this e-mail address; log in instead.")

    async def by_email(self, email: Email) -> Account | None:
        """The account with this address."""
        return _account(await self._pool.fetchrow(_SQL["account_by_email"], email))

    async def by_id(self, account: BuyerId) -> Account | None:
        """The account with this id."""
        return _account(await self._pool.fetchrow(_SQL["account_by_id"], UUID(account)))

    async def renew_password_hash(self, account: Account, new: str) -> None:
        """Store the same password's hash with today's parameters."""
        await self._pool.execute(_SQL["renew_password_hash"], UUID(account.id), account.password_hash, new)

    async def grant(self, account: BuyerId, grant: RoleGrant, actor: str) -> bool:
        """Add a role; False if it was there."""
        return await self._change_grant("add_grant", account, grant, actor)

    async def revoke(self, account: BuyerId, grant: RoleGrant, actor: str) -> bool:
        """Take a role away; False if there was none."""
        return await self._change_grant("remove_grant", account, grant, actor)

    async def _change_grant(self, query: str, account: BuyerId, grant: RoleGrant, actor: str) -> bool:
        row = await self._pool.fetchval(_SQL[query], UUID(account), grant.role, grant.namespace, actor)
        return row is not None


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


class Attempts:
    """Log-ins that failed, by address, whether or not there is such an account."""

    def __init__(self, redis: Redis, burst: int, refill: timedelta) -> None:
        self._redis = redis
        self._charge = load_scripts(redis, PACKAGE)["charge_attempt"]
        self._burst = burst
        self._refill = _milliseconds(refill)

    async def charge(self, email: Email) -> timedelta:
        """Count one before its outcome is known; returns how long to wait first, or zero."""
        wait = await self._charge(keys=[_attempts_key(email)], args=[self._burst, self._refill])
        return timedelta(milliseconds=int(wait))

    async def forgive(self, email: Email) -> None:
        """Forget what failed: the owner has come."""
        await self._redis.delete(_attempts_key(email))


def _account(row: asyncpg.Record | None) -> Account | None:
    if row is None:
        return None
    grants = tuple(RoleGrant(role, namespace) for role, namespace in row["grants"])
    return Account(BuyerId(str(row["id"])), Email(row["email"]), row["name"], row["password_hash"], grants)


def _session_key(session: SessionId) -> str:
    return f"tiketi-auth:session:{session}"


def _attempts_key(email: Email) -> str:
    """Hashed: keys show up in slow logs and monitors, addresses must not."""
    return f"tiketi-auth:attempts:{hashlib.sha256(email.encode()).hexdigest()}"


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
