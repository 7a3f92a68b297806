"""What the operator counts about itself."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("tiketi_reconcile_total", "Visits to events.", ["result"])
RECONCILE_SECONDS = Histogram(
    "tiketi_reconcile_seconds",
    "How long one visit to an event took.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BOUNDARY_LAG_SECONDS = Histogram(
    "tiketi_boundary_lag_seconds",
    "How late the operator came to an instant of an event's timeline. No sale waits for it.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
EVENTS = Gauge("tiketi_events", "TicketEvents this operator looks after.")
