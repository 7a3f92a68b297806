"""What the queue counts. Labels are events and lines, never buyers."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

_LINE = ["event", "line"]

JOINS = Counter("tiketi_queue_joins_total", "Joins answered with a place, repeated ones included.", _LINE)
CLAIMS = Counter("tiketi_queue_claims_total", "Claims by where the buyer stood.", [*_LINE, "standing"])
ADMITTED = Counter("tiketi_queue_admitted_total", "Buyers admitted.", _LINE)
OFFERED = Counter("tiketi_queue_offered_total", "Slots offered.", _LINE)
GHOSTS = Counter("tiketi_queue_ghosts_total", "Buyers taken out of the line because they went silent.", _LINE)
WAITING = Gauge("tiketi_queue_waiting", "Buyers in line, as of this process' last reading.", _LINE)
ACTIVE = Gauge("tiketi_queue_active", "Buyers who are shopping, as of this process' last reading.", ["event"])
CONNECTIONS = Gauge("tiketi_queue_connections", "Live connections of this process.")
PUSHES = Counter("tiketi_queue_pushes_total", "State messages handed to connections.")
PUSHES_DROPPED = Counter("tiketi_queue_pushes_dropped_total", "State messages not sent: the client reads too slowly.")
NONSENSE = Counter("tiketi_queue_nonsense_total", "Connections hung up on because they sent what no page sends.")
RECORDED = Counter("tiketi_queue_claims_recorded_total", "Claims copied to PostgreSQL.")
