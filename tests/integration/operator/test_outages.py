"""The operator while something it needs is away, and after it came back. No sale waits for it."""

import asyncio

import pytest
from tests.integration.operator.stage import Door, Stage, until

from tiketi_local.world import World

pytestmark = pytest.mark.usefixtures("operator")


async def test_an_operator_without_api_server_picks_up_where_the_clock_is(world: World, stage: Stage) -> None:
    name = await stage.event(opens_in=8, capacity={"lane": "Shared", "prewarmLeadTime": "1h"})
    await stage.until_condition(name, "Armed", "True")
    world.kill("kube-apiserver")
    await asyncio.sleep(8)
    await world.up("kubernetes")

    async def is_on_sale() -> bool:
        return (await stage.status(name)).get("phase") == "OnSale"

    await until(is_on_sale, "the phase is right", seconds=20)
    later = await stage.event()
    await stage.until_condition(later, "Ready", "True")
    route = await stage.child(later, "VirtualService")
    assert route is not None
    await stage.cluster.delete("networking.istio.io/v1", "VirtualService", route["metadata"]["name"], "tiketi-system")

    async def is_back() -> bool:
        return await stage.child(later, "VirtualService") is not None

    await until(is_back, "children are watched as before", seconds=10)


async def test_an_event_says_that_redis_is_away_and_recovers(door: Door, stage: Stage) -> None:
    name = await stage.event()
    await stage.until_condition(name, "Ready", "True")
    await door.shut()
    await stage.event(name, title="Written meanwhile")
    away = await stage.until_condition(name, "QueueReady", "False", "RedisUnavailable")
    assert away["observedGeneration"] == 2
    assert (await stage.condition(name, "CapacityReady"))["status"] == "True"
    await door.open()
    await stage.until_condition(name, "Ready", "True")
