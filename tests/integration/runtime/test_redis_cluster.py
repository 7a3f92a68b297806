"""The Redis client on a real cluster of three nodes: whatever works on one server works there."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisClusterException
from redis.exceptions import RedisError as AnyRedisError
from tests.integration.redis_servers import (
    RedisServer,
    cluster_url,
    free_port,
    move_slot,
    node_of,
    redis_cluster,
    serves_all_slots,
    until,
)

from tiketi_runtime import redis
from tiketi_runtime.outages import is_outage

PACKAGE = "a_package_with_scripts"
KEYS = [f"key-{number}" for number in range(30)]
RIGHTS = ("~tiketi:*", "&tiketi:*", "+@all", "-@admin", "-@dangerous", "+info")
"""Those of the ticket service."""


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[RedisServer]]:
    async with redis_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
async def client(servers: list[RedisServer]) -> AsyncIterator[redis.Redis]:
    async with redis.connect(cluster_url(servers[:1])) as client:
        await client.flushall()
        yield client


@pytest.fixture
def scripts(client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Scripts]:
    folder = tmp_path / PACKAGE / "lua"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "count.lua").write_text("return redis.call('INCR', KEYS[1])")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield redis.load_scripts(client, PACKAGE)
    sys.modules.pop(PACKAGE, None)


async def test_a_cluster_is_found_through_any_of_its_nodes(client: redis.Redis, servers: list[RedisServer]) -> None:
    for key in KEYS:
        await client.set(key, key)
    assert [await client.get(key) for key in KEYS] == [key.encode() for key in KEYS]
    assert all([await server.client.dbsize() for server in servers]), "each node has some"


async def test_a_pipeline_answers_in_order_from_every_node(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=False)
    for key in KEYS:
        pipeline.set(key, key)
        pipeline.get(key)
    assert (await pipeline.execute())[1::2] == [key.encode() for key in KEYS]


async def test_scripts_run_where_their_keys_are(client: redis.Redis, scripts: redis.Scripts) -> None:
    for _ in range(2):
        await asyncio.gather(*(scripts["count"](keys=[key]) for key in KEYS))
    assert {await client.get(key) for key in KEYS} == {b"2"}


async def test_a_script_the_nodes_forgot_is_loaded_again(client: redis.Redis, scripts: redis.Scripts) -> None:
    await scripts["count"](keys=["x"])
    await client.script_flush()
    assert await scripts["count"](keys=["x"]) == 2


async def test_keys_of_two_nodes_in_one_command_are_a_fault_of_ours(client: redis.Redis) -> None:
    with pytest.raises((RedisClusterException, AnyRedisError)) as caught:
        await client.eval("return 1", 2, "one", "another")
    assert not is_outage(caught.value)


async def test_more_commands_than_connections_wait_for_their_turn(client: redis.Redis) -> None:
    answers = await asyncio.gather(*(client.incr("x") for _ in range(1000)))
    assert sorted(answers) == list(range(1, 1001))


async def test_the_first_commands_may_come_all_at_once(servers: list[RedisServer]) -> None:
    async with redis.connect(cluster_url(servers)) as client:
        assert await asyncio.gather(*(client.exists(key) for key in KEYS)) == [0] * len(KEYS)


async def test_a_slot_that_moved_is_found_again(
    client: redis.Redis, scripts: redis.Scripts, servers: list[RedisServer]
) -> None:
    before = await node_of(servers, "wanderer")
    after = next(server for server in servers if server is not before)
    await client.get("wanderer")
    await move_slot(servers, "wanderer", after)
    try:
        assert await client.incr("wanderer") == 1
        assert await scripts["count"](keys=["wanderer"]) == 2
        assert await after.client.get("wanderer") == b"2"
    finally:
        await client.delete("wanderer")
        await move_slot(servers, "wanderer", before)


async def test_a_service_s_own_rights_are_enough(servers: list[RedisServer]) -> None:
    for server in servers:
        await server.client.execute_command("ACL SETUSER", "ticket", "on", ">pass/word", *RIGHTS)  # type: ignore[no-untyped-call]
    url = cluster_url(servers).replace("://", "://ticket:pass%2Fword@")
    async with redis.connect(url) as client:
        await client.set("tiketi:x", 1)
        with pytest.raises(AnyRedisError, match="permissions"):
            await client.set("auth:x", 1)


async def test_a_node_that_dies_is_an_outage_for_its_keys_alone_and_is_found_again(
    client: redis.Redis, servers: list[RedisServer]
) -> None:
    dead = await node_of(servers, "x")
    survivor, *_ = [key for key in KEYS if await node_of(servers, key) is not dead]
    await client.set("x", 1)
    await dead.kill()
    with pytest.raises(AnyRedisError) as caught:
        await client.get("x")
    assert is_outage(caught.value)
    await client.set(survivor, 1)
    assert await client.get(survivor) == b"1"
    await dead.start()
    await until(lambda: serves_all_slots(servers))
    await until(lambda: answers(client, "x"))
    assert await client.get("x") is None, "it kept nothing"


async def answers(client: redis.Redis, key: str) -> bool:
    try:
        await client.get(key)
    except AnyRedisError:
        return False
    return True


async def test_a_cluster_that_is_away_is_an_outage_and_found_once_it_is_there(servers: list[RedisServer]) -> None:
    async with redis.connect(f"redis+cluster://127.0.0.1:{free_port()}") as client:
        with pytest.raises(AnyRedisError) as caught:
            await client.get("x")
        assert is_outage(caught.value)
    unknown_first = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{servers[0].port}"
    async with redis.connect(unknown_first) as client:
        assert await client.ping()


async def test_a_client_that_is_closed_leaves_no_connection(servers: list[RedisServer]) -> None:
    await until(lambda: serves_all_slots(servers))
    before = [len(await server.client.client_list()) for server in servers]
    async with redis.connect(cluster_url(servers)) as client:
        await asyncio.gather(*(client.get(key) for key in KEYS))

    async def are_gone() -> bool:
        return [len(await server.client.client_list()) for server in servers] == before

    await until(are_gone)
