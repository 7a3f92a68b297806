"""What the queue counts and times. Labels are events and lines, never buyers; docs/metrics.md explains each.

What buyers feel is kept as histograms: an average hides those who wait longest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from prometheus_client import Counter, Gauge, Histogram

_LINE = ["event", "line"]
_ANSWER = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_PATIENCE = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_MENDING = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)

# --- Into the line
JOINS = Counter("tiketi_queue_joins_total", "Joins answered with a place, repeated ones included.", _LINE)
REFUSED_JOINS = Counter("tiketi_queue_refused_joins_total", "Joins refused, by the problem's code.", [*_LINE, "reason"])
JOIN_SECONDS = Histogram("tiketi_queue_join_seconds", "Time to decide a join.", _LINE, buckets=_ANSWER)
PROOF_BITS = Histogram(
    "tiketi_queue_proof_bits",
    "Work asked of buyers who join, as bits: 2^bits hashes on average; 0 is none.",
    _LINE,
    buckets=(0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26),
)

# --- Through it
OFFERED = Counter("tiketi_queue_offered_total", "Slots offered.", _LINE)
CLAIMS = Counter("tiketi_queue_claims_total", "Claims by where the buyer stood.", [*_LINE, "standing"])
CLAIM_SECONDS = Histogram("tiketi_queue_claim_seconds", "Time to decide a claim.", _LINE, buckets=_ANSWER)
ADMITTED = Counter("tiketi_queue_admitted_total", "Buyers admitted.", _LINE)
ADMITTED_PAST_LINE = Counter(
    "tiketi_queue_admitted_past_line_total", "Buyers of passthrough sales admitted while Redis could not decide.", _LINE
)
RECORDED = Counter("tiketi_queue_claims_recorded_total", "Claims copied to PostgreSQL.")
WAIT_SECONDS = Histogram(
    "tiketi_queue_wait_seconds", "From joining to admission, of those admitted.", _LINE, buckets=_PATIENCE
)
CLAIM_DELAY_SECONDS = Histogram(
    "tiketi_queue_claim_delay_seconds",
    "From the offer of a slot to its claim.",
    _LINE,
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600),
)
GHOSTS = Counter("tiketi_queue_ghosts_total", "Buyers taken out of the line because they went silent.", _LINE)

# --- As it stands
WAITING = Gauge("tiketi_queue_waiting", "Buyers in line, as of this process' last reading.", _LINE)
ACTIVE = Gauge("tiketi_queue_active", "Buyers who are shopping, as of this process' last reading.", ["event"])
NO_SHOW_SHARE = Gauge(
    "tiketi_queue_no_show_share", "Share of offers that lapse, as serving counts on it: 0 to 0.8.", _LINE
)
CLOCK_AHEAD = Gauge(
    "tiketi_queue_clock_ahead_seconds",
    "How far the event's time is ahead of Redis' clock, which was set back: it stands still for as long.",
    ["event"],
)
CLOCK_SKEW = Gauge(
    "tiketi_queue_redis_clock_skew_seconds", "Redis' clock less this process' clock, by the event's server.", ["event"]
)

DATABASE_CLOCK_AHEAD = Gauge(
    "tiketi_queue_database_clock_ahead_seconds",
    "PostgreSQL's clock less the event's time: sessions are as much shorter.",
    ["event"],
)

# --- Adaptive admission
RATE = Gauge(
    "tiketi_queue_rate_per_minute", "Buyers admitted per minute at most, as adaptive admission set it.", ["event"]
)
RATE_CHANGES = Counter(
    "tiketi_queue_rate_changes_total",
    "Changes of the rate by this process; direction: slowed, raised.",
    ["event", "direction"],
)
ANSWER_P95_SECONDS = Gauge(
    "tiketi_queue_answer_p95_seconds",
    "95th percentile that adaptive admission judged last; kind: hold, order, confirm.",
    ["event", "kind"],
)

# --- Telling it
CONNECTIONS = Gauge("tiketi_queue_connections", "Live connections of this process.")
PUSHES = Counter("tiketi_queue_pushes_total", "State messages handed to connections.")
PUSHES_DROPPED = Counter("tiketi_queue_pushes_dropped_total", "State messages not sent: the client reads too slowly.")
NONSENSE = Counter("tiketi_queue_nonsense_total", "Connections hung up on because they sent what no page sends.")
POSITION_AGE_SECONDS = Histogram(
    "tiketi_queue_position_age_seconds",
    "Age of a line's state, by Redis' clock, when the last client of this process was handed it.",
    _LINE,
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 5, 10),
)

# --- Rare and long
RECOVERIES = Counter(
    "tiketi_queue_recoveries_total",
    "Attempts of this process to build what Redis knows of an event; outcome: begun, rebuilt, superseded, failed.",
    ["outcome"],
)
RECOVERY_SECONDS = Histogram(
    "tiketi_queue_recovery_seconds", "From noticing that Redis lost an event to serving it again.", buckets=_MENDING
)
DRAW_SECONDS = Histogram(
    "tiketi_queue_draw_seconds", "From the closing of a line's entries to its order being known.", buckets=_MENDING
)
DRAW_ENTRIES = Gauge("tiketi_queue_draw_entries", "Entries of a draw, as of the process that fixed them.", _LINE)
BEACON_OVERDUE = Gauge(
    "tiketi_queue_beacon_overdue_seconds",
    "For how long a draw has waited for its beacon since the round was to be published; 0: it does not.",
    _LINE,
)
DRAWS_BLOCKED = Gauge("tiketi_queue_draws_blocked", "1: the draw key is not the one that was committed to.", _LINE)

# --- Gauges are taken back when nobody reads or sets them any more: the last value would stand for ever

OF_READING: Final = (WAITING, NO_SHOW_SHARE)
OF_RATE: Final = (RATE, ANSWER_P95_SECONDS)
OF_CLOCK: Final = (CLOCK_AHEAD, CLOCK_SKEW, DATABASE_CLOCK_AHEAD)
OF_DRAW: Final = (DRAW_ENTRIES, DRAWS_BLOCKED, BEACON_OVERDUE)


def forget(gauges: Iterable[Gauge], *labels: str) -> None:
    """Take back what these gauges say of an event, or of a line: of everything whose first labels are these."""
    for gauge in gauges:
        for family in gauge.collect():
            for sample in family.samples:
                values = tuple(sample.labels.values())
                if values[: len(labels)] == labels:
                    gauge.remove(*values)


# --- On the way of every join

_Metric = TypeVar("_Metric", Counter, Histogram)
_children: dict[tuple[object, tuple[str, ...]], Any] = {}


def labelled(metric: _Metric, *labels: str) -> _Metric:
    """``metric.labels(*labels)`` in a quarter of its time: that one locks and makes new texts each time."""
    child: _Metric | None = _children.get((metric, labels))
    if child is None:
        child = _children[metric, labels] = metric.labels(*labels)
    return child
