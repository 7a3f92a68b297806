"""All Redis key names of Tiketi. Keys of one event share one hash tag, so that one script may touch them all."""

from __future__ import annotations

from dataclasses import dataclass

from tiketi_runtime.contracts.identity import EventId, Line, namespace_and_name

EVENTS = "tiketi:events"
"""Set of the ids of all registered events."""
DELETED_EVENTS = "tiketi:{tiketi:events}:deleted"
"""Hash event -> version up to which its sheets are void, because its object was deleted. Written by the operator before
it takes the event out of the registry; an event that is merely missing there was lost. In the slot of ``EVENTS``."""


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
    def limits(self) -> str:
        """Hash ``seq``, ``serving``: how far numbers and horizon may go before PostgreSQL must raise its marks."""
        return f"{self.prefix}limits"

    @property
    def living(self) -> str:
        """Bitmap by ``seq``: set while the buyer waits to be offered a slot. What positions are counted from."""
        return f"{self.prefix}living"

    @property
    def draw(self) -> str:
        """Hash ``n``: entries, fixed when they closed (``at``, ms); ``ready``: 1 once their order is known."""
        return f"{self.prefix}draw"

    @property
    def drawing(self) -> str:
        """Held for seconds by the process that takes the next step of the draw. It spares work, and decides nothing."""
        return f"{self.prefix}drawing"

    @property
    def pace(self) -> str:
        """Hash of admissions by stretch of ten seconds (epoch s // 10), the last few minutes of them."""
        return f"{self.prefix}pace"

    @property
    def crowded(self) -> str:
        """Hash of the seconds in which buyers had to wait, by stretch as ``pace``: bit k is its second k."""
        return f"{self.prefix}crowded"

    @property
    def codes(self) -> str:
        """Digests of a presale's codes, one string (``CodeBook``). Written by the operator before the sheet that names
        its version, copied to PostgreSQL by ticket."""
        return f"{self.prefix}codes"

    def code_tries(self, who: str) -> str:
        """Time (ms) at which the budget of failed codes of ``who``, an account or a network, is whole again."""
        return f"{self.prefix}code-tries:{who}"

    @property
    def networks(self) -> str:
        """Places given out by network: 16,384 counters of 32 bits, each network hashed to one. Names no address."""
        return f"{self.prefix}networks"

    @property
    def rush(self) -> str:
        """Hash epoch second -> places given out in it, the last few seconds: how busy the line is."""
        return f"{self.prefix}rush"

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
    def refused(self) -> str:
        """The sheet that ticket does not take over, because it breaks promises, and these: JSON. Written by ticket."""
        return f"{self.prefix}refused"

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
    def sessions(self) -> str:
        """Hash buyer -> session that ``active`` speaks of: a buyer may be admitted in one line after another."""
        return f"{self.prefix}sessions"

    @property
    def holding(self) -> str:
        """Sorted set of buyers by the time (ms) until which seats are held for them: their slot is counted in seats."""
        return f"{self.prefix}holding"

    @property
    def rate(self) -> str:
        """Hash ``perMinute``, ``window``: the pace that adaptive admission has set. Absent: the policy's."""
        return f"{self.prefix}rate"

    def samples(self, window: int) -> str:
        """Hash of how long answers took in one window of adaptive admission."""
        return f"{self.prefix}samples:{window}"

    @property
    def notes(self) -> str:
        """Stream of what services want told as Kubernetes Events: fields reason, message, warning. Bounded."""
        return f"{self.prefix}notes"

    def told(self, topic: str) -> str:
        """What was warned of last in ``notes``, of one topic: no process tells it again."""
        return f"{self.prefix}told:{topic}"

    @property
    def draws(self) -> str:
        """Hash line -> JSON of what is public about its draw. Written by ticket for the status."""
        return f"{self.prefix}draws"

    @property
    def seats(self) -> str:
        """Hash seat -> ``hold|buyer|until_ms``, or ``sold``. Turns losers away and paints the map; decides nothing."""
        return f"{self.prefix}seats"

    @property
    def counts(self) -> str:
        """Hash of counters since the sale began.

        Of the queue: joined, admitted, left, ghosts, offered, lapsed. Of orders, in places: sold, ``sold:<SECTION>``,
        and ``taken:<SECTION>`` (held, ordered or sold); admission stops where stock ends.
        """
        return f"{self.prefix}counts"

    @property
    def unrecorded(self) -> str:
        """Sorted set of claims (JSON) by time (ms) that PostgreSQL may not have yet."""
        return f"{self.prefix}unrecorded"

    def line(self, line: Line) -> LineKeys:
        """Keys of one line."""
        return LineKeys(f"{self.prefix}line:{line}:")
