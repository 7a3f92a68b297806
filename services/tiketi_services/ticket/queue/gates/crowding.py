"""How busy a line is, and how many places each network took: shared by all processes, at most a second old.

Counting costs a join nothing: a process adds up what it gave out and tells it once a second. Until then it sees its own
places at once and those of others not. Nothing here decides who gets a place, so a loss of Redis, or a process that
dies with a second's counts, makes work cheaper for a while and harms nobody.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.redis import Redis, load_scripts

PACKAGE: Final = "tiketi_services.ticket.queue"
WINDOW_SECONDS: Final = 5
"""Over which places per second are measured: short enough to feel a rush at once, long enough not to flicker."""
_COUNTERS: Final = 16_384
"""Of each line, 64 KiB in all. Networks that share one by chance are counted together; work grows by the logarithm."""
_KEPT_SECONDS: Final = 24 * 3600


class Crowd(NamedTuple):
    """What there is to know when somebody asks for a place."""

    places_per_second: float
    places_from_network: int


@dataclass(slots=True)
class _Line:
    """One line, as this process knows it."""

    pending: Counter[int] = field(default_factory=Counter)
    """Places given out here and not told yet, by counter."""
    rush: int = 0
    """Places of all processes in the last window, as of the last telling."""
    known: dict[int, int] = field(default_factory=dict)
    """Counters that were read since then."""
    is_idle: bool = False


class Crowding:
    """Counts places by line and network."""

    def __init__(self, redis: Redis) -> None:
        scripts = load_scripts(redis, PACKAGE)
        self._count = scripts["count_places"]
        self._places = scripts["places_of_network"]
        self._lines: dict[tuple[EventId, Line], _Line] = {}

    async def look(self, event: EventId, line: Line, network: str) -> Crowd:
        """How it stands; reads Redis once a second for each network that asks."""
        its = self._lines.setdefault((event, line), _Line())
        counter = _counter(event, line, network)
        known = its.known.get(counter)
        if known is None:
            known = int(await self._places(keys=[EventKeys(event).line(line).networks], args=[counter]))
            its.known[counter] = known
        return Crowd((its.rush + its.pending.total()) / WINDOW_SECONDS, known + its.pending[counter])

    def add(self, event: EventId, line: Line, network: str) -> None:
        """A place was given out."""
        its = self._lines.setdefault((event, line), _Line())
        its.pending[_counter(event, line, network)] += 1

    async def tell(self) -> None:
        """Tell what was given out here, and learn what was given out elsewhere. To be called once a second."""
        for (event, line), its in list(self._lines.items()):
            if its.is_idle and not its.pending and not its.known:
                del self._lines[event, line]
                continue
            its.is_idle = not its.pending and not its.known
            await self._tell(event, line, its)

    async def _tell(self, event: EventId, line: Line, its: _Line) -> None:
        told, its.pending = its.pending, Counter()
        keys = EventKeys(event).line(line)
        counts = [number for pair in told.items() for number in pair]
        try:
            its.rush = int(
                await self._count(keys=[keys.networks, keys.rush], args=[WINDOW_SECONDS, _KEPT_SECONDS, *counts])
            )
        except BaseException:
            its.pending.update(told)
            raise
        its.known.clear()


def _counter(event: EventId, line: Line, network: str) -> int:
    """Which counter a network shares. By event and line: an address cannot be followed from one to another."""
    digest = blake2b(f"{event}\0{line}\0{network}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) % _COUNTERS
