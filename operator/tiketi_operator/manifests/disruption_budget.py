"""The PodDisruptionBudget of an event's lane."""

from __future__ import annotations

from tiketi_operator.manifests.metadata import Manifest, Place, child, child_labels
from tiketi_runtime.contracts.identity import EventId


def lane_disruption_budget(event: EventId, place: Place) -> Manifest:
    """A tenth of the lane, rounded up, may be moved to other nodes at a time."""
    spec = {"maxUnavailable": "10%", "selector": {"matchLabels": child_labels(event)}}
    return child("policy/v1", "PodDisruptionBudget", event, place, spec)
