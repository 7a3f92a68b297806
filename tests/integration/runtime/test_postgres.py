"""Migrations and the pool, on a real server."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import asyncpg
import pytest

from tiketi_runtime import postgres
from tiketi_runtime.outages import is_outage

MakeDatabase = Callable[[str], Awaitable[str]]
PACKAGE = "a_package_with_migrations"


@pytest.fixture
async def url(database: MakeDatabase) -> str:
    return await database("auth")


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of migrations of a package made for one test."""
    folder = tmp_path / PACKAGE / "sql" / "migrations"
    folder.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop(PACKAGE, None)


@pytest.fixture
async def pool(url: str) -> AsyncIterator[postgres.Pool]:
    pool = await postgres.connect(url, size=2)
    yield pool
    await pool.close()


async def _ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_migrations_run_once_and_in_order(url: str, migrations: Path) -> None:
    (migrations / "0002_b.sql").write_text("ALTER TABLE t ADD y int; INSERT INTO t VALUES (1, 2);")
    (migrations / "0001_a.sql").write_text("CREATE TABLE t (x int);")
    assert await postgres.migrate(url, PACKAGE) == ["0001_a.sql", "0002_b.sql"]
    assert await postgres.migrate(url, PACKAGE) == []
    (migrations / "0003_c.sql").write_text("INSERT INTO t VALUES (3, 4)")
    assert await postgres.migrate(url, PACKAGE) == ["0003_c.sql"]
    assert await _ask(url, "SELECT count(*) FROM t") == 2


async def test_replicas_that_start_at_once_migrate_once(url: str, migrations: Path) -> None:
    (migrations / "0001_a.sql").write_text("SELECT pg_sleep(0.2); CREATE TABLE t (x int);")
    applied = await asyncio.gather(*(postgres.migrate(url, PACKAGE) for _ in range(5)))
    assert sorted(applied) == [[], [], [], [], ["0001_a.sql"]]


async def test_a_migration_that_fails_leaves_nothing_and_is_tried_again(url: str, migrations: Path) -> None:
    (migrations / "0001_a.sql").write_text("CREATE TABLE a (x int);")
    (migrations / "0002_b.sql").write_text("CREATE TABLE b (x int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await postgres.migrate(url, PACKAGE)
    assert await _ask(url, "SELECT to_regclass('a') IS NOT NULL AND to_regclass('b') IS NULL")
    (migrations / "0002_b.sql").write_text("CREATE TABLE b (x int);")
    assert await postgres.migrate(url, PACKAGE) == ["0002_b.sql"]


async def test_a_migration_behind_a_long_transaction_does_not_stop_the_queries_behind_it(
    url: str, migrations: Path
) -> None:
    """Each query waits a lock timeout at most, and the migration is made when the transaction is over."""
    await _ask(url, "CREATE TABLE t (x int)")
    (migrations / "0001_a.sql").write_text("CREATE TABLE before (x int); ALTER TABLE t ADD y int;")
    long = await asyncpg.connect(url)
    await long.execute("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE")
    work = asyncio.create_task(postgres.migrate(url, PACKAGE, timedelta(milliseconds=300)))
    for _ in range(8):
        await asyncio.sleep(0.2)
        async with asyncio.timeout(1):
            assert await _ask(url, "SELECT count(*) FROM t") == 0
    assert not work.done()
    assert await _ask(url, "SELECT to_regclass('before') IS NULL")
    await long.execute("COMMIT")
    await long.close()
    assert await work == ["0001_a.sql"]
    assert await _ask(url, "SELECT count(y) FROM t") == 0


async def test_a_migration_that_never_gets_its_lock_gives_up_and_leaves_nothing(url: str, migrations: Path) -> None:
    await _ask(url, "CREATE TABLE t (x int)")
    (migrations / "0001_a.sql").write_text("ALTER TABLE t ADD y int;")
    long = await asyncpg.connect(url)
    await long.execute("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await postgres.migrate(url, PACKAGE, timedelta(milliseconds=50), tries=2)
    await long.close()
    assert await postgres.migrate(url, PACKAGE) == ["0001_a.sql"]


async def test_a_package_without_migrations_has_nothing_to_apply(url: str) -> None:
    assert await postgres.migrate(url, "tiketi_runtime.contracts") == []


def test_statements_are_found_by_the_name_of_their_file(migrations: Path) -> None:
    (migrations.parent / "find_account.sql").write_text("SELECT 1")
    queries = postgres.load_queries(PACKAGE)
    assert dict(queries) == {"find_account": "SELECT 1"}
    assert isinstance(queries, MappingProxyType)


async def test_documents_come_back_as_objects(pool: postgres.Pool) -> None:
    document = {"name": "안나", "seats": [1, 2], "none": None}
    assert await pool.fetchval("SELECT $1::jsonb", document) == document


async def test_a_transaction_left_open_does_not_reach_the_next_user(pool: postgres.Pool) -> None:
    await pool.execute("CREATE TABLE t (x int)")
    async with pool.acquire() as connection:
        await connection.execute("BEGIN; INSERT INTO t VALUES (1)")
    assert await pool.fetchval("SELECT count(*) FROM t") == 0


async def test_a_pool_whose_connections_were_killed_works_again(url: str, pool: postgres.Pool) -> None:
    await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.05)") for _ in range(2)))
    await _ask(
        url,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()",
    )
    await asyncio.sleep(0.1)
    assert await pool.fetchval("SELECT 1") == 1


async def test_times_are_in_utc(pool: postgres.Pool) -> None:
    assert await pool.fetchval("SHOW timezone") == "UTC"


@pytest.mark.parametrize(
    ("query", "arguments"),
    [("SELECT $1::int", ()), ("SELECT 1", (1,)), ("SELECT $1::int", ("the pool is closed",)), ("SELECT", (object(),))],
    ids=str,
)
async def test_a_call_that_is_wrong_in_itself_is_no_outage(
    pool: postgres.Pool, query: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError)) as raised:
        await pool.fetch(query, *arguments)
    assert not is_outage(raised.value), raised.value


async def test_a_connection_or_pool_that_was_closed_under_us_is_an_outage(url: str) -> None:
    pool = await postgres.connect(url, size=1)
    errors: list[BaseException] = []

    async def note(fetch: Callable[[str], Awaitable[object]], query: str = "SELECT 1") -> None:
        try:
            await fetch(query)
        except Exception as error:  # noqa: BLE001 - whatever it is, is the question
            errors.append(error)

    async def kill(victim: int) -> None:
        await _ask(url, f"SELECT pg_terminate_backend({victim})")
        await asyncio.sleep(0.1)

    async with pool.acquire() as connection:
        victim = await connection.fetchval("SELECT pg_backend_pid()")
        sleeping = asyncio.create_task(note(connection.fetch, "SELECT pg_sleep(5)"))
        await asyncio.sleep(0.1)
        await kill(victim)
        await sleeping
        await note(connection.fetch)
    async with pool.acquire() as connection:
        await connection.close()
        await note(connection.fetch)
    async with pool.acquire() as released:
        pass
    await note(released.fetch)
    await pool.close()
    await note(pool.fetch)
    assert len(errors) == 5
    assert [error for error in errors if not is_outage(error)] == []
