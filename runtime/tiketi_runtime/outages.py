"""Which errors mean that a store is away, or cannot decide just now: the same call may succeed in a moment.

HTTP answers 503, a consumer puts its message back. Every other error of a store's client is a fault of ours.
"""

from __future__ import annotations

from typing import Final

import aiohttp
import asyncpg
from redis import exceptions as redis

_OUTAGES: Final = (
    OSError,  # TimeoutError and ConnectionError are among them
    aiohttp.ClientConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # the server was killed in the middle of an answer; the connection is dropped
    asyncpg.OperatorInterventionError,  # shutting down, starting, statement timeout
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # failing over: this server is no longer the primary
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
    redis.ClusterDownError,
    redis.TryAgainError,
)
_REDIS_REFUSES: Final = ("BUSY ", "MISCONF ", "NOREPLICAS ")
"""Words that begin what Redis answers when it cannot write just now; its client has no class for them: a script takes
long, the disk is full, too few replicas are there."""
_GONE: Final = ("is closed", "is closing", "released back to the pool", "another operation is")
"""How asyncpg says that the connection or its pool was closed under us. It has one class for that and for a call that
is wrong in itself (a missing argument), which would fail for ever."""


def is_outage(error: BaseException) -> bool:
    """Whether the same call may succeed later without a change."""
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError):
        return any(sign in str(error) for sign in _GONE)
    if isinstance(error, redis.ResponseError) and str(error).startswith(_REDIS_REFUSES):
        return True
    return isinstance(error, _OUTAGES)
