"""Redis servers of a test's own: to be killed, emptied, replicated, or joined to a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tiketi_local import redis as local_redis

_SLOTS = 16384


@dataclass
class RedisServer:
    """One ``redis-server`` on a free port. What it saves (``SAVE``) survives ``kill`` and ``start``."""

    folder: Path
    options: Sequence[str] = ()
    port: int = 0
    client: Redis = field(init=False)
    _process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self.client = Redis(port=self.port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Raises TimeoutError if it does not answer in 10 s."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "", "daemonize": "no"}
        argv = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        self._process = await asyncio.create_subprocess_exec(
            str(local_redis.server()), *argv, *self.options, stdout=asyncio.subprocess.DEVNULL
        )
        await until(self._answers)

    async def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def forget(self) -> None:
        """Lose what was saved."""
        for file in self.folder.iterdir():
            file.unlink()

    async def close(self) -> None:
        await self.client.aclose()
        await self.kill()

    async def _answers(self) -> bool:
        try:
            return bool(await self.client.ping())
        except RedisError:
            return False

    async def part_from_primary(self) -> None:
        """Hear nothing more from the primary, without noticing: what comes later is not here."""
        await self.client.replicaof("127.0.0.1", 1)

    async def promote(self) -> None:
        """Become a primary, with what is here."""
        await self.client.replicaof("NO", "ONE")


@asynccontextmanager
async def redis_server(folder: Path, *options: str) -> AsyncIterator[RedisServer]:
    """A server that runs during the block."""
    server = RedisServer(folder, options)
    try:
        await server.start()
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def redis_pair(folder: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica, in step."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(redis_server(folder / "primary", "--repl-diskless-sync-delay", "0"))
        replica = await stack.enter_async_context(
            redis_server(folder / "replica", "--replicaof", f"127.0.0.1 {primary.port}")
        )
        await until(partial(_is_in_step, replica))
        yield primary, replica


@asynccontextmanager
async def redis_cluster(folder: Path, nodes: int = 3) -> AsyncIterator[list[RedisServer]]:
    """A cluster without replicas that serves all slots; its URL is ``cluster_url(nodes)``."""
    async with AsyncExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        servers = [
            await stack.enter_async_context(redis_server(folder / str(number), *options)) for number in range(nodes)
        ]
        for number, server in enumerate(servers):
            first, last = number * _SLOTS // nodes, (number + 1) * _SLOTS // nodes - 1
            await _command(server, "CLUSTER ADDSLOTSRANGE", first, last)
            await _command(server, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        for server in servers[1:]:
            await _command(server, "CLUSTER MEET", "127.0.0.1", servers[0].port)
        await until(partial(serves_all_slots, servers))
        yield servers


def cluster_url(servers: Sequence[RedisServer]) -> str:
    """URL for our own client, ``tiketi_runtime.redis.connect``."""
    return f"redis+cluster://{','.join(f'127.0.0.1:{server.port}' for server in servers)}"


def free_port() -> int:
    """A port nobody listens on; ten thousand above it is free as well, for the cluster's own bus."""
    while True:
        with socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if port < 55_000:
                try:
                    bus.bind(("127.0.0.1", port + 10_000))
                except OSError:
                    continue
                return port


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait until something holds. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        await asyncio.sleep(0.02)


async def _is_in_step(replica: RedisServer) -> bool:
    found: str = (await replica.client.info("replication"))["master_link_status"]
    return found == "up"


async def node_of(servers: Sequence[RedisServer], key: str) -> RedisServer:
    """The node of a cluster that has this key."""
    slot = int(await _command(servers[0], "CLUSTER KEYSLOT", key))
    return servers[slot * len(servers) // _SLOTS]


async def move_slot(servers: Sequence[RedisServer], key: str, there: RedisServer) -> None:
    """Give the slot of a key, which must have no keys, to another node."""
    slot = int(await _command(servers[0], "CLUSTER KEYSLOT", key))
    name = (await _command(there, "CLUSTER MYID")).decode()
    for server in (there, *servers):
        await _command(server, "CLUSTER SETSLOT", slot, "NODE", name)


async def serves_all_slots(servers: Sequence[RedisServer]) -> bool:
    """Whether every node of a cluster knows the others and finds the cluster whole."""
    infos = [await _command(server, "CLUSTER INFO") for server in servers]
    return all(info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(servers) for info in infos)


async def _command(server: RedisServer, *words: str | int) -> Any:
    return await server.client.execute_command(*words)  # type: ignore[no-untyped-call]


class Endpoint:
    """The address clients know, leading to one server; after a failover, to another."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def lead_to(self, server: RedisServer) -> None:
        """From now on connections lead there; those that are open are cut."""
        self._server = server
        for writer in self._open:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Endpoint]:
        """Listen during the block."""
        listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        async with listener:
            try:
                yield self
            finally:
                self.lead_to(self._server)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._open |= {writer, there_writer}
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        self._open -= {writer, there_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # cut: that is what it is for
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()
