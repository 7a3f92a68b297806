"""Of an installation's manifests the embedded world applies what works without nodes."""

from typing import Any

from tiketi_local import ports
from tiketi_local.cluster import embedded


def manifest(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "tiketi-system"}, **rest}


def kept(*found: dict[str, Any]) -> list[dict[str, Any]]:
    everything = embedded(found, base_port=20_000, address="192.0.2.7")
    return [item for item in everything if item["kind"] != "Namespace"]


def test_the_platforms_and_the_organisers_namespace_are_always_there() -> None:
    names = [item["metadata"]["name"] for item in embedded([], 20_000, "192.0.2.7")]
    assert names == ["tiketi-system", "demo"]


def test_only_the_autoscalers_target_is_deployed_and_runs_nothing() -> None:
    found = kept(
        manifest("Deployment", "ticket", spec={"replicas": 2, "selector": {}}),
        manifest("Deployment", "auth", spec={"replicas": 2}),
    )
    assert [(item["metadata"]["name"], item["spec"]["replicas"]) for item in found] == [("ticket", 0)]


def test_a_service_points_at_its_process_instead_of_pods() -> None:
    spec = {"selector": {"app": "ticket"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    service, endpoints = kept(manifest("Service", "ticket", spec=spec))
    assert "selector" not in service["spec"]
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == "ticket"
    assert endpoints["ports"] == [{"name": "http", "port": ports.port(20_000, "ticket"), "protocol": "TCP"}]
    assert endpoints["endpoints"][0]["addresses"] == ["192.0.2.7"]


def test_rights_are_applied_as_they_are_and_what_needs_nodes_or_a_mesh_is_left_out() -> None:
    role = manifest("ClusterRole", "tiketi-operator", rules=[])
    assert kept(role, manifest("NetworkPolicy", "deny"), manifest("Gateway", "front")) == [role]
