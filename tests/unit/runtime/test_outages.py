"""Which errors pass by themselves."""

from __future__ import annotations

import asyncpg
import pytest
from redis import exceptions as redis

from tiketi_runtime.outages import is_outage


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("cannot call Connection.fetchrow(): connection has been released back to the pool"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        asyncpg.AdminShutdownError("terminating connection"),
        redis.ConnectionError(),
        redis.ResponseError("MISCONF Redis is configured to save RDB snapshots, but it cannot"),
        redis.ResponseError("NOREPLICAS Not enough good replicas to write."),
        redis.ResponseError("BUSY Redis is busy running a script."),
    ],
)
def test_a_store_that_is_away_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        asyncpg.UniqueViolationError("twice"),
        asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed"),
        redis.ResponseError("WRONGTYPE"),
    ],
)
def test_a_fault_of_ours_is_none(error: Exception) -> None:
    assert not is_outage(error)
