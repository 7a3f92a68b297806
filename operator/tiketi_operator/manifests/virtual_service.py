"""The way from the gateway to the pods that serve an event."""

from __future__ import annotations

from tiketi_operator.manifests.metadata import Manifest, Place, child, child_name
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.ticket_event import TicketEvent

_ANSWER_SECONDS = 15
_NO_RETRY = {"attempts": 0}
_RETRY_READS = {"attempts": 2, "perTryTimeout": "5s", "retryOn": "connect-failure,refused-stream"}


def event_path(event: EventId) -> str:
    """Path under which everything of the event lives, without a slash at its end."""
    return f"/events/{event}"


def route_names(event: EventId) -> tuple[str, str, str]:
    """Names of the event's routes in the gateway: live connections, reads, everything else."""
    name = child_name(event)
    return f"{name}.live", f"{name}.read", f"{name}.write"


def virtual_service(event: TicketEvent, destination: str, place: Place) -> Manifest:
    """Routes of one event to ``destination``, the name of a Service with one port.

    Several of these on one host are merged by the gateway. What is not a read is never sent twice: the mesh would
    repeat a payment or an order on a broken connection.
    """
    live, read, write = route_names(event.id)
    path = event_path(event.id)
    everything = [{"exact": path}, {"prefix": f"{path}/"}]
    route = [{"destination": {"host": place.host(destination)}}]
    spec = {
        "hosts": [event.spec.routing.host],
        "gateways": [event.spec.routing.gateway],
        "http": [
            {  # without a timeout: a buyer may wait for hours
                "name": live,
                "match": [{"uri": {"prefix": f"{path}/live/"}}],
                "retries": _NO_RETRY,
                "route": route,
            },
            {
                "name": read,
                "match": [{"uri": uri, "method": {"exact": "GET"}} for uri in everything],
                "timeout": f"{_ANSWER_SECONDS}s",
                "retries": _RETRY_READS,
                "route": route,
            },
            {
                "name": write,
                "match": [{"uri": uri} for uri in everything],
                "timeout": f"{_ANSWER_SECONDS}s",
                "retries": _NO_RETRY,
                "route": route,
            },
        ],
    }
    return child("networking.istio.io/v1", "VirtualService", event.id, place, spec)
