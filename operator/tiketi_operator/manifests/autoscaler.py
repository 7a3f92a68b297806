"""Autoscalers: a floor that is raised before the crowd comes, never a guess after it came."""

from __future__ import annotations

from tiketi_operator.manifests.metadata import Manifest, Place, child, child_name, shared
from tiketi_operator.phase import Stage
from tiketi_runtime.contracts.ticket_event import TicketEvent

_API = "autoscaling/v2"
_CPU_PERCENT = 60
"""Room for the seconds until a new pod is ready; the metric path alone may take 55 s."""

_SCALE_UP: Manifest = {
    # The jump of the floor counts as growth: after it a percentage alone would allow nothing for a whole period.
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 20, "periodSeconds": 15},
    ],
}
_SCALE_DOWN_POLICY = {"type": "Percent", "value": 10, "periodSeconds": 60}


def lane_autoscaler(event: TicketEvent, stage: Stage, place: Place) -> Manifest:
    """Autoscaler of the event's lane; arming lifts the floor to the peak, and nothing shrinks until the sale closed.

    It does not act on a lane at 0 replicas.
    """
    capacity = event.spec.capacity
    floor = capacity.peak_replicas if stage is Stage.ARMED else capacity.min_replicas
    spec = _spec(child_name(event.id), floor, capacity.max_replicas, may_shrink=stage is not Stage.ARMED)
    return child(_API, "HorizontalPodAutoscaler", event.id, place, spec)


def shared_autoscaler(floor: int, ceiling: int, place: Place, *, armed: bool) -> Manifest:
    """Autoscaler of the shared ticket service; ``floor`` is what all armed shared events need together."""
    spec = _spec(place.ticket_service, floor, max(floor, ceiling), may_shrink=not armed)
    return shared(_API, "HorizontalPodAutoscaler", place.ticket_service, place, spec)


def _spec(target: str, floor: int, ceiling: int, *, may_shrink: bool) -> Manifest:
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "minReplicas": floor,
        "maxReplicas": ceiling,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": _CPU_PERCENT}},
            }
        ],
        "behavior": {
            "scaleUp": _SCALE_UP,
            "scaleDown": {
                "stabilizationWindowSeconds": 300,
                "selectPolicy": "Max" if may_shrink else "Disabled",
                "policies": [_SCALE_DOWN_POLICY],
            },
        },
    }
