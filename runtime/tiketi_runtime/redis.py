"""Redis: a connection, and the Lua scripts of a package by name. Every decision is one script, one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import TypeAlias

import redis.asyncio as redis
from redis.backoff import ExponentialBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

Redis: TypeAlias = redis.Redis
Scripts: TypeAlias = Mapping[str, AsyncScript]

__all__ = ["AsyncScript", "Redis", "RedisError", "Scripts", "connect", "load_scripts"]


def connect(url: str, *, timeout_seconds: float = 2.0) -> Redis:
    """A pooled client that answers bytes. It connects at the first command, and once more after a lost connection.

    Scripts that are not idempotent must not be sent twice: only failures to connect are retried here.
    """
    client: Redis = redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 1, supported_errors=(RedisConnectionError,)),
        health_check_interval=15,
        max_connections=64,
    )
    return client


def load_scripts(client: Redis, package: str) -> Scripts:
    """Scripts of ``<package>/lua/*.lua`` by file name without the ending; sent as EVALSHA, loaded when unknown."""
    directory = files(package).joinpath("lua")
    return MappingProxyType(
        {
            file.name.removesuffix(".lua"): client.register_script(file.read_text())
            for file in directory.iterdir()
            if file.name.endswith(".lua")
        }
    )
