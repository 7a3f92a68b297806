"""argon2id in a bounded executor: a storm of log-ins gets 429, it never fills the memory or starves the event loop."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from prometheus_client import Gauge

from tiketi_services.auth.domain import Busy

HASHING = Gauge("tiketi_auth_passwords_hashing", "Passwords being hashed or waiting for it.")

_NICENESS: Final = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password is right, and whether its stored hash was made with parameters that are no longer ours."""

    is_right: bool
    is_outdated: bool = False


class Passwords:
    """Hashes and verifies ``workers`` at a time; ``waiting_room`` more may wait."""

    def __init__(self, hasher: PasswordHasher, workers: int, waiting_room: int) -> None:
        self._hasher = hasher
        self._workers = workers
        self._room = workers + waiting_room
        self._inside = 0
        self._executor = ThreadPoolExecutor(workers, "argon2", initializer=_give_way)
        started = time.perf_counter()
        # Verified for unknown addresses, so that they take as long as known ones.
        self._decoy = hasher.hash(os.urandom(16))
        self._seconds_each = time.perf_counter() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        """A new hash with our parameters. Raises Busy."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Compare with a stored hash; with None it takes as long and is wrong. Raises Busy."""
        return await self._run(lambda: self._verify(stored, password))

    def _verify(self, stored: str | None, password: str) -> Verdict:
        try:
            self._hasher.verify(stored or self._decoy, password)
        except VerificationError:
            return Verdict(is_right=False)
        if stored is None:
            return Verdict(is_right=False)
        return Verdict(is_right=True, is_outdated=self._hasher.check_needs_rehash(stored))

    def check_room(self) -> None:
        """Raises Busy when nobody more may wait: to be asked before any other work is done."""
        if self._inside >= self._room:
            seconds = math.ceil(self._inside / self._workers * self._seconds_each)
            raise Busy("Many people are logging in just now; try again shortly.", retryAfter=seconds)

    async def _run(self, work: Callable[[], T]) -> T:
        self.check_room()
        self._count(+1)
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        # Counted until the thread is done: a request given up does not free its core.
        future.add_done_callback(lambda _: self._count(-1))
        return await asyncio.shield(future)

    def _count(self, change: int) -> None:
        self._inside += change
        HASHING.set(self._inside)


def _give_way() -> None:
    """Linux keeps niceness per thread: the event loop and other processes go first on a full machine."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
