"""One connection to Redis for all scripts of a process: sent at once, answered in the order they were sent.

A crowd asks a process for hundreds of decisions in the same moment. redis-py borrows a connection for each, sends,
waits and gives it back, which costs several times the decision itself (docs/performance.md). Here what is called in the
same millisecond travels together: nobody waits longer than that, and in a crowd eight calls share one write, one
wake-up of Redis and one of ours, which takes a third from Redis' CPU for a join.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis
from redis import exceptions as errors
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import Connection, DefaultParser, SSLConnection
from redis.commands.core import AsyncScript

_NOT_RUN: Final = (
    errors.AskError,
    errors.BusyLoadingError,
    errors.ClusterDownError,
    errors.MovedError,
    errors.NoScriptError,
    errors.TryAgainError,
)
"""Refusals of a server that cannot have begun with the script: it may be sent again."""
_SECOND_LOOK_SECONDS: Final = 0.1
_GAP_SECONDS: Final = 0.001
"""Between two writes at least. Timers of the event loop know nothing shorter."""
_NO_ANSWER: Final = object()

_Command: TypeAlias = tuple[str | bytes | int | float, ...]


class NotConnected(errors.ConnectionError):
    """No connection could be made: nothing was sent."""


class Pipes:
    """Runs scripts over one connection to each server that ``client`` speaks to: one server, or a cluster's nodes.

    A call is answered, or refused, by itself; it shares nothing with its neighbours but the connection. When that dies
    all calls under way fail, and nothing is sent twice. The next call connects again.
    """

    def __init__(self, client: Redis | RedisCluster, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._pipes: dict[str, _Pipe] = {}

    async def run(self, script: AsyncScript, keys: Sequence[str], args: Iterable[Any]) -> Any:
        """The script's answer. Raises ResponseError, or another RedisError when Redis is away.

        Who stops waiting takes nothing back: the script may run all the same.
        """
        arguments = tuple(args)
        try:
            pipe = self._pipe_of(keys)
            return await pipe.ask(("EVALSHA", script.sha, len(keys), *keys, *arguments))
        except _NOT_RUN:
            pass
        except (NotConnected, errors.SlotNotCoveredError):
            if not isinstance(self._client, RedisCluster):
                raise
        # The client's own way is slow but knows what to do: load the script, ask the node that has the slot now.
        return await AsyncScript.__call__(script, keys=keys, args=arguments)

    async def aclose(self) -> None:
        """Hang up. Calls under way fail."""
        for pipe in self._pipes.values():
            pipe.close()
        self._pipes.clear()
        await asyncio.sleep(0)  # transports let go of their sockets in the next turn

    def _pipe_of(self, keys: Sequence[str]) -> _Pipe:
        if not isinstance(self._client, RedisCluster):
            pool = self._client.connection_pool
            return self._pipes.get("") or self._add("", pool.connection_class(**pool.connection_kwargs))
        node = self._client.get_node_from_key(keys[0])
        if node is None:
            raise errors.SlotNotCoveredError("no node has this key")
        return self._pipes.get(node.name) or self._add(node.name, node.connection_class(**node.connection_kwargs))

    def _add(self, name: str, settings: Any) -> _Pipe:
        self._pipes[name] = _Pipe(settings, self._timeout)
        return self._pipes[name]


class _Pipe:
    """The connection to one server, made anew whenever it is needed and gone."""

    def __init__(self, settings: Connection, timeout_seconds: float) -> None:
        """``settings`` says where and as whom; it is never connected itself."""
        self._settings = settings
        self._timeout = timeout_seconds
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, command: _Command) -> Any:
        """Send a command, return its answer. Raises NotConnected, ConnectionError, TimeoutError, ResponseError."""
        wire = self._wire
        if wire is None or not wire.is_open:
            wire = await self._connect()
        answer = await wire.ask(command)
        if isinstance(answer, Exception):
            if isinstance(answer, errors.ReadOnlyError):
                wire.close()  # a replica now: whoever is the primary answers under the same name
            raise answer
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._wire is not None:
            self._wire.close()

    async def _connect(self) -> _Wire:
        async with self._connecting:
            if self._wire is None or not self._wire.is_open:
                try:
                    async with asyncio.timeout(self._timeout):
                        self._wire = await self._open()
                except (OSError, errors.ConnectionError, errors.TimeoutError) as error:
                    raise NotConnected(f"No connection to {self._address}: {error}.") from error
            return self._wire

    async def _open(self) -> _Wire:
        settings = self._settings
        tls = settings.ssl_context.get() if isinstance(settings, SSLConnection) else None
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: _Wire(self._timeout), settings.host, int(settings.port), ssl=tls)
        try:
            for command in _greeting(settings):
                answer = await wire.ask(command)
                if isinstance(answer, Exception):
                    raise answer
        except BaseException:
            wire.close()
            raise
        return wire

    @property
    def _address(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"


class _Wire(asyncio.Protocol):
    """A live connection: commands out, answers in the same order."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(
            replyError=DefaultParser.parse_error, protocolError=errors.InvalidResponse, notEnoughData=_NO_ANSWER
        )
        self._unsent: list[bytes] = []
        self._sent_at = 0.0
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, command: _Command) -> asyncio.Future[Any]:
        """The answer to come; an error the server answers is a result."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]
        if not self._unsent:
            wait = self._sent_at + _GAP_SECONDS - self._loop.time()
            if wait > 0:
                self._loop.call_later(wait, self._send)
            else:
                self._loop.call_soon(self._send)
        self._unsent.append(packed)
        self._waiting.append((answer, self._loop.time() + self._timeout))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look)
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _NO_ANSWER:
                self._answer(answer)
        except (errors.InvalidResponse, IndexError) as error:
            self._fail(errors.ConnectionError, f"Redis answers what nobody asked: {error}.")

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio.Protocol."""
        self._fail(errors.ConnectionError, f"Connection to Redis lost: {error or 'closed'}.")

    def _send(self) -> None:
        packed, self._unsent = self._unsent, []
        self._sent_at = self._loop.time()
        if self._transport is not None:
            self._transport.write(b"".join(packed))

    def _answer(self, answer: Any) -> None:
        future, _ = self._waiting.popleft()
        if not future.done():
            future.set_result(answer)

    def _look(self, *, is_second: bool = False) -> None:
        """Hang up on a server that does not answer. Twice: a process that was stalled itself finds old answers."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][1] - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        elif is_second:
            self._fail(errors.TimeoutError, "Redis does not answer in time.")
        else:
            self._watch = self._loop.call_later(_SECOND_LOOK_SECONDS, lambda: self._look(is_second=True))

    def _fail(self, kind: type[errors.RedisError], words: str) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        self._unsent = []
        for future, _ in waiting:
            if not future.done():
                future.set_exception(kind(words))


def _greeting(settings: Connection) -> Iterator[_Command]:
    if settings.password:
        yield ("AUTH", settings.username, settings.password) if settings.username else ("AUTH", settings.password)
    if settings.db:
        yield ("SELECT", settings.db)
