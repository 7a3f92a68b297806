"""What the operator writes into the API is what the front door does."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, TCPConnector, web
from yarl import URL

from tiketi_local.site import CHECKOUT
from tiketi_local.world import World
from tiketi_operator.manifests.metadata import Place
from tiketi_operator.manifests.rate_limit import event_rate_limit
from tiketi_operator.manifests.virtual_service import virtual_service
from tiketi_runtime.contracts.sale_sheet import RateLimit, RateLimits
from tiketi_runtime.contracts.ticket_event import TicketEvent
from tiketi_runtime.kubernetes import Cluster, Manifest

PLACE = Place("tiketi-system", "ticket")
MANAGER = "test"
PARTS = ("envoy", "front-door")
TEN_SECONDS = timedelta(seconds=10)
PLENTY = RateLimit(requests=100_000, per=TEN_SECONDS)
FEW = RateLimit(requests=3, per=TEN_SECONDS)

PutOnSale = Callable[[RateLimits, str], Awaitable[str]]
"""From limits and a destination Service to the event's path, once the front door knows it."""


@pytest.fixture(scope="module")
async def door(world: World, kubeconfig: Path) -> AsyncIterator[World]:
    """The world with API server, Envoy and the front door's process; a stand-in answers for ticket."""
    runner = web.AppRunner(_stand_in())
    try:
        for part in PARTS:
            await world.start(part)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", world.site.port("ticket")).start()
        yield world
    finally:
        await runner.cleanup()
        for part in reversed(PARTS):
            await world.stop(part)


def _stand_in() -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "upgrade" not in request.headers:
            return web.Response(text=f"ticket {request.path}")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(f"live {request.path}")
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@pytest.fixture(scope="module")
async def cluster(door: World) -> AsyncIterator[Cluster]:
    async with await Cluster.connect(door.kubeconfig) as cluster:
        yield cluster


@pytest.fixture
async def put_on_sale(door: World, cluster: Cluster) -> AsyncIterator[PutOnSale]:
    applied: list[Manifest] = []

    async def put(limits: RateLimits, destination: str) -> str:
        event = _event(f"e-{secrets.token_hex(3)}")
        applied.append(virtual_service(event, destination, PLACE))
        applied.append(event_rate_limit(event.id, limits, PLACE))
        for manifest in applied[-2:]:
            await cluster.apply(manifest, MANAGER)
        path = f"/events/{event.id}"
        await _until_known(door, path)
        return path

    yield put
    for manifest in applied:
        metadata = manifest["metadata"]
        await cluster.delete(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata["namespace"])


def _event(name: str) -> TicketEvent:
    documents = yaml.safe_load_all((CHECKOUT / "examples" / "first-sale.yaml").read_text(encoding="utf-8"))
    document: dict[str, Any] = next(item for item in documents if item["kind"] == "TicketEvent")
    document["metadata"]["name"] = name
    return TicketEvent.from_body(document)


async def _until_known(door: World, path: str) -> None:
    """Until Envoy itself, not only the file, has the path among its routes."""
    async with asyncio.timeout(30), ClientSession(door.url("front-admin")) as admin:
        while True:
            async with admin.get("/config_dump?resource=dynamic_route_configs") as answer:
                if path in await answer.text():
                    return
            await asyncio.sleep(0.05)


async def statuses(session: ClientSession, path: str, count: int, token: str = "anna") -> list[int]:
    found = []
    for _ in range(count):
        async with session.get(path, headers={"authorization": f"Bearer {token}"}) as answer:
            found.append(answer.status)
    return found


async def test_an_events_requests_and_live_connections_reach_ticket(door: World, put_on_sale: PutOnSale) -> None:
    path = await put_on_sale(RateLimits(per_event=PLENTY), "ticket")
    async with ClientSession(door.url("front")) as session:
        async with session.get(f"{path}/seats") as answer:
            assert await answer.text() == f"ticket {path}/seats"
        async with session.ws_connect(f"{path}/live/?EIO=4") as socket:
            assert await socket.receive_str() == f"live {path}/live/"


async def test_a_buyer_beyond_the_limit_is_told_when_to_come_back(door: World, put_on_sale: PutOnSale) -> None:
    path = await put_on_sale(RateLimits(per_event=PLENTY, per_buyer=FEW), "ticket")
    async with ClientSession(door.url("front")) as session:
        assert await statuses(session, path, 3) == [200, 200, 200]
        async with session.get(path, headers={"authorization": "Bearer anna"}) as answer:
            assert answer.status == 429
            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["code"] == "rate-limited"
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["x-ratelimit-limit"].startswith("3")
            assert answer.headers["x-ratelimit-remaining"] == "0"


async def test_another_buyer_is_not_limited_by_the_first(door: World, put_on_sale: PutOnSale) -> None:
    path = await put_on_sale(RateLimits(per_event=PLENTY, per_buyer=FEW), "ticket")
    async with ClientSession(door.url("front")) as session:
        assert 429 in await statuses(session, path, 5, token="anna")
        assert await statuses(session, path, 3, token="boris") == [200, 200, 200]


async def test_another_address_is_not_limited_by_the_first(door: World, put_on_sale: PutOnSale) -> None:
    path = await put_on_sale(RateLimits(per_event=PLENTY, per_address=FEW), "ticket")
    async with ClientSession(door.url("front")) as session:
        assert 429 in await statuses(session, path, 5)
    elsewhere = TCPConnector(local_addr=("127.0.0.77", 0))
    async with ClientSession(door.url("front"), connector=elsewhere) as session:
        assert await statuses(session, path, 3) == [200, 200, 200]


async def test_one_events_limit_does_not_touch_another_event(door: World, put_on_sale: PutOnSale) -> None:
    limited = await put_on_sale(RateLimits(per_event=FEW), "ticket")
    other = await put_on_sale(RateLimits(per_event=PLENTY), "ticket")
    async with ClientSession(door.url("front")) as session:
        assert 429 in await statuses(session, limited, 5)
        assert await statuses(session, other, 5) == [200] * 5


async def test_a_lane_that_has_no_pods_here_is_unavailable(door: World, put_on_sale: PutOnSale) -> None:
    path = await put_on_sale(RateLimits(per_event=PLENTY), "te-lane-without-pods")
    async with ClientSession(door.url("front")) as session, session.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "unavailable")


async def test_routes_stay_while_the_api_server_is_away_and_follow_it_when_it_is_back(
    door: World, put_on_sale: PutOnSale
) -> None:
    path = await put_on_sale(RateLimits(per_event=PLENTY), "ticket")
    door.kill("kube-apiserver")
    await asyncio.sleep(1.5)
    async with ClientSession(door.url("front")) as session:
        assert await statuses(session, path, 1) == [200]
    await door.up("kubernetes")
    assert await put_on_sale(RateLimits(per_event=PLENTY), "ticket") != path


async def test_the_origin_says_where_the_interfaces_are_described(door: World) -> None:
    async with ClientSession(door.url("front")) as session:
        async with session.get("/") as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
            documents = (await answer.json())["documents"]
        assert documents["auth"] == "/auth/openapi.json"
        async with session.get(documents["ticket"]) as answer:
            assert await answer.text() == "ticket /openapi.json"
        async with session.post("/") as answer:
            assert await answer.text() == "ticket /"


@pytest.mark.parametrize("path", ["/internal/orders/close", "/metrics", "/payments/../internal/orders/close"])
async def test_what_is_not_for_buyers_is_not_found(door: World, path: str) -> None:
    async with ClientSession() as session:
        url = f"{door.url('front')}{path}"
        async with session.get(URL(url, encoded=True)) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "not-found")
