"""Redis: a connection, and the Lua scripts of a package by name. Every decision is one script, one round trip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import TypeAlias

import redis.asyncio as redis
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

Redis: TypeAlias = redis.Redis
Scripts: TypeAlias = Mapping[str, AsyncScript]

_CONNECTIONS = 64

_INCLUDE = re.compile(r"^-- @include (\w+)$", re.MULTILINE)

__all__ = ["AsyncScript", "Redis", "RedisError", "Scripts", "connect", "load_scripts"]


def connect(url: str, *, timeout_seconds: float = 2.0) -> Redis:
    """A pooled client that answers bytes; it connects at the first command.

    Nothing is ever sent twice: a script whose answer got lost may have done its work. A pooled connection that died
    meanwhile is replaced before it is used. When all connections are busy a command waits for one, as long as for an
    answer.
    """
    pool: redis.BlockingConnectionPool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        # With these notices on, the client does not look whether a pooled connection has died.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return redis.Redis.from_pool(pool)


def load_scripts(client: Redis, package: str) -> Scripts:
    """Scripts of ``<package>/lua/*.lua`` by file name without the ending; sent as EVALSHA, loaded when unknown.

    A line ``-- @include name`` stands for the content of ``<package>/lua/includes/name.lua``.
    """
    directory = files(package).joinpath("lua")
    return MappingProxyType(
        {
            file.name.removesuffix(".lua"): client.register_script(_with_includes(file, directory))
            for file in directory.iterdir()
            if file.name.endswith(".lua")
        }
    )


def _with_includes(file: Traversable, directory: Traversable) -> str:
    return _INCLUDE.sub(lambda match: directory.joinpath("includes", f"{match[1]}.lua").read_text(), file.read_text())
