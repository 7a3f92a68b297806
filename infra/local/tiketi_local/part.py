"""A part: one long-running process of the world, and how it is started, watched and ended."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tiketi_local import ports, process
from tiketi_local.errors import WorldError
from tiketi_local.process import Command
from tiketi_local.site import Site

PORT_PATIENCE = 3.0
"""Seconds a port may still be held by what was there before."""
POLL = 0.05
"""Seconds between two questions whether a part is ready."""


class NotReady(Exception):
    """The part runs but does not serve yet."""


class _Ended(WorldError):
    """The process ended before it was ready."""


async def nothing() -> None:
    """For parts with nothing to prepare."""


@dataclass(frozen=True)
class Part:
    """One long-running process.

    ``prepare`` writes its files and may run each time before a start; ``ready`` returns when the part
    serves, else raises NotReady or OSError; ``ports`` are the names of those it listens on.
    """

    name: str
    command: Callable[[], Command]
    ready: Callable[[], Awaitable[None]]
    ports: tuple[str, ...]
    after: tuple[str, ...] = ()
    prepare: Callable[[], Awaitable[None]] = nothing
    cleanup: Callable[[], Awaitable[None]] = nothing
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    """Seconds between ``stop_signal`` and SIGKILL."""
    patience: float = 90.0
    """Seconds from start to ready, on a machine busy with other things."""


async def ensure(site: Site, part: Part) -> str:
    """Have the part running and ready; clean up after a crash first. Says what it found."""
    known = site.memory.processes.get(part.name)
    if known is not None and process.alive(known):
        try:
            await _until_ready(site, part)
            return "was running"
        except _Ended:  # it was on its way out when we looked
            pass
    if known is not None:
        await process.clear(known, site.folder(part.name))
        await part.cleanup()
    await _check_ports(site, part)
    await part.prepare()
    site.memory.processes[part.name] = process.spawn(part.command())
    site.save()
    await _until_ready(site, part)
    return "started" if known is None else "started again"


async def _check_ports(site: Site, part: Part) -> None:
    """A killed process may be gone for its parent while its threads still hold the port for a moment."""
    for name in part.ports:
        number = site.port(name)
        for _ in range(round(PORT_PATIENCE / POLL)):
            if ports.is_free(number):
                break
            await asyncio.sleep(POLL)
        else:
            mend = f"see who holds it with: ss -ltnp 'sport = :{number}', or take this world down and up again"
            raise WorldError(f"port {number}, which {part.name} needs, is taken", mend)


async def _until_ready(site: Site, part: Part) -> None:
    deadline = time.monotonic() + part.patience
    while True:
        try:
            return await part.ready()
        except (NotReady, OSError) as error:
            reason = error
        log = site.log(part.name)
        if not process.alive(site.memory.processes[part.name]):
            raise _Ended(f"{part.name} ended while starting: {process.last_words(log)}", f"see {log}")
        if time.monotonic() > deadline:
            raise WorldError(f"{part.name} is not ready after {part.patience:.0f} s ({reason})", f"see {log}")
        await asyncio.sleep(POLL)


async def end(site: Site, part: Part) -> str:
    """Stop the part and whatever it left behind; fine if it does not run. Says what it found."""
    known = site.memory.processes.get(part.name)
    if known is None:
        return "was not running"
    await process.stop(known, part.stop_signal, part.grace)
    await process.clear(known, site.folder(part.name))
    await part.cleanup()
    del site.memory.processes[part.name]
    site.save()
    return "stopped"


def write_private(path: Path, text: str, user: process.User | None = None) -> None:
    """Write a file only its owner may read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    process.own(path, user)
