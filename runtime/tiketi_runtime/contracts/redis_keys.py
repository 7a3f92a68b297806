"""All Redis key names of Tiketi. Keys of one event share one hash tag, so that one script may touch them all."""

from __future__ import annotations

from dataclasses import dataclass

from tiketi_runtime.contracts.identity import EventId, Line, namespace_and_name

EVENTS = "tiketi:events"
"""Set of the ids of all registered events."""
EVENTS_KNOWN = "tiketi:events-known"
"""Set by ticket once every event it knows is registered. Missing: Redis lost its memory, and an event that is not
registered was not deleted."""


@dataclass(frozen=True, slots=True)
class LineKeys:
    """Keys of one line of an event: the public sale or one presale."""

    prefix: str

    @property
    def seq(self) -> str:
        """Counter: the last place number given out."""
        return f"{self.prefix}seq"

    @property
    def places(self) -> str:
        """Hash buyer -> place number, for ever: leaving and joining again answers the same number."""
        return f"{self.prefix}places"

    @property
    def waiting(self) -> str:
        """Sorted set of waiting buyers by place."""
        return f"{self.prefix}waiting"

    @property
    def alive(self) -> str:
        """Sorted set of waiting buyers by the time (ms) of their last heartbeat."""
        return f"{self.prefix}alive"

    @property
    def serving(self) -> str:
        """Hash of the horizon and the token bucket behind it."""
        return f"{self.prefix}serving"

    @property
    def offers(self) -> str:
        """Sorted set of offered buyers by the time (ms) their offer lapses."""
        return f"{self.prefix}offers"

    @property
    def returning(self) -> str:
        """Sorted set, by place, of buyers whose offer lapsed and who asked again: they go first."""
        return f"{self.prefix}returning"

    @property
    def claimed(self) -> str:
        """Hash buyer -> session id of buyers who spent their place."""
        return f"{self.prefix}claimed"

    @property
    def sweeping(self) -> str:
        """Hash ``since`` (ms), ``swept``: how many went silent lately, to tell an outage from people leaving."""
        return f"{self.prefix}sweeping"


@dataclass(frozen=True, slots=True)
class EventKeys:
    """Keys of one event, and the pattern that matches exactly these."""

    event: EventId

    @property
    def prefix(self) -> str:
        """What every key of the event begins with. A namespace has no dot, so the pair stays unambiguous."""
        namespace, name = namespace_and_name(self.event)
        return f"tiketi:{{{namespace}.{name}}}:"

    @property
    def pattern(self) -> str:
        """SCAN pattern of every key of the event."""
        return f"{self.prefix}*"

    @property
    def sheet(self) -> str:
        """The newest sale sheet, JSON. Written by the operator."""
        return f"{self.prefix}sheet"

    @property
    def sheet_version(self) -> str:
        """Version of ``sheet``, decimal. Written by the operator in the same script."""
        return f"{self.prefix}sheet-version"

    @property
    def adopted(self) -> str:
        """Version of the sheet that ticket has copied to PostgreSQL and serves. Written by ticket."""
        return f"{self.prefix}adopted"

    @property
    def epoch(self) -> str:
        """Hash ``epoch``, ``run_id``: the Redis server this event was registered on. Written by ticket."""
        return f"{self.prefix}epoch"

    @property
    def clock(self) -> str:
        """Latest time (ms) any script of this event has seen: time never runs backwards here."""
        return f"{self.prefix}clock"

    @property
    def phase(self) -> str:
        """Hash of latched phase crossings: phase -> time (ms) of the first script past the boundary."""
        return f"{self.prefix}phase"

    @property
    def active(self) -> str:
        """Sorted set of admitted buyers by the end (ms) of their session."""
        return f"{self.prefix}active"

    @property
    def seats(self) -> str:
        """Hash seat -> ``hold|buyer|until_ms``, or ``sold``. Turns losers away and paints the map; decides nothing."""
        return f"{self.prefix}seats"

    @property
    def counts(self) -> str:
        """Hash of counters since the sale began.

        Of the queue: joined, admitted, left, ghosts, offered, lapsed. Of orders: sold, and ``sold:<SECTION>``, in
        places; admission stops where stock ends.
        """
        return f"{self.prefix}counts"

    @property
    def unrecorded(self) -> str:
        """Sorted set of claims (JSON) by time (ms) that PostgreSQL may not have yet."""
        return f"{self.prefix}unrecorded"

    def line(self, line: Line) -> LineKeys:
        """Keys of one line."""
        return LineKeys(f"{self.prefix}line:{line}:")
