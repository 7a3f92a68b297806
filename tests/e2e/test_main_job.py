"""The main job: an event is applied, armed, opens by itself, sells out, and the books agree."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import redis.asyncio as redis

from tiketi_local.books import read_books
from tiketi_local.crowd.buyer import Step
from tiketi_local.demo import until_armed
from tiketi_local.world import World
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.kubernetes import Cluster

from . import sales

CHILD_KINDS = [
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.istio.io/v1", "VirtualService"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("networking.istio.io/v1alpha3", "EnvoyFilter"),
]


async def test_a_crowd_buys_the_house_empty_while_the_operator_restarts(world: World, cluster: Cluster) -> None:
    name = "restart"
    async with sales.crowd_for(world, name, 200) as crowd:
        await crowd.sign_up()
        opens_at = await sales.put_on_sale(cluster, name, timedelta(seconds=15))
        await until_armed(cluster, name)
        going = asyncio.create_task(crowd.go(sales.SECTIONS, within=8))
        await sales.sleep_until(opens_at + timedelta(seconds=3))
        await world.restart("operator")
        async with asyncio.timeout(180):
            await going
    sales.assert_well_served(crowd)
    books = await read_books(world, f"demo/{name}")
    assert books.mismatches() == []
    assert books.tickets == sum(len(b.seats) for b in crowd.buyers if b.step is Step.BOUGHT)
    assert books.tickets > sales.CAPACITY / 2

    async def is_reported() -> bool:
        event = await sales.event_of(cluster, name)
        return bool(event["status"].get("sales", {}).get("sold") == books.tickets)

    await sales.until(is_reported, "status.sales.sold is what was sold")
    event = await sales.event_of(cluster, name)
    assert event["status"]["sales"]["revenue"]
    assert event["status"]["phase"] in ("OnSale", "SoldOut")
    assert (await sales.condition(cluster, name, "Ready"))["status"] == "True"


async def test_the_sale_opens_on_time_with_operator_and_api_server_dead(world: World, cluster: Cluster) -> None:
    name = "alone"
    async with sales.crowd_for(world, name, 60) as crowd:
        await crowd.sign_up()
        opens_at = await sales.put_on_sale(cluster, name, timedelta(seconds=25))
        await until_armed(cluster, name)
        await sales.sleep_until(opens_at - timedelta(seconds=10))
        world.kill("operator")
        world.kill("kube-apiserver")
        async with asyncio.timeout(120):
            await crowd.go(sales.SECTIONS, within=8)
        sales.assert_well_served(crowd)
        assert crowd.steps()[Step.BOUGHT] > 20
    books = await read_books(world, f"demo/{name}")
    assert books.mismatches() == []
    await world.up("all")

    async def is_right() -> bool:
        status = (await sales.event_of(cluster, name))["status"]
        return status["phase"] in ("OnSale", "SoldOut") and status.get("sales", {}).get("sold") == books.tickets

    await sales.until(is_right, "the status tells what happened meanwhile", 60)


async def test_deleting_an_event_leaves_no_child_no_key_and_every_sold_row(world: World, cluster: Cluster) -> None:
    name = "deleted"
    keys = EventKeys(event_id("demo", name))
    await sales.put_on_sale(cluster, name, timedelta(seconds=6))
    await until_armed(cluster, name)
    async with sales.crowd_for(world, name, 12) as crowd:
        await crowd.sign_up()
        await crowd.go(sales.SECTIONS, within=2)
    sold = (await read_books(world, f"demo/{name}")).tickets
    assert sold > 0

    await cluster.delete("tiketi.dev/v1alpha1", "TicketEvent", name, "demo")

    async def is_refused() -> bool:
        event = await sales.event_of(cluster, name)
        return "tiketi.dev/confirm-delete" in str(event.get("status", {}).get("conditions", ""))

    await sales.until(is_refused, "a condition names the annotation that confirms the deletion")
    await cluster.merge(
        {
            "apiVersion": "tiketi.dev/v1alpha1",
            "kind": "TicketEvent",
            "metadata": {
                "name": name,
                "namespace": "demo",
                "annotations": {"tiketi.dev/confirm-delete": "test is over"},
            },
        }
    )

    async def is_gone() -> bool:
        return await cluster.get("tiketi.dev/v1alpha1", "TicketEvent", name, "demo") is None

    await sales.until(is_gone, "the event is gone", 60)
    labels = {"tiketi.dev/event-name": name, "tiketi.dev/event-namespace": "demo"}
    for api_version, kind in CHILD_KINDS:
        assert await cluster.list_all(api_version, kind, labels=labels) == []
    client = redis.Redis.from_url(world.admin_redis_url)
    assert [key async for key in client.scan_iter(match=keys.pattern)] == []
    assert not await client.sismember(EVENTS, keys.event)
    await client.aclose()
    ticket = await asyncpg.connect(world.database_url("ticket"))
    assert await ticket.fetchval("SELECT count(*) FROM tickets WHERE event = $1", keys.event) == sold
    await ticket.close()
