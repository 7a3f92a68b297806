"""What a row of the benchmark is.

A module of a benchmark's ``rows`` measures one row, or several that share one load, and has two names::

    ROWS: Final = (Row("P1", "join", unit="x", must=2.5, aim=1.5, floor="raw ASGI echo + redis-benchmark"),)

    async def measure(stand: Stand) -> Rounds:
        async with stand.ticket([sale]) as server:              # set up once
            for _ in range(stand.rounds):
                ...
                yield {"P1": Sample(ratio, floor=floor_us)}     # one round: a sample for each of ROWS

``measure`` is an async generator, closed by the frame whatever happens: clean up with ``async with`` or ``finally``.
What a round measures is CPU time (``stand.redis_cpu``, ``Server.cpu``, ``time.process_time``), or a ratio of two things
measured in the same round, so that a busy machine spoils both alike. A wall-clock figure says so in ``load``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Less is better, unless it says otherwise."""

    id: str
    what: str
    """What is measured, in words a reader of the README understands."""
    unit: str
    """Of the value, ``must`` and ``aim``: x, us, ms, s, KiB."""
    must: float | None = None
    """The number that has to be reached; None: told for information."""
    aim: float | None = None
    floor: str | None = None
    """What the floor or peer is; None: there is none."""
    floor_unit: str = ""
    load: str = ""
    """Under which load: how many, how fast, on what."""
    more_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round measured of one row."""

    value: float
    floor: float | None = None
    """The floor or peer of the same round, in ``Row.floor_unit``."""


Rounds: TypeAlias = AsyncGenerator[Mapping[str, Sample], None]
"""One mapping for each round: row id -> sample."""
