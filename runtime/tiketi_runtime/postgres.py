"""PostgreSQL: a pool, named statements from ``sql/*.sql``, and migrations from ``sql/migrations/*.sql``."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final, TypeAlias

import asyncpg

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

log = logging.getLogger(__name__)

# Any fixed number: two processes of one service must not migrate at the same time.
_MIGRATION_LOCK = 0x7431_6B37


LOCK_TIMEOUT: Final = timedelta(seconds=2)
"""How long a migration waits for a lock at once: every query of the table that comes after it waits behind it."""
LOCK_TRIES: Final = 60
_LOCK_PAUSE_SECONDS: Final = 1.0
"""In which those who waited go on."""


async def connect(url: str, size: int = 8) -> Pool:
    """Open a pool of at most ``size`` connections; jsonb columns are Python objects.

    Sessions keep no state of ours (no LISTEN, SET or session lock), so giving a connection back costs no round trip.
    Raises OSError or asyncpg.PostgresError when the database is unreachable.
    """
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        init=_speak_json,
        reset=_keep_as_it_is,
        command_timeout=10,
        # Plans are kept: one made while a table has a page or two would read all of it, right into the rush.
        server_settings={"timezone": "UTC", "jit": "off", "enable_seqscan": "off"},
    )


async def _speak_json(connection: Connection) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _keep_as_it_is(_: Connection) -> None:
    """Replaces the driver's RESET ALL; an open transaction has been rolled back before this is called."""


def load_queries(package: str) -> Mapping[str, str]:
    """Statements of ``<package>/sql/*.sql`` by file name without the ending."""
    return MappingProxyType({file.name.removesuffix(".sql"): file.read_text() for file in _sql_files(package, "sql")})


async def migrate(url: str, package: str, lock_timeout: timedelta = LOCK_TIMEOUT, tries: int = LOCK_TRIES) -> list[str]:
    """Apply the migrations of ``<package>/sql/migrations`` that this database has not seen, in order of their names.

    Each runs in a transaction of its own, under an advisory lock, so that any number of replicas may start at once. One
    that does not get its locks within ``lock_timeout`` is undone and tried again after a pause, so that a long
    transaction before it does not stop the queries behind it; so is one that met a deadlock. Returns the names of those
    applied now; raises asyncpg.LockNotAvailableError or DeadlockDetectedError after so many ``tries``.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            " package text, name text, applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (package, name))"
        )
        rows = await connection.fetch("SELECT name FROM schema_migrations WHERE package = $1", package)
        done = {row["name"] for row in rows}
        new = [file for file in _sql_files(package, "sql/migrations") if file.name not in done]
        for file in new:
            await _apply(connection, package, file, lock_timeout, tries)
            log.info("migration applied", extra={"package": package, "migration": file.name})
        return [file.name for file in new]
    finally:
        await connection.close()


async def _apply(
    connection: asyncpg.Connection[asyncpg.Record],
    package: str,
    file: Traversable,
    lock_timeout: timedelta,
    tries: int,
) -> None:
    limit = f"{lock_timeout / timedelta(milliseconds=1):.0f}ms"
    for left in reversed(range(tries)):
        try:
            async with connection.transaction():
                await connection.execute("SELECT set_config('lock_timeout', $1, true)", limit)
                await connection.execute(file.read_text())
                await connection.execute(
                    "INSERT INTO schema_migrations (package, name) VALUES ($1, $2)", package, file.name
                )
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if not left:
                raise
            log.warning("migration waits for a lock", extra={"package": package, "migration": file.name, "left": left})
            await asyncio.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return


def _sql_files(package: str, folder: str) -> Iterator[Traversable]:
    directory = files(package).joinpath(folder)
    if not directory.is_dir():
        return iter(())
    return iter(sorted((f for f in directory.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name))
