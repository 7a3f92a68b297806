"""Scripts that share one connection: what each of them may rely on, whatever happens to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import exceptions as errors
from tests.integration.redis_servers import RedisServer, cluster_url, move_slot, node_of, redis_cluster

from tiketi_runtime import redis
from tiketi_runtime.outages import is_outage

PACKAGE = "a_package_of_scripts"
COUNT = "return redis.call('INCR', KEYS[1])"
REFUSE = "return redis.error_reply('-REFUSED not today')"
ECHO = "return ARGV"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / PACKAGE / "lua"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for name, text in {"count": COUNT, "refuse": REFUSE, "echo": ECHO}.items():
        (folder / f"{name}.lua").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return PACKAGE


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    async with redis.connect(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
def scripts(client: redis.Redis, package: str) -> redis.Scripts:
    return redis.load_scripts(client, package)


async def connections(client: redis.Redis) -> list[dict[str, str]]:
    """What Redis says of the connections whose last command was a script of this database."""
    number = str(client.connection_pool.connection_kwargs["db"])
    return [each for each in await client.client_list() if each["cmd"] == "evalsha" and each["db"] == number]


async def test_calls_of_one_moment_share_one_connection_and_get_their_own_answers(
    client: redis.Redis, scripts: redis.Scripts
) -> None:
    await scripts["echo"](keys=["x"], args=["first"])  # the only one that has to be loaded
    answers = await asyncio.gather(*(scripts["echo"](keys=["x"], args=[number]) for number in range(1000)))
    assert answers == [[b"%d" % number] for number in range(1000)]
    assert len(await connections(client)) == 1


async def test_one_refused_call_leaves_its_neighbours_alone(scripts: redis.Scripts) -> None:
    await asyncio.gather(scripts["count"](keys=["x"]), scripts["refuse"](keys=["x"]), return_exceptions=True)
    answers = await asyncio.gather(
        scripts["count"](keys=["x"]),
        scripts["refuse"](keys=["x"]),
        scripts["count"](keys=["x"]),
        return_exceptions=True,
    )
    assert (answers[0], answers[2]) == (2, 3)
    assert isinstance(answers[1], errors.ResponseError)
    assert str(answers[1]).startswith("REFUSED")


async def test_who_stops_waiting_leaves_its_neighbours_alone(scripts: redis.Scripts) -> None:
    await scripts["count"](keys=["x"])
    calls = [asyncio.create_task(scripts["count"](keys=["x"])) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert (answers[0], answers[2]) == (2, 4), "the middle one had been sent: it counts"
    assert isinstance(answers[1], asyncio.CancelledError)
    assert await scripts["count"](keys=["x"]) == 5


async def test_scripts_that_the_server_forgot_are_run_once_each(client: redis.Redis, scripts: redis.Scripts) -> None:
    await scripts["count"](keys=["x"])
    await client.script_flush()
    answers = await asyncio.gather(*(scripts["count"](keys=["x"]) for _ in range(20)))
    assert sorted(answers) == list(range(2, 22))


async def test_a_connection_that_was_cut_is_made_anew(client: redis.Redis, scripts: redis.Scripts) -> None:
    await scripts["count"](keys=["x"])
    (mine,) = await connections(client)
    await client.client_kill_filter(_id=mine["id"])
    await asyncio.sleep(0.05)
    assert await scripts["count"](keys=["x"]) == 2


async def test_the_user_and_the_database_are_those_of_the_url(
    client: redis.Redis, scripts: redis.Scripts, redis_url: str
) -> None:
    await scripts["count"](keys=["x"])
    (mine,) = await connections(client)
    assert mine["user"] == "admin"
    assert mine["db"] == redis_url.rpartition("/")[2] != "0"


async def test_a_wrong_password_is_told(redis_url: str, package: str) -> None:
    scheme, _, rest = redis_url.partition("://")
    async with redis.connect(f"{scheme}://admin:wrong@{rest.rpartition('@')[2]}") as client:
        with pytest.raises(errors.ConnectionError, match="password"):
            await redis.load_scripts(client, package)["count"](keys=["x"])


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(handler: Handler, package: str) -> AsyncIterator[redis.Scripts]:
    """Scripts on a server of our own that speaks to every connection as ``handler`` does."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2"
    async with server, redis.connect(url, timeout_seconds=0.2) as client:
        yield redis.load_scripts(client, package)


async def commands(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """One item for each command that arrives."""
    while header := await reader.readline():
        words = []
        for _ in range(int(header[1:])):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        yield b" ".join(words)


async def test_a_server_that_dies_in_the_middle_fails_what_it_has_not_answered_and_is_sent_nothing_twice(
    package: str,
) -> None:
    seen: list[bytes] = []

    async def die_after_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for command in commands(reader):
            seen.append(command)
            if len(seen) == 3:
                return
            writer.write(b":%d\r\n" % len(seen))

    async with a_server(die_after_two, package) as scripts:
        answers = await asyncio.gather(*(scripts["count"](keys=["x"]) for _ in range(5)), return_exceptions=True)
    assert answers[:2] == [1, 2]
    assert all(isinstance(answer, errors.ConnectionError) and is_outage(answer) for answer in answers[2:])
    assert len(seen) == 3


async def test_a_server_that_falls_silent_fails_all_that_wait_and_is_left(package: str) -> None:
    connected = 0

    async def answer_only_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        is_first = connected == 1
        async for _ in commands(reader):
            if not is_first:
                writer.write(b":7\r\n")

    async with a_server(answer_only_the_second, package) as scripts:
        answers = await asyncio.gather(*(scripts["count"](keys=["x"]) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [errors.TimeoutError] * 3
        assert await scripts["count"](keys=["x"]) == 7


async def test_a_server_that_became_a_replica_is_left_for_whoever_answers_there_now(package: str) -> None:
    connected = 0

    async def refuse_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        answer = b"-READONLY You can't write against a read only replica.\r\n" if connected == 1 else b":1\r\n"
        async for _ in commands(reader):
            writer.write(answer)

    async with a_server(refuse_once, package) as scripts:
        with pytest.raises(errors.ReadOnlyError):
            await scripts["count"](keys=["x"])
        assert await scripts["count"](keys=["x"]) == 1


async def test_an_answer_nobody_asked_for_ends_the_connection(package: str) -> None:
    async def say_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for _ in commands(reader):
            writer.write(b":1\r\n:2\r\n")

    async with a_server(say_too_much, package) as scripts:
        assert await scripts["count"](keys=["x"]) == 1
        await asyncio.sleep(0.05)
        assert await scripts["count"](keys=["x"]) == 1, "not the answer that was left over"


async def test_a_process_that_stalled_finds_the_answer_and_takes_it(scripts: redis.Scripts) -> None:
    await scripts["count"](keys=["x"])
    call = asyncio.create_task(scripts["count"](keys=["x"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(2.2)  # noqa: ASYNC251 - longer than the timeout: the answer came meanwhile
    assert await call == 2


# --- A cluster


@pytest.fixture(scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[RedisServer]]:
    async with redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


async def test_every_node_of_a_cluster_is_asked_over_one_connection(nodes: list[RedisServer], package: str) -> None:
    keys = [f"{{{number}}}" for number in range(300)]
    async with redis.connect(cluster_url(nodes)) as client:
        echo = redis.load_scripts(client, package)["echo"]
        await asyncio.gather(*(echo(keys=[key], args=["warm"]) for key in keys[:10]))
        answers = await asyncio.gather(*(echo(keys=[key], args=[key]) for key in keys))
        assert answers == [[key.encode()] for key in keys]
        for node in nodes:
            before = await _stat(node, "total_connections_received")
            await asyncio.gather(*(echo(keys=[key], args=[key]) for key in keys))
            assert await _stat(node, "total_connections_received") == before


async def test_a_slot_that_moved_is_asked_for_where_it_is_now(nodes: list[RedisServer], package: str) -> None:
    key = "{moving}"
    here = await node_of(nodes, key)
    there = next(node for node in nodes if node is not here)
    async with redis.connect(cluster_url(nodes)) as client:
        echo = redis.load_scripts(client, package)["echo"]
        await echo(keys=[key], args=["before"])
        await move_slot(nodes, key, there)
        assert await echo(keys=[key], args=["after"]) == [b"after"]
        before = await _calls(here)
        assert await echo(keys=[key], args=["again"]) == [b"again"]
        assert await _calls(here) == before, "the node that has it no more is not asked again"


async def _stat(node: RedisServer, name: str) -> int:
    return int((await node.client.info("stats"))[name])


async def _calls(node: RedisServer) -> int:
    """Scripts this node was asked to run, those it sent elsewhere included."""
    found = (await node.client.info("commandstats")).get("cmdstat_evalsha", {})
    return int(found.get("calls", 0)) + int(found.get("rejected_calls", 0))
