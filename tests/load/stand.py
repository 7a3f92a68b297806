"""The stand a row is measured on: real stores of a world of its own, ticket processes like those in production."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.ticket.queue.service import write_keys
from tests.integration.ticket.sales.a_sale import publish

from tiketi_local import postgres
from tiketi_local.world import World
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner

ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 30
_MOST_FILES: Final = 20_000


@dataclass(frozen=True)
class Server:
    """Ticket processes that serve the same sales."""

    urls: tuple[str, ...]
    pids: tuple[int, ...]
    auth: TokenSigner

    @property
    def url(self) -> str:
        """Of the first process."""
        return self.urls[0]

    def token(self, buyer: str, ttl: timedelta = timedelta(hours=1), **claims: Any) -> str:
        """An access token as auth signs it, e-mail verified, unless ``claims`` say otherwise."""
        content = {
            "sub": buyer,
            "roles": [{"role": "buyer", "namespaces": ["*"]}],
            "email_verified": True,
            "registered_at": int(time.time()) - 30 * 24 * 3600,
        }
        return self.auth.sign("at+jwt", {**content, **claims}, ttl)

    def cpu(self) -> float:
        """CPU seconds all processes together have used."""
        return sum(map(process_cpu, self.pids))

    def memory(self) -> int:
        """Resident bytes of all processes together."""
        return sum(map(process_memory, self.pids))


class Stand:
    """Everything a row may use. Redis is empty when a row begins."""

    def __init__(self, world: World, redis: Redis, folder: Path, *, rounds: int, stack: AsyncExitStack) -> None:
        self.world = world
        self.redis = redis
        """Database 0 of the world's Redis, with every right."""
        self.rounds = rounds
        self.folder = folder
        """For files of this row; removed at its end."""
        self._stack = stack
        self._auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
        self.keys = write_keys(folder, self._auth)
        """Settings of ticket that name its files of keys."""
        self._redis_pid = 0

    @asynccontextmanager
    async def ticket(
        self, sales: Sequence[SaleSheet], *, processes: int = 1, settings: Mapping[str, str] | None = None
    ) -> AsyncIterator[Server]:
        """Ticket processes with a fresh database that serve ``sales``; stopped when the block ends.

        ``settings``: environment variables without ``TIKETI_TICKET_``; all others have production's defaults.
        Raises TimeoutError when they do not come up.
        """
        for sale in sales:
            await publish(self.redis, sale)
        chosen = {
            "DATABASE_URL": await self.database("ticket"),
            "REDIS_URL": self.world.redis_url("ticket"),
            "AMQP_URL": self.world.amqp_url("ticket"),
            **{name.upper(): str(value) for name, value in self.keys.items()},
            **(settings or {}),
        }
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(self.service("ticket", chosen)) for _ in range(processes)]
            states = [f"/events/{sale.event}/queue/{line.name}/state" for sale in sales for line in sale.lines]
            for url, _ in started:
                await until_answers(url, ["/readyz", *states])
            yield Server(tuple(url for url, _ in started), tuple(pid for _, pid in started), self._auth)

    async def redis_cpu(self) -> float:
        """CPU seconds the Redis server has used."""
        if not self._redis_pid:
            self._redis_pid = int((await self.redis.info("server"))["process_id"])
        return process_cpu(self._redis_pid)

    @asynccontextmanager
    async def python(self, *words: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[int]:
        """``python <words>`` as a process of its own, known by its id; stopped when the block ends."""
        log = self.folder / f"{secrets.token_hex(4)}.log"
        with log.open("wb") as output:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *words,
                env={"PATH": os.environ["PATH"], **(environment or {})},
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        try:
            yield child.pid
        except TimeoutError as error:
            error.add_note(log.read_text()[-2000:])
            raise
        finally:
            if child.returncode is None:
                child.terminate()
            await child.wait()

    @asynccontextmanager
    async def service(
        self, name: str, settings: Mapping[str, str], *, port: int | None = None
    ) -> AsyncIterator[tuple[str, int]]:
        """A process of the service, by its URL and its id; stopped when the block ends. It may not answer yet.

        ``settings``: environment variables without ``TIKETI_<NAME>_``.
        """
        port = port or free_port()
        chosen = {"HOST": "127.0.0.1", "PORT": str(port), "LOG_LEVEL": "WARNING", **settings}
        environment = {f"TIKETI_{name.upper()}_{key}": value for key, value in chosen.items()}
        program = Path(sys.executable).with_name(f"tiketi-{name}")
        async with self.python(str(program), environment=environment) as pid:
            yield f"http://127.0.0.1:{port}", pid

    async def database(self, owner: str) -> str:
        """URL of a new database of a service; dropped when the row ends."""
        admin = await asyncpg.connect(self.world.database_url("postgres"))
        name = f"bench_{secrets.token_hex(4)}"
        await postgres.create_database(admin, name, owner=owner)

        async def drop() -> None:
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            await admin.close()

        self._stack.push_async_callback(drop)
        return self.world.site.database_url(owner, name)


@asynccontextmanager
async def open_stand(world: World, folder: Path, rounds: int) -> AsyncIterator[Stand]:
    """A stand on the stores of ``world``, which are brought up; what the row leaves in them is removed."""
    allow_many_files()
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(runtime_redis.connect(world.admin_redis_url, timeout_seconds=30))
        await redis.flushall()
        stack.push_async_callback(redis.flushall)
        yield Stand(world, redis, folder, rounds=rounds, stack=stack)


def process_cpu(pid: int) -> float:
    """CPU seconds of a process, all threads, to the nanosecond (clock_getcpuclockid(3)). Raises OSError: gone."""
    return time.clock_gettime((~pid << 3) | 2)


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and all that it has started, those that have ended included (to 10 ms)."""
    total, tick = 0.0, os.sysconf("SC_CLK_TCK")
    parents = [pid]
    while parents:
        pid = parents.pop()
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += process_cpu(pid) + (int(stat[13]) + int(stat[14])) / tick
            parents += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:  # it has just ended: its parent has counted it
            continue
    return total


def process_memory(pid: int) -> int:
    """Resident bytes of a process. Raises OSError when it is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def allow_many_files() -> None:
    """Let this process and its children open 20,000 files, or as many as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def until_answers(url: str, paths: Sequence[str]) -> None:
    """Wait until every path is answered with 200. Raises TimeoutError."""
    async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession(url) as http:
        for path in paths:
            while not await _answers(http, path):  # noqa: ASYNC110 - another process comes up
                await asyncio.sleep(0.1)


async def _answers(http: aiohttp.ClientSession, path: str) -> bool:
    try:
        async with http.get(path) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False
