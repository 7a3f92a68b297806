"""What all children have in common: name, labels, and the place they are put."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tiketi_runtime.contracts.identity import EventId, namespace_and_name

Manifest = dict[str, Any]
"""A Kubernetes object as plain data."""

MANAGER = "tiketi-operator"
"""Field manager of everything the operator applies."""
MANAGED_BY = "app.kubernetes.io/managed-by"
EVENT_NAMESPACE = "tiketi.dev/event-namespace"
EVENT_NAME = "tiketi.dev/event-name"

_LONGEST_NAME = 63
_HASH_LENGTH = 8


@dataclass(frozen=True)
class Place:
    """Where the platform lives."""

    namespace: str
    ticket_service: str

    def host(self, service: str) -> str:
        """Name of a Service as the mesh knows it."""
        return f"{service}.{self.namespace}.svc.cluster.local"


def child_name(event: EventId) -> str:
    """Name of every child of an event, a DNS label of at most 63 characters.

    It ends with a hash of the whole id: without it "a-b/c" and "a/b-c" would share their children.
    """
    digest = sha256(event.encode()).hexdigest()[:_HASH_LENGTH]
    namespace, name = namespace_and_name(event)
    readable = f"te-{namespace}-{name}"[: _LONGEST_NAME - _HASH_LENGTH - 1].rstrip("-")
    return f"{readable}-{digest}"


def child_labels(event: EventId) -> dict[str, str]:
    """Labels by which the children of an event are found and swept.

    The event's own labels stay behind: Argo CD would take children that carry its labels for its own and prune them.
    """
    namespace, name = namespace_and_name(event)
    return {MANAGED_BY: MANAGER, EVENT_NAMESPACE: namespace, EVENT_NAME: name}


def child(
    api_version: str,
    kind: str,
    event: EventId,
    place: Place,
    spec: Mapping[str, Any],
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A child of one event. It has no owner: an owner in another namespace would get it garbage-collected."""
    metadata: Manifest = {"name": child_name(event), "namespace": place.namespace, "labels": child_labels(event)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def shared(api_version: str, kind: str, name: str, place: Place, spec: Mapping[str, Any]) -> Manifest:
    """An object that all events share: it names no event, so no event's sweep takes it away."""
    metadata = {"name": name, "namespace": place.namespace, "labels": {MANAGED_BY: MANAGER}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
