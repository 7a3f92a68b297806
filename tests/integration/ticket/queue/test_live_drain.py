"""A pod is asked to stop in the middle of a sale: its clients move to another one by themselves and lose nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import socketio
from tests.integration.ticket.queue.pods import Pods, a_front_door
from tests.integration.ticket.queue.service import PATIENCE
from tests.integration.ticket.sales.a_sale import a_sale, publish
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_services.ticket.queue.push.sockets import NAMESPACE

CLIENTS = 25


@dataclass
class Client:
    """The standard client with a place, as it comes."""

    socket: socketio.AsyncClient = field(
        default_factory=lambda: socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.5)
    )
    places: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)

    async def open(self, url: str, path: str, auth: dict[str, Any]) -> None:
        self.socket.on("place", self.places.append, namespace=NAMESPACE)
        self.socket.on("state", self.states.append, namespace=NAMESPACE)
        await self.socket.connect(
            url, socketio_path=path, transports=["websocket"], namespaces=[NAMESPACE], auth=auth, wait_timeout=10
        )


async def test_clients_move_to_another_pod_and_keep_their_places(pods: Pods) -> None:
    service, first, second = pods.service, pods.first, pods.second
    names = [f"mover-{number}" for number in range(CLIENTS)]
    async with a_front_door(first.url) as door:
        clients = [Client() for _ in names]
        for client, name in zip(clients, names, strict=True):
            auth = await service.credentials("demo/moving", name)
            await client.open(door.url, "/events/demo/moving/live/", auth)
        door.target = second.url
        first.ask_to_stop()
        async with asyncio.timeout(PATIENCE):
            while not all(len(client.places) == 2 for client in clients):  # noqa: ASYNC110 - they count for themselves
                await asyncio.sleep(0.05)
        await asyncio.wait_for(first.work, PATIENCE)
        assert [client.places for client in clients] == [[{"seq": n, "place": n}] * 2 for n in range(1, CLIENTS + 1)]
        assert all(client.socket.connected for client in clients)
        waiting = EventKeys(event_id("demo", "moving")).line(PUBLIC).waiting
        assert await service.redis.zrange(waiting, 0, -1) == [name.encode() for name in names]
        heard = [len(client.states) for client in clients]
        sale = a_sale("moving", version=2, opens_in=timedelta(minutes=10), message="Moved")
        await publish(service.redis, sale)
        async with asyncio.timeout(PATIENCE):
            while not all(client.states[-1]["message"] == "Moved" for client in clients):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert all(len(client.states) > before for client, before in zip(clients, heard, strict=True))
        for client in clients:
            await client.socket.disconnect()


async def test_a_draining_pod_takes_no_new_connection_and_answers_http(pods: Pods) -> None:
    service, first = pods.service, pods.first
    watchers = [await connect(service.live_url("demo/moving"), compression=None) for _ in range(60)]
    first.ask_to_stop()
    async with asyncio.timeout(PATIENCE):
        while (await service.get("/readyz")).status == 200:  # noqa: ASYNC110 - it says so when it is asked
            await asyncio.sleep(0.01)
    assert (await service.get("/events/demo/moving/queue/public/state")).status == 200
    with pytest.raises(InvalidStatus) as refused:
        await connect(service.live_url("demo/moving"))
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["retry-after"] == "1"
    for watcher in watchers:
        await watcher.close()
