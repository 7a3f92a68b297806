"""The whole stats service on real stores: messages in, status.sales, numbers and metrics out."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis
from tests.integration.conftest import MakeDatabase
from tests.integration.serving import serve_app
from tests.integration.stats.on_sale import CAPACITY, PRICE, Order, register

from tiketi_local.kubernetes import kubeconfig as kubeconfig_of
from tiketi_local.world import World
from tiketi_runtime.contracts.identity import PUBLIC, EventId, event_id
from tiketi_runtime.contracts.messages import Message, encode_message
from tiketi_runtime.contracts.redis_keys import EVENTS
from tiketi_runtime.kubernetes import Cluster, Manifest
from tiketi_runtime.rabbitmq import Broker, NobodyListens
from tiketi_runtime.security import TokenSigner
from tiketi_services.stats.app import build_app
from tiketi_services.stats.settings import StatsSettings

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "first-sale.yaml"
WRITE_INTERVAL = timedelta(seconds=1)


@dataclass(frozen=True)
class Stats:
    """A running stats service and what is around it."""

    http: aiohttp.ClientSession
    broker: Broker
    redis: Redis
    signer: TokenSigner

    async def send(self, *messages: Message) -> None:
        for message in messages:
            await eventually(partial(self._is_sent, message))

    async def _is_sent(self, message: Message) -> bool:
        try:
            await self.broker.publish(encode_message(message), message.model_dump()["key"], str(message.id))
        except NobodyListens:
            return False  # the service is still binding its queue
        return True

    async def ask(self, event: EventId, role: str | None = None, namespace: str = "") -> tuple[int, dict[str, Any]]:
        headers = {}
        if role is not None:
            claims = {"sub": "u", "roles": [{"role": role, "namespaces": [namespace]}]}
            headers["authorization"] = f"Bearer {self.signer.sign('at+jwt', claims, timedelta(minutes=1))}"
        async with self.http.get(f"/stats/events/{event}", headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture(scope="module")
async def stats(
    world: World,
    kubeconfig: Path,
    database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stats]:
    signer = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    jwks = tmp_path_factory.mktemp("auth") / "jwks.json"
    jwks.write_text(json.dumps(signer.jwks()))
    settings = StatsSettings(
        database_url=await database("stats"),
        redis_url=redis_url,
        amqp_url=amqp_url,
        auth_jwks_url=f"file://{jwks}",
        kubeconfig=kubeconfig_of(world.site, "stats"),
        read_interval=timedelta(milliseconds=50),
        write_interval=WRITE_INTERVAL,
    )
    async with (
        serve_app(build_app(settings)) as url,
        aiohttp.ClientSession(url) as http,
        Broker(amqp_url, "ticket") as broker,
        Redis.from_url(redis_url) as redis,
    ):
        yield Stats(http, broker, redis, signer)


@pytest.fixture(scope="module")
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with await Cluster.connect(kubeconfig) as connected:
        yield connected


@pytest.fixture(scope="module")
async def namespace(cluster: Cluster) -> AsyncIterator[str]:
    name = f"stats-{secrets.token_hex(4)}"
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await cluster.delete("v1", "Namespace", name)


@pytest.fixture
async def event(stats: Stats, cluster: Cluster, namespace: str) -> AsyncIterator[EventId]:
    """A TicketEvent that is registered in Redis."""
    [manifest] = [item for item in yaml.safe_load_all(EXAMPLE.read_text()) if item["kind"] == "TicketEvent"]
    name = f"sale-{secrets.token_hex(3)}"
    manifest["metadata"] = {"name": name, "namespace": namespace}
    await cluster.create(manifest)
    registered = event_id(namespace, name)
    await register(stats.redis, registered)
    yield registered
    await stats.redis.srem(EVENTS, registered)
    await cluster.delete(manifest["apiVersion"], "TicketEvent", name, namespace)


async def status_of(cluster: Cluster, event: EventId) -> Manifest:
    namespace, name = event.split("/")
    found = await cluster.get("tiketi.dev/v1alpha1", "TicketEvent", name, namespace)
    assert found is not None
    return found


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await condition():  # noqa: ASYNC110 (what is awaited is in another process)
            await asyncio.sleep(0.05)


async def test_a_paid_order_shows_in_the_status_of_its_event(stats: Stats, cluster: Cluster, event: EventId) -> None:
    keys = await register(stats.redis, event)
    await stats.redis.zadd(keys.line(PUBLIC).waiting, {"anna": 1, "boris": 2})
    paid, left, refused = Order(event, "ST-0001", "ST-0002"), Order(event, "ST-0003"), Order(event, "ST-0004")
    await stats.send(paid.issued, paid.placed, paid.settled, left.closed, left.placed, refused.placed, refused.refused)

    async def shows() -> bool:
        sales = (await status_of(cluster, event)).get("status", {}).get("sales", {})
        sales.pop("updatedAt", None)
        return bool(
            sales
            == {
                "waiting": 2,
                "active": 0,
                "held": 1,
                "sold": 2,
                "remaining": CAPACITY - 3,
                "revenue": 2 * PRICE,
                "admittedPerMinute": 0,
            }
        )

    await eventually(shows)


async def test_only_the_sales_of_the_status_are_written(stats: Stats, cluster: Cluster, event: EventId) -> None:
    async def is_written() -> bool:
        return "sales" in (await status_of(cluster, event)).get("status", {})

    await eventually(is_written)
    managers = (await status_of(cluster, event))["metadata"]["managedFields"]
    [own] = [entry for entry in managers if entry["manager"] == "tiketi-stats"]
    assert own["subresource"] == "status"
    assert set(own["fieldsV1"]) == {"f:status"}
    assert set(own["fieldsV1"]["f:status"]) == {"f:sales"}


async def test_the_status_of_a_busy_sale_is_written_once_in_an_interval(
    stats: Stats, cluster: Cluster, event: EventId
) -> None:
    keys = await register(stats.redis, event)
    versions = set()
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() < began + 4 * WRITE_INTERVAL.total_seconds():
        await stats.redis.zadd(keys.line(PUBLIC).waiting, {secrets.token_hex(4): 1})
        found = await status_of(cluster, event)
        if "sales" in found.get("status", {}):
            versions.add(found["metadata"]["resourceVersion"])
        await asyncio.sleep(0.02)
    assert 3 <= len(versions) <= 5


async def test_a_status_that_says_the_same_is_not_written_again(stats: Stats, cluster: Cluster, event: EventId) -> None:
    async def is_written() -> bool:
        return "sales" in (await status_of(cluster, event)).get("status", {})

    await eventually(is_written)
    before = await status_of(cluster, event)
    await asyncio.sleep(2.5 * WRITE_INTERVAL.total_seconds())
    assert (await status_of(cluster, event))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_everybody_sees_the_numbers_and_only_those_who_run_the_event_its_money(
    stats: Stats, event: EventId, namespace: str
) -> None:
    order = Order(event, "ST-0001")
    await stats.send(order.placed, order.settled, order.issued)

    async def is_sold() -> bool:
        return (await stats.ask(event))[1].get("sold") == 1

    await eventually(is_sold)
    _, public = await stats.ask(event)
    assert (public["event"], public["remaining"], public["held"]) == (event, CAPACITY - 1, 0)
    for role, covered in (("organiser", namespace), ("sre", "*")):
        _, seen = await stats.ask(event, role, covered)
        assert (seen["money"]["revenue"], seen["money"]["currency"]) == (PRICE, "KRW")
    for answer in (
        public,
        (await stats.ask(event, "buyer", "*"))[1],
        (await stats.ask(event, "organiser", "another"))[1],
    ):
        assert "money" not in answer


async def test_an_unknown_event_and_a_false_token_are_refused(stats: Stats, event: EventId) -> None:
    status, problem = await stats.ask(event_id("demo", "never"))
    assert (status, problem["code"]) == (404, "unknown-event")
    async with stats.http.get(f"/stats/events/{event}", headers={"authorization": "Bearer x.y.z"}) as answer:
        assert answer.status == 401


async def test_metrics_speak_of_registered_events_only(stats: Stats, event: EventId) -> None:
    name = event.split("/")[1]

    async def metrics() -> str:
        async with stats.http.get("/metrics") as answer:
            return await answer.text()

    async def is_there() -> bool:
        return f'event="{name}"' in await metrics()

    async def is_gone() -> bool:
        return not await is_there()

    await eventually(is_there)
    await stats.redis.srem(EVENTS, event)
    await eventually(is_gone)


async def test_an_event_without_an_object_is_counted_all_the_same(stats: Stats) -> None:
    gone = event_id("demo", f"gone-{secrets.token_hex(3)}")
    await register(stats.redis, gone)

    async def is_counted() -> bool:
        return (await stats.ask(gone))[0] == 200

    await eventually(is_counted)
    await stats.redis.srem(EVENTS, gone)


async def test_a_sheet_that_cannot_be_read_hinders_no_other_event(stats: Stats, event: EventId) -> None:
    broken = event_id("demo", f"broken-{secrets.token_hex(3)}")
    keys = await register(stats.redis, broken)
    await stats.redis.set(keys.sheet, "{}")
    await stats.redis.zadd((await register(stats.redis, event)).line(PUBLIC).waiting, {"anna": 1})

    async def is_counted() -> bool:
        return (await stats.ask(event))[1].get("waiting") == 1

    await eventually(is_counted)
    assert (await stats.ask(broken))[0] == 404
    await stats.redis.srem(EVENTS, broken)


async def test_the_service_is_ready_and_alive(stats: Stats) -> None:
    for path in ("/healthz", "/readyz"):
        async with stats.http.get(path) as answer:
            assert answer.status == 200
