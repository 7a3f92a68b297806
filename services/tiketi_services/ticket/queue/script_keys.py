"""Which keys each script of a line takes, in the order in which its header numbers them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.redis_keys import EventKeys

_LINES_KEPT: Final = 1024
"""Names of so many lines are kept; making them takes longer than asking Redis."""


class ScriptKeys:
    """The keys of one line, by script."""

    def __init__(self, event: EventId, line: Line) -> None:
        of = EventKeys(event)
        its = of.line(line)
        common = [of.epoch, of.clock]
        self.join = [
            *common,
            its.seq,
            its.places,
            its.waiting,
            its.returning,
            its.living,
            its.alive,
            its.serving,
            its.offers,
            its.claimed,
            of.active,
            of.counts,
            its.draw,
            its.limits,
            of.sessions,
        ]
        self.serve = [
            *common,
            its.seq,
            its.places,
            its.waiting,
            its.returning,
            its.living,
            its.serving,
            of.rate,
            of.active,
            of.holding,
            of.counts,
            its.draw,
            its.limits,
            its.crowded,
            its.offers,
        ]
        self.claim = [
            *common,
            its.places,
            its.waiting,
            its.returning,
            its.living,
            its.alive,
            its.serving,
            of.rate,
            its.offers,
            its.claimed,
            of.active,
            of.holding,
            of.counts,
            its.draw,
            its.pace,
            of.unrecorded,
            of.sessions,
        ]
        self.give_back = [*common, its.claimed, of.sessions, of.active, its.alive, of.counts, of.unrecorded]
        self.leave = [
            of.epoch,
            its.places,
            its.waiting,
            its.returning,
            its.living,
            its.alive,
            its.offers,
            its.serving,
            its.claimed,
            of.active,
            of.counts,
            of.sessions,
        ]
        self.sweep = [
            *common,
            its.places,
            its.waiting,
            its.returning,
            its.living,
            its.alive,
            of.counts,
            its.sweeping,
        ]
        self.state = [
            *common,
            its.serving,
            its.waiting,
            its.returning,
            its.living,
            its.offers,
            of.active,
            of.counts,
            of.rate,
            its.draw,
            its.pace,
            of.holding,
            its.crowded,
        ]
        self.heartbeat = [*common, its.alive, its.places]
        self.admitted = [*common, its.claimed, of.active, of.sessions]
        self.whereabouts = [*common, its.places, its.claimed, of.active, of.sessions]
        self.offers = its.offers


@lru_cache(_LINES_KEPT)
def keys_of(event: EventId, line: Line) -> ScriptKeys:
    """The keys of a line."""
    return ScriptKeys(event, line)
