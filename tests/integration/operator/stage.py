"""A stage for the real operator process: stand-ins for the ticket service and the gateway, and ways to look on."""

import asyncio
import base64
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from redis.asyncio import Redis

from tiketi_operator.manifests.metadata import EVENT_NAME, MANAGED_BY, MANAGER, child_labels
from tiketi_operator.plan import CHILD_KINDS
from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.kubernetes import Cluster, Manifest

PLATFORM = "tiketi-system"
API = "tiketi.dev/v1alpha1"
LIMIT = 5000
"""Requests a second of the default policy's limit for one event."""
PATIENCE = 90
"""Seconds to wait for what must happen, on a machine that is busy with other things."""
SLEEP = 600
"""Seconds the operator sleeps when nothing wakes it. Far more than ``PATIENCE``: what comes was woken."""


async def until(holds: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Wait until it holds and return what it says; fails with ``what``."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not (found := await holds()):
        assert asyncio.get_running_loop().time() < deadline, f"after {PATIENCE} s still not: {what}"
        await asyncio.sleep(0.05)
    return found


class Operator:
    """The operator as a process of its own, with its own rights."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    async def start(self) -> None:
        """Returns when /healthz answers."""
        port = _free_port()
        environment = {**os.environ, **self._environment, "TIKETI_OPERATOR_PORT": str(port)}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tiketi_operator", env=environment, stdout=log, stderr=log
            )
        await until(lambda: _is_healthy(port), "the operator is healthy")

    async def stop(self) -> None:
        """SIGTERM; it has to end in good order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                assert await self._process.wait() == 0
            self._process = None


async def value_of(redis: Redis, key: str) -> bytes:
    """The value of a key that has to be there."""
    value = await redis.get(key)
    assert isinstance(value, bytes), f"{key}: {value!r}"
    return value


async def _is_healthy(port: int) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            return answer.status == 200
    return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.asynccontextmanager
async def stand_ins(redis: Redis) -> AsyncIterator[str]:
    """Adopt every sheet as ticket does, and answer for adopted events as the gateway does; yields the gateway's URL."""

    async def show(request: web.Request) -> web.Response:
        event = event_id(request.match_info["namespace"], request.match_info["name"])
        if not await redis.exists(EventKeys(event).adopted):
            return web.json_response({}, status=404)
        return web.json_response({"event": event}, headers={"x-ratelimit-limit": str(LIMIT)})

    app = web.Application()
    app.add_routes([web.get("/events/{namespace}/{name}", show)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = _free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    adopting = asyncio.create_task(_adopt_for_ever(redis))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        while not adopting.done():  # a client of Redis that is just timing out may swallow it
            adopting.cancel()
            await asyncio.wait([adopting], timeout=1)
        await runner.cleanup()


async def begin_line(redis: Redis, event: EventId) -> None:
    """Begin the event's line on this server, as ticket does once."""
    server = await redis.info("server")
    await redis.hset(EventKeys(event).epoch, mapping={"epoch": 1, "run_id": server["run_id"]})


async def _adopt_for_ever(redis: Redis) -> None:
    while True:
        for event in cast(set[bytes], await redis.smembers(EVENTS)):
            keys = EventKeys(EventId(event.decode()))
            version = await redis.get(keys.sheet_version)
            if version is not None:
                if not await redis.exists(keys.adopted):
                    await begin_line(redis, keys.event)
                await redis.set(keys.adopted, version)
        await asyncio.sleep(0.05)


class Door:
    """The operator's way to Redis, which can be shut without anybody else noticing."""

    def __init__(self, redis_url: str) -> None:
        self._inside = urlsplit(redis_url)
        self._port = _free_port()
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Redis through the door."""
        login = self._inside.netloc.rpartition("@")[0]
        return self._inside._replace(netloc=f"{login}@127.0.0.1:{self._port}").geturl()

    async def open(self) -> None:
        """Let through."""
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self._port)

    async def shut(self) -> None:
        """Let nobody in, and throw everybody out."""
        if self._server is not None:
            self._server.close()
            for writer in self._passing:
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self._inside.hostname, self._inside.port)
        ends = {writer, inner_writer}
        self._passing |= ends
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        self._passing -= ends


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Stage:
    """One organiser's namespace, and everything the operator makes of it."""

    def __init__(self, cluster: Cluster, redis: Redis, namespace: str) -> None:
        self.cluster = cluster
        self.redis = redis
        self.namespace = namespace

    async def policy(self, name: str, **spec: Any) -> None:
        """Apply a QueuePolicy."""
        await self.cluster.apply({**self._object("QueuePolicy", name), "spec": spec}, "test")

    async def event(self, name: str = "", opens_in: float = 3600, **changes: Any) -> str:
        """Apply a TicketEvent that opens so many seconds from now; returns its name."""
        name = name or f"e-{secrets.token_hex(3)}"
        opens = datetime.now(UTC) + timedelta(seconds=opens_in)
        sale = {"opensAt": opens.isoformat(), "closesAt": (opens + timedelta(hours=1)).isoformat()}
        spec = {
            "title": name,
            "venue": {"name": "Blue Hall", "timeZone": "Asia/Seoul"},
            "startsAt": (opens + timedelta(days=30)).isoformat(),
            "sale": {**sale, **changes.pop("sale", {})},
            "seating": {"sections": [{"name": "A", "price": 1000, "capacity": 10}]},
            "queuePolicyRef": {"name": "line"},
            "capacity": {"lane": "Shared", "minReplicas": 1, "peakReplicas": 2, "maxReplicas": 4},
            "routing": {"host": "tickets.example.com"},
            **changes,
        }
        await self.cluster.apply({**self._object("TicketEvent", name), "spec": spec}, "test")
        return name

    async def secret(self, name: str, data: Mapping[str, bytes]) -> None:
        """Apply a Secret."""
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace}}
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        await self.cluster.apply({**manifest, "data": encoded}, "test")

    async def annotate(self, name: str, **annotations: str) -> None:
        """Set annotations of an event, by the part after ``tiketi.dev/``."""
        wanted = {f"tiketi.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        manifest = self._object("TicketEvent", name)
        manifest["metadata"]["annotations"] = wanted
        await self.cluster.merge(manifest)

    async def delete(self, name: str) -> None:
        """Ask for an event to be deleted."""
        await self.cluster.delete(API, "TicketEvent", name, self.namespace)

    async def get(self, name: str) -> Manifest | None:
        """The event as stored."""
        return await self.cluster.get(API, "TicketEvent", name, self.namespace)

    async def status(self, name: str) -> dict[str, Any]:
        """Its status; empty if there is none."""
        return dict((await self.get(name) or {}).get("status", {}))

    async def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition; empty while it is not written."""
        conditions = (await self.status(name)).get("conditions", [])
        return next((found for found in conditions if found["type"] == kind), {})

    async def until_condition(self, name: str, kind: str, status: str, reason: str = "") -> Any:
        """Wait for a condition; returns it."""

        async def holds() -> Any:
            found = await self.condition(name, kind)
            return found if found.get("status") == status and found.get("reason", "").startswith(reason) else None

        return await until(holds, f"{kind} of {name} is {status} {reason}")

    async def until_phase(self, name: str, phase: str) -> None:
        """Wait for a phase."""

        async def holds() -> bool:
            return bool((await self.status(name)).get("phase") == phase)

        await until(holds, f"the phase of {name} is {phase}")

    async def until_gone(self, name: str) -> None:
        """Wait until the event does not exist any more."""

        async def is_gone() -> bool:
            return await self.get(name) is None

        await until(is_gone, f"{name} is gone")

    async def children(self, name: str) -> list[Manifest]:
        """All objects labelled with the event."""
        labels = child_labels(event_id(self.namespace, name))
        return [
            child
            for api_version, kind in CHILD_KINDS
            for child in await self.cluster.list_all(api_version, kind, PLATFORM, labels)
        ]

    async def child(self, name: str, kind: str) -> Manifest | None:
        """The event's child of a kind."""
        return next((child for child in await self.children(name) if child["kind"] == kind), None)

    async def shared(self) -> list[Manifest]:
        """The objects all events have in common."""
        labels = {MANAGED_BY: MANAGER}
        return [
            found
            for api_version, kind in CHILD_KINDS
            for found in await self.cluster.list_all(api_version, kind, PLATFORM, labels)
            if EVENT_NAME not in found["metadata"]["labels"]
        ]

    async def keys(self, name: str) -> set[bytes]:
        """All Redis keys of the event."""
        pattern = EventKeys(event_id(self.namespace, name)).pattern
        return {key async for key in self.redis.scan_iter(match=pattern)}

    async def told(self, name: str) -> Counter[str]:
        """Reasons of the Kubernetes Events about the event, and how often each was posted."""
        events = await self.cluster.list_all("v1", "Event", self.namespace)
        return Counter(event["reason"] for event in events if event["involvedObject"]["name"] == name)

    async def until_told(self, name: str, *reasons: str) -> None:
        """Wait for Kubernetes Events: they are posted beside everything else."""

        async def are_posted() -> bool:
            return set(reasons) <= (await self.told(name)).keys()

        await until(are_posted, f"Kubernetes Events {reasons} about {name}")

    def _object(self, kind: str, name: str) -> Manifest:
        return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": self.namespace}}
