"""The Service of an event's lane."""

from __future__ import annotations

from tiketi_operator.manifests.metadata import Manifest, Place, child, child_labels
from tiketi_runtime.contracts.identity import EventId

PORT_NAME = "http"
PORT = 8000


def lane_service(event: EventId, place: Place) -> Manifest:
    """Name under which the gateway finds the lane's ready pods."""
    port = {"name": PORT_NAME, "port": PORT, "targetPort": PORT_NAME, "protocol": "TCP", "appProtocol": "http"}
    return child("v1", "Service", event, place, {"selector": child_labels(event), "ports": [port]})
