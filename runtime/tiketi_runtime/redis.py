"""Redis: a connection, and the Lua scripts of a package by name. Every decision is one script, one round trip.

One server, or a Redis Cluster: the URL says which. Nothing else differs, because every script of ours stays within one
hash tag.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, Final, Self, TypeAlias, cast
from urllib.parse import urlsplit

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import parse_url
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisClusterException, RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from tiketi_runtime.redis_pipe import Pipes

Redis: TypeAlias = redis.Redis
Scripts: TypeAlias = Mapping[str, AsyncScript]

_CONNECTIONS: Final = 64
_CLUSTER_SCHEME: Final = re.compile(r"^(rediss?)\+cluster://(?:(?P<user>[^@/]*)@)?(?P<hosts>[^/?]+)(?P<rest>.*)$")
_DEFAULT_PORT: Final = 6379

_INCLUDE = re.compile(r"^-- @include (\w+)$", re.MULTILINE)

__all__ = ["AsyncScript", "Redis", "RedisError", "Scripts", "connect", "load_scripts"]


def connect(url: str, *, timeout_seconds: float = 2.0) -> Redis:
    """A client that answers bytes; it connects at the first command.

    ``redis://`` (``rediss://`` with TLS) is one server, ``redis+cluster://host:port,host:port`` (``rediss+cluster://``)
    a cluster, found through any of these nodes.

    Nothing is ever sent twice: a script whose answer got lost may have done its work. When all connections are busy a
    command waits for one, as long as for an answer. A pooled connection that died meanwhile is replaced before it is
    used; in a cluster the first command to meet it fails, and all of that node are replaced.
    """
    # With these notices on, the client does not look whether a pooled connection has died.
    quiet = MaintNotificationsConfig(enabled=False)
    if (cluster := _CLUSTER_SCHEME.match(url)) is not None:
        # The two clients share no base class, but all commands.
        return cast(Redis, _cluster(cluster, timeout_seconds, quiet))
    pool: redis.BlockingConnectionPool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=quiet,
    )
    return _Server(pool, timeout_seconds)


class _Server(redis.Redis):
    """The client of one server, whose scripts share one connection."""

    def __init__(self, pool: redis.BlockingConnectionPool, timeout_seconds: float) -> None:
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self.pipes = Pipes(self, timeout_seconds)

    async def __aexit__(self, *failure: object) -> None:
        await self.pipes.aclose()
        await self.aclose()


class _Cluster(RedisCluster):
    """The cluster client, behaving as our client of one server does."""

    def __init__(self, timeout_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._timeout = timeout_seconds
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self.pipes = Pipes(self, timeout_seconds)

    async def __aenter__(self) -> Self:
        """Connects at the first command: a process may start while Redis is away."""
        await self._increment_usage()
        return self

    async def __aexit__(self, *failure: Any) -> None:
        await self.pipes.aclose()
        await super().__aexit__(*failure)  # type: ignore[no-untyped-call]
        # It leaves connections open when it was about to learn the cluster anew.
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)

    async def initialize(self, *args: Any, **kwargs: Any) -> Self:
        """Learn which node has which slots. Raises ConnectionError while no node answers, or slots are missing."""
        try:
            await super().initialize(*args, **kwargs)
        except RedisClusterException as error:
            raise redis.ConnectionError(str(error)) from error
        return self

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run one command, when one of the connections is free. Raises ConnectionError if none becomes free."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
        except TimeoutError as error:
            raise redis.ConnectionError("No connection became free.") from error
        try:
            # Before it knows the slots the client picks any node, is sent on, and cuts its own connections for it.
            await self.initialize()
            return await super().execute_command(*args, **kwargs)
        finally:
            self._places.release()


def _cluster(url: re.Match[str], timeout_seconds: float, quiet: MaintNotificationsConfig) -> _Cluster:
    hosts = [urlsplit(f"//{host}") for host in url["hosts"].split(",")]
    nodes = [ClusterNode(str(host.hostname), host.port or _DEFAULT_PORT) for host in hosts]
    user = "" if url["user"] is None else f"{url['user']}@"
    options: dict[str, Any] = {**parse_url(f"{url[1]}://{user}{nodes[0].host}:{nodes[0].port}{url['rest']}")}
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    return _Cluster(
        timeout_seconds,
        **options,
        ssl=url[1] == "rediss",
        startup_nodes=nodes,
        # The given names outlive the addresses behind them.
        dynamic_startup_nodes=False,
        # A slot that moved is learnt by itself; learning all slots anew cuts every connection, also of calls under way.
        reinitialize_steps=0,
        # Room for pipelines, which the semaphore does not count; a node's pool refuses instead of waiting.
        max_connections=2 * _CONNECTIONS,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        maint_notifications_config=quiet,
    )


class _Script(AsyncScript):
    """A script whose calls share one connection, unless a client is named."""

    def __init__(self, client: _Server | _Cluster, text: str) -> None:
        super().__init__(client, text)
        self._pipes = client.pipes

    async def __call__(
        self, keys: Sequence[Any] | None = None, args: Iterable[Any] | None = None, client: Any = None
    ) -> Any:
        if client is not None or not keys:
            return await super().__call__(keys, args, client)
        return await self._pipes.run(self, keys, args or ())


def load_scripts(client: Redis, package: str) -> Scripts:
    """Scripts of ``<package>/lua/*.lua`` by file name without the ending; sent as EVALSHA, loaded when unknown.

    A line ``-- @include name`` stands for the content of ``<package>/lua/includes/name.lua``.
    """
    directory = files(package).joinpath("lua")
    return MappingProxyType(
        {
            file.name.removesuffix(".lua"): _script(client, _with_includes(file, directory))
            for file in directory.iterdir()
            if file.name.endswith(".lua")
        }
    )


def _script(client: Redis | _Server | _Cluster, text: str) -> AsyncScript:
    """Calls share a connection if ``connect`` made the client; else it is the library's script."""
    return _Script(client, text) if isinstance(client, _Server | _Cluster) else client.register_script(text)


def _with_includes(file: Traversable, directory: Traversable) -> str:
    return _INCLUDE.sub(lambda match: directory.joinpath("includes", f"{match[1]}.lua").read_text(), file.read_text())
