"""The operator while something it needs is away, and after it came back. No sale waits for it."""

import asyncio

import pytest
from redis.asyncio import Redis
from tests.integration.operator.stage import Door, Stage, begin_line, until

from tiketi_local.world import World
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys

pytestmark = pytest.mark.usefixtures("operator")


async def test_an_operator_without_api_server_picks_up_where_the_clock_is(world: World, stage: Stage) -> None:
    opens_in = 4
    opens_at = asyncio.get_running_loop().time() + opens_in
    name = await stage.event(opens_in=opens_in, capacity={"lane": "Shared", "prewarmLeadTime": "1h"})
    await stage.until_condition(name, "Armed", "True")
    world.kill("kube-apiserver")
    await asyncio.sleep(opens_at - asyncio.get_running_loop().time())
    await world.up("kubernetes")

    async def is_on_sale() -> bool:
        return (await stage.status(name)).get("phase") == "OnSale"

    await until(is_on_sale, "the phase is right")
    later = await stage.event()
    await stage.until_condition(later, "Ready", "True")
    route = await stage.child(later, "VirtualService")
    assert route is not None
    await stage.cluster.delete("networking.istio.io/v1", "VirtualService", route["metadata"]["name"], "tiketi-system")

    async def is_back() -> bool:
        return await stage.child(later, "VirtualService") is not None

    await until(is_back, "children are watched as before")


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


async def test_an_event_whose_line_was_lost_says_that_buyers_are_turned_away(redis: Redis, stage: Stage) -> None:
    name = await stage.event()
    await stage.until_condition(name, "Ready", "True")
    event = event_id(stage.namespace, name)
    await redis.hset(EventKeys(event).epoch, "run_id", "0" * 40)
    await stage.event(name, title="Looked at again")
    lost = await stage.until_condition(name, "QueueReady", "False", "Recovering")
    assert "503" in lost["message"]
    assert (await stage.condition(name, "Ready"))["reason"] == "Recovering"
    await begin_line(redis, event)
    await stage.until_condition(name, "QueueReady", "True", "Adopted")
