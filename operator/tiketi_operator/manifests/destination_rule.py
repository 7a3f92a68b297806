"""How the mesh treats the pods behind a Service."""

from __future__ import annotations

from tiketi_operator.manifests.metadata import Manifest, Place, child, child_name, shared
from tiketi_runtime.contracts.identity import EventId

_API = "networking.istio.io/v1"
_TRAFFIC_POLICY: Manifest = {
    # Waiting buyers keep one connection each: the guards of the line are its own, these only stop the absurd.
    "connectionPool": {
        "tcp": {"maxConnections": 100_000, "connectTimeout": "2s"},
        "http": {"http1MaxPendingRequests": 10_000, "http2MaxRequests": 100_000},
    },
    "loadBalancer": {"simple": "LEAST_REQUEST", "warmup": {"duration": "10s", "minimumPercent": 20}},
    "outlierDetection": {
        "consecutive5xxErrors": 5,
        "consecutiveGatewayErrors": 3,
        "interval": "5s",
        "baseEjectionTime": "15s",
        "maxEjectionPercent": 50,
        "minHealthPercent": 0,
    },
}


def lane_destination_rule(event: EventId, place: Place) -> Manifest:
    """Rule for the event's lane."""
    return child(_API, "DestinationRule", event, place, _spec(child_name(event), place))


def shared_destination_rule(place: Place) -> Manifest:
    """Rule for the shared ticket service; two for one host would leave it open which one counts."""
    return shared(_API, "DestinationRule", place.ticket_service, place, _spec(place.ticket_service, place))


def _spec(service: str, place: Place) -> Manifest:
    return {"host": place.host(service), "trafficPolicy": _TRAFFIC_POLICY}
