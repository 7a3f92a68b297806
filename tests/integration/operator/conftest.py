"""The operator on a real API server and a real Redis, beside stand-ins for the services."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.integration.operator.stage import SLEEP, Door, Operator, Stage, stand_ins

from tiketi_local import kubernetes
from tiketi_local.world import World
from tiketi_runtime.kubernetes import Cluster


@pytest.fixture(scope="module")
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    """The API server, as administrator."""
    async with await Cluster.connect(kubeconfig) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """The module's own Redis database."""
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(scope="module")
async def stage(cluster: Cluster, redis: Redis) -> AsyncIterator[Stage]:
    """An organiser's namespace with a policy named ``line``."""
    name = f"operator-{secrets.token_hex(3)}"
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    stage = Stage(cluster, redis, name)
    await stage.policy("line")
    yield stage
    await cluster.delete("v1", "Namespace", name)


@pytest.fixture(scope="module")
async def door(redis_url: str) -> AsyncIterator[Door]:
    """The operator's own way to Redis."""
    door = Door(redis_url)
    await door.open()
    yield door
    await door.shut()


@pytest.fixture(scope="module")
def operator_settings() -> dict[str, str]:
    """Environment variables that a module sets differently."""
    return {}


@pytest.fixture(scope="module")
async def operator(
    world: World,
    stage: Stage,
    redis: Redis,
    door: Door,
    operator_settings: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Operator]:
    """A running operator that looks after the namespace."""
    async with stand_ins(redis) as gateway_url:
        environment = {
            "TIKETI_OPERATOR_KUBECONFIG": str(kubernetes.kubeconfig(world.site, "operator")),
            "TIKETI_OPERATOR_WATCHED_NAMESPACES": stage.namespace,
            "TIKETI_OPERATOR_REDIS_URL": door.url,
            "TIKETI_OPERATOR_GATEWAY_URL": gateway_url,
            "TIKETI_OPERATOR_SETTLING_TIME": "5",
            "TIKETI_OPERATOR_LONGEST_SLEEP": str(SLEEP),
            **operator_settings,
        }
        operator = Operator(environment, tmp_path_factory.mktemp("operator") / "log")
        await operator.start()
        yield operator
        await _dismiss_all(stage)
        await operator.stop()


async def _dismiss_all(stage: Stage) -> None:
    """Finalizers go only while the operator runs."""
    for event in await stage.cluster.list_all("tiketi.dev/v1alpha1", "TicketEvent", stage.namespace):
        name = event["metadata"]["name"]
        await stage.annotate(name, confirm_delete="the test is over")
        await stage.delete(name)
        await stage.until_gone(name)
