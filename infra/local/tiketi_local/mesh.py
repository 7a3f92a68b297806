"""From Istio's objects to Envoy's routes, as far as the operator writes them.

In a cluster istiod does this. Here a VirtualService's HTTP routes become routes of the one origin (its hosts and
gateways do not matter), and EnvoyFilters that merge into a route by its name are merged into it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tiketi_local.routes import Config

Manifest = Mapping[str, Any]


class Untranslatable(ValueError):
    """The object says something this world's front door does not know."""


def event_routes(
    services: Iterable[Manifest], filters: Iterable[Manifest], clusters: Mapping[str, str]
) -> list[Config]:
    """Envoy's routes for all VirtualServices. ``clusters``: from a Service's name to Envoy's cluster.

    Raises Untranslatable.
    """
    merged = _by_route_name(filters)
    found = []
    for service in sorted(services, key=lambda item: str(item["metadata"]["name"])):
        for http in service["spec"].get("http", []):
            for match in http.get("match") or [{}]:
                route = {"match": _match(match), **_action(http, clusters), "name": http.get("name", "")}
                found.append({**route, **merged.get(route["name"], {})})
    return found


def _by_route_name(filters: Iterable[Manifest]) -> dict[str, Config]:
    """What is to be merged into each route."""
    merged: dict[str, Config] = {}
    for item in filters:
        for patch in item["spec"].get("configPatches", []):
            if patch["applyTo"] == "HTTP_ROUTE":
                name = patch["match"]["routeConfiguration"]["vhost"]["route"]["name"]
                merged.setdefault(name, {}).update(_merge(patch))
    return merged


def _merge(patch: Manifest) -> Config:
    if patch["patch"]["operation"] != "MERGE":
        raise Untranslatable(f"operation {patch['patch']['operation']} on a route")
    return dict(patch["patch"]["value"])


def _match(match: Manifest) -> Config:
    unknown = match.keys() - {"uri", "method"}
    if unknown:
        raise Untranslatable(f"match on {', '.join(sorted(unknown))}")
    found: Config = {"prefix": "/"}
    match match.get("uri", {"prefix": "/"}):
        case {"exact": path}:
            found = {"path": path}
        case {"prefix": path}:
            found = {"prefix": path}
        case other:
            raise Untranslatable(f"match on uri {other}")
    if "method" in match:
        found["headers"] = [{"name": ":method", "string_match": {"exact": match["method"]["exact"]}}]
    return found


def _action(http: Manifest, clusters: Mapping[str, str]) -> Config:
    if "directResponse" in http:
        return {"direct_response": {"status": http["directResponse"]["status"]}}
    host = str(http["route"][0]["destination"]["host"])
    cluster = clusters.get(host.partition(".")[0])
    if cluster is None:
        return {"direct_response": {"status": 503}}  # no pods without nodes
    # Envoy gives up after 15 s where nothing is said, Istio never does.
    action: Config = {"cluster": cluster, "timeout": http.get("timeout", "0s")}
    retries = http.get("retries", {})
    if retries.get("attempts"):
        policy = {"num_retries": retries["attempts"], "retry_on": retries["retryOn"]}
        action["retry_policy"] = {**policy, "per_try_timeout": retries["perTryTimeout"]}
    return {"route": action}
