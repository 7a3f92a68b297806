"""The Deployment of an event's lane: the shared ticket service once more, for this event alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiketi_operator.manifests.metadata import Manifest, Place, child, child_labels
from tiketi_runtime.contracts.identity import EventId

_NAME_LABEL = "app.kubernetes.io/name"
_RESTARTED = "kubectl.kubernetes.io/restartedAt"


def lane_deployment(event: EventId, template: Mapping[str, Any], *, replicas: int, place: Place) -> Manifest:
    """The lane at ``replicas`` pods.

    ``template`` is the pod template of the shared ticket service. A lane takes everything from it (image, environment,
    keys, probes, rights), so that there is one place to change them, and differs only in what makes it a lane.
    """
    labels = child_labels(event)
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": _metadata(template, labels), "spec": _pod(event, template["spec"], labels)},
    }
    return child("apps/v1", "Deployment", event, place, spec)


def _metadata(template: Mapping[str, Any], labels: Mapping[str, str]) -> Manifest:
    """Labels of its own: the shared Service must not find these pods, nor a restart of the shared pods roll them."""
    found: Mapping[str, str] = (template.get("metadata") or {}).get("annotations") or {}
    annotations = {key: value for key, value in found.items() if key != _RESTARTED}
    metadata: Manifest = {"labels": {**labels, _NAME_LABEL: "ticket-lane"}}
    return {**metadata, "annotations": annotations} if annotations else metadata


def _pod(event: EventId, pod: Mapping[str, Any], labels: Mapping[str, str]) -> Manifest:
    first, *others = pod["containers"]
    only_event = {"name": "TIKETI_TICKET_EVENT", "value": event}
    return {
        **pod,
        "containers": [{**first, "env": [*first.get("env", []), only_event]}, *others],
        "automountServiceAccountToken": False,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(labels)},
            }
        ],
    }
