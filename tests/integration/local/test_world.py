"""The stores of a world come up, are mended, live beside others, and go without a trace."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from tiketi_local import ports
from tiketi_local.errors import WorldError
from tiketi_local.world import World

STORES = ("redis", "postgres", "rabbitmq", "epmd")


@pytest.fixture
async def fresh() -> AsyncIterator[World]:
    world = World.named(f"t-{secrets.token_hex(4)}")
    yield world
    await world.down()


@pytest.fixture(scope="module")
async def standing() -> AsyncIterator[World]:
    """A world with its stores up, for tests that leave it so."""
    world = World.named(f"t-{secrets.token_hex(4)}")
    await up_from_another_process(world)
    yield world
    await world.down()


def programs_in(folder: Path) -> list[str]:
    """Names of the processes that work in a folder, or that were told of it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            mentioned = str(folder).encode() in (entry / "cmdline").read_bytes()
            inside = (entry / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue
        if mentioned or inside:
            found.append((entry / "comm").read_text(encoding="utf-8").strip())
    return found


def shared_memory_of(world: World) -> str:
    """Id of the System V segment that PostgreSQL holds."""
    lock_file = world.site.directory / "postgres" / "data" / "postmaster.pid"
    return lock_file.read_text(encoding="utf-8").splitlines()[6].split()[1]


def shared_memory() -> set[str]:
    lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return {line.split()[1] for line in lines}


async def up_from_another_process(world: World) -> None:
    """As at the command line: the parts are orphans then, not our children."""
    command = ("-m", "tiketi_local", "up", "--only", "stores", "--world", world.name)
    child = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.DEVNULL)
    assert await child.wait() == 0


async def test_up_and_down_leave_no_process_port_file_or_shared_memory(fresh: World) -> None:
    await fresh.up("stores")
    segment = shared_memory_of(fresh)
    folder, base = fresh.site.directory, fresh.site.memory.base_port
    assert programs_in(folder)
    await fresh.down()
    assert programs_in(folder) == []
    assert not folder.exists()
    assert all(ports.is_free(base + offset) for offset in range(ports.BLOCK))
    assert segment not in shared_memory()
    await fresh.down()  # again, and without complaint
    assert not fresh.exists


async def test_up_mends_what_was_killed_and_keeps_what_was_stored(standing: World) -> None:
    async with Redis.from_url(standing.admin_redis_url) as client:
        await client.set("kept", "yes")
    for part in STORES:
        standing.kill(part, signal.SIGKILL)
    await standing.up("stores")
    async with Redis.from_url(standing.admin_redis_url) as client:
        assert await client.get("kept") == b"yes"
    connection = await asyncpg.connect(standing.database_url("ticket"))
    await connection.close()


async def test_a_second_up_finds_everything_running_and_starts_nothing(standing: World) -> None:
    heard: dict[str, str] = {}
    before = {part: standing.site.memory.processes[part] for part in STORES}
    await standing.up("stores", lambda name, _seconds, words: heard.update({name: words}))
    assert {heard[name] for name in STORES} == {"was running"}
    assert {part: standing.site.memory.processes[part] for part in STORES} == before


async def test_two_worlds_live_side_by_side(standing: World, world: World) -> None:
    async with Redis.from_url(standing.admin_redis_url) as ours, Redis.from_url(world.admin_redis_url) as theirs:
        await ours.set("only-here", 1)
        assert not await theirs.exists("only-here")


async def test_a_world_that_was_killed_whole_can_be_taken_down_and_no_other(fresh: World, world: World) -> None:
    await fresh.up("stores")
    segment = shared_memory_of(fresh)
    folder = fresh.site.directory
    for part in STORES:
        fresh.kill(part)
    await fresh.down()
    assert programs_in(folder) == []
    assert segment not in shared_memory()
    assert world.is_running("redis")


async def test_a_port_taken_by_another_program_is_named_with_the_mend(standing: World) -> None:
    number = standing.site.port("redis")
    await standing.stop("redis")
    with (
        socket.create_server(("127.0.0.1", number)),
        pytest.raises(WorldError, match=f"port {number}, which redis needs, is taken") as error,
    ):
        await standing.start("redis")
    assert "ss -ltnp" in error.value.mend
    await standing.start("redis")


@pytest.mark.skipif(os.geteuid() != 0, reason="without root everything runs as the caller")
async def test_as_root_the_stores_run_as_somebody_else(world: World) -> None:
    for part in STORES:
        pid = world.site.memory.processes[part].pid
        assert os.stat(f"/proc/{pid}").st_uid != 0  # noqa: PTH116
