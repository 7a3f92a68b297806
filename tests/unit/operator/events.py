"""Events and policies for tests, as the API server would give them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tiketi_operator.plan import Observed
from tiketi_operator.settings import PlatformSettings
from tiketi_runtime.contracts.queue_policy import QueuePolicy
from tiketi_runtime.contracts.ticket_event import TicketEvent

OPENS = datetime(2027, 3, 1, 11, 0, tzinfo=UTC)
CLOSES = OPENS + timedelta(hours=4)
SETTINGS = PlatformSettings()
TEMPLATE: dict[str, Any] = {
    "metadata": {
        "labels": {"app.kubernetes.io/name": "ticket"},
        "annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z", "mesh": "yes"},
    },
    "spec": {
        "securityContext": {"runAsNonRoot": True},
        "containers": [
            {"name": "ticket", "image": "tiketi:7", "env": [{"name": "TIKETI_TICKET_PAYMENT_URL", "value": "http://p"}]}
        ],
    },
}


def make_event(name: str = "first-sale", namespace: str = "demo", **changes: Any) -> TicketEvent:
    """An event of 100 places; ``changes`` go to spec, those for ``sale`` and ``capacity`` into it, by field."""
    spec: dict[str, Any] = {
        "title": "First Sale",
        "venue": {"name": "Blue Hall", "timeZone": "Asia/Seoul"},
        "startsAt": CLOSES + timedelta(days=30),
        "sale": {"opensAt": OPENS, "closesAt": CLOSES},
        "seating": {
            "sections": [{"name": "A", "price": 1000, "capacity": 60}, {"name": "B", "price": 500, "capacity": 40}]
        },
        "queuePolicyRef": {"name": "line"},
        "capacity": {},
        "routing": {"host": "tickets.example.com"},
    }
    metadata: dict[str, Any] = {
        key: changes.pop(key) for key in ("annotations", "labels", "creationTimestamp", "generation") if key in changes
    }
    status = changes.pop("status", {})
    for part in ("sale", "capacity"):
        spec[part] = {**spec[part], **changes.pop(part, {})}
    metadata = {"creationTimestamp": OPENS - timedelta(days=9), "uid": "u-1", **metadata}
    return TicketEvent.from_body(
        {"metadata": {"name": name, "namespace": namespace, **metadata}, "spec": {**spec, **changes}, "status": status}
    )


def make_policy(**spec: Any) -> QueuePolicy:
    """A policy named ``line``."""
    return QueuePolicy.from_body({"metadata": {"name": "line", "namespace": "demo"}, "spec": spec})


def ready(event: TicketEvent) -> Observed:
    """A platform on which every pod of the event's lane is ready."""
    peak = event.spec.capacity.peak_replicas
    return Observed(ticket_template=TEMPLATE, lane_replicas=peak, lane_ready=peak)
