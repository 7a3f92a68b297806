"""Settings of the stats service."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tiketi_runtime.settings import RuntimeSettings, WithBroker, WithDatabase, WithRedis


class StatsSettings(RuntimeSettings, WithDatabase, WithRedis, WithBroker, env_prefix="TIKETI_STATS_"):
    """What stats needs to know."""

    auth_jwks_url: str
    """Where auth publishes the keys of access tokens. Only organisers and SREs send one; they see the revenue."""
    kubeconfig: Path | None = None
    """API server to write status to; none means the pod's own service account."""
    read_interval: timedelta = timedelta(seconds=2)
    """How often figures are taken. Each time reads every painted seat: 60,000 seats are 60 short reads of Redis."""
    write_interval: timedelta = timedelta(seconds=5)
    """Least time between two writes of one event's status; each is a write to etcd that every watcher gets."""
    ticket_database_url: str | None = None
    """Ticket's database through the auditor's role (docs/runbook-audit.md); with payment's, orders are compared."""
    payment_database_url: str | None = None
    """Payment's database through the auditor's role. Without both nobody compares orders, payments and tickets."""
    audit_interval: timedelta = timedelta(seconds=2)
    """Pause between two readings of the auditor. Each compares up to 1,000 orders, one after the other and from the
    start again: 100,000 orders take as many readings as that makes."""
    audit_patience: timedelta = timedelta(seconds=30)
    """How far apart the two readings must be that find the same mismatch before it counts. Longer than a delivery."""
