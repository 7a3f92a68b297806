"""The Redis client, on a real server."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tiketi_runtime import redis
from tiketi_runtime.outages import is_outage

PACKAGE = "a_package_with_scripts"


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    async with redis.connect(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
def scripts(client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Scripts]:
    folder = tmp_path / PACKAGE / "lua"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "count.lua").write_text("return redis.call('INCR', KEYS[1])")
    (folder / "notes.txt").write_text("not a script")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield redis.load_scripts(client, PACKAGE)
    sys.modules.pop(PACKAGE, None)


async def test_scripts_are_found_by_the_name_of_their_file(scripts: redis.Scripts) -> None:
    assert list(scripts) == ["count"]
    assert await scripts["count"](keys=["x"]) == 1


async def test_a_script_the_server_forgot_is_loaded_again(client: redis.Redis, scripts: redis.Scripts) -> None:
    await scripts["count"](keys=["x"])
    await client.script_flush()
    assert await scripts["count"](keys=["x"]) == 2


async def test_more_commands_than_connections_wait_for_their_turn(client: redis.Redis, scripts: redis.Scripts) -> None:
    answers = await asyncio.gather(*(scripts["count"](keys=["x"]) for _ in range(500)))
    assert sorted(answers) == list(range(1, 501))


async def test_a_connection_that_died_meanwhile_is_replaced(client: redis.Redis, redis_url: str) -> None:
    await client.set("x", 1)
    number = await client.client_id()
    async with redis.connect(redis_url) as other:
        await other.client_kill_filter(_id=str(number))
    await asyncio.sleep(0.05)
    assert await client.get("x") == b"1"


async def test_a_script_whose_answer_got_lost_is_not_sent_again(redis_url: str) -> None:
    """A server in between passes the request on and hangs up before the answer."""
    sent = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while data := await reader.read(4096):
            if b"INCR" in data:
                sent += 1
                break
            commands = data.count(b"\r\n*") + 1
            writer.write(b"+OK\r\n" * commands)
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, redis.connect(f"redis://127.0.0.1:{port}?protocol=2") as client:
        with pytest.raises(RedisConnectionError):
            await client.incr("x")
    assert sent == 1


async def test_a_server_that_is_away_is_an_outage() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with redis.connect(f"redis://127.0.0.1:{unused.getsockname()[1]}") as client:
            with pytest.raises(RedisConnectionError) as caught:
                await client.ping()
    assert is_outage(caught.value)


async def test_a_server_that_hangs_is_an_outage() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with redis.connect(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.1) as client:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - the next line says which
                await client.ping()
    assert is_outage(caught.value)
