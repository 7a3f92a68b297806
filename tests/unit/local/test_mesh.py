"""Istio's objects, as the operator writes them, become Envoy's routes."""

from typing import Any

import pytest

from tiketi_local.mesh import Untranslatable, event_routes

CLUSTERS = {"ticket": "ticket"}


def service(*http: dict[str, Any], name: str = "te-gala") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"http": list(http)}}


def to(host: str) -> list[dict[str, Any]]:
    return [{"destination": {"host": host}}]


def limits(route: str, tokens: int, operation: str = "MERGE") -> dict[str, Any]:
    patch = {"operation": operation, "value": {"typed_per_filter_config": {"limit": {"tokens": tokens}}}}
    match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": route}}}}
    return {"spec": {"configPatches": [{"applyTo": "HTTP_ROUTE", "match": match, "patch": patch}]}}


SHARED = to("ticket.tiketi-system.svc.cluster.local")


def test_each_match_of_a_route_becomes_a_route_of_the_same_name() -> None:
    found = event_routes(
        [
            service(
                {
                    "name": "gala.read",
                    "match": [
                        {"uri": {"exact": "/events/demo/gala"}, "method": {"exact": "GET"}},
                        {"uri": {"prefix": "/events/demo/gala/"}},
                    ],
                    "timeout": "15s",
                    "route": SHARED,
                }
            )
        ],
        [],
        CLUSTERS,
    )
    only_get = [{"name": ":method", "string_match": {"exact": "GET"}}]
    assert [route["match"] for route in found] == [
        {"path": "/events/demo/gala", "headers": only_get},
        {"prefix": "/events/demo/gala/"},
    ]
    assert {route["name"] for route in found} == {"gala.read"}
    assert all(route["route"] == {"cluster": "ticket", "timeout": "15s"} for route in found)


def test_a_route_without_a_timeout_has_none() -> None:
    (found,) = event_routes([service({"route": SHARED})], [], CLUSTERS)
    assert found["route"]["timeout"] == "0s"


def test_retries_are_taken_over_and_none_are_made_where_none_are_wanted() -> None:
    wanted = {"attempts": 2, "perTryTimeout": "5s", "retryOn": "connect-failure"}
    reads, writes = event_routes(
        [service({"retries": wanted, "route": SHARED}, {"retries": {"attempts": 0}, "route": SHARED})], [], CLUSTERS
    )
    assert reads["route"]["retry_policy"] == {
        "num_retries": 2,
        "retry_on": "connect-failure",
        "per_try_timeout": "5s",
    }
    assert "retry_policy" not in writes["route"]


def test_limits_are_merged_into_the_route_they_name_and_no_other() -> None:
    limited, other = event_routes(
        [service({"name": "a", "route": SHARED}, {"name": "b", "route": SHARED})], [limits("a", 5)], CLUSTERS
    )
    assert limited["typed_per_filter_config"] == {"limit": {"tokens": 5}}
    assert "typed_per_filter_config" not in other


def test_patches_of_other_things_than_routes_are_the_gateways_business() -> None:
    whole_gateway = {"spec": {"configPatches": [{"applyTo": "HTTP_FILTER", "match": {}, "patch": {}}]}}
    assert len(event_routes([service({"route": SHARED})], [whole_gateway], CLUSTERS)) == 1


def test_a_lane_without_pods_is_unavailable() -> None:
    (found,) = event_routes([service({"route": to("te-gala.tiketi-system.svc.cluster.local")})], [], CLUSTERS)
    assert found["direct_response"] == {"status": 503}


def test_the_order_of_events_does_not_depend_on_the_api_servers() -> None:
    one, two = service({"name": "1", "route": SHARED}, name="a"), service({"name": "2", "route": SHARED}, name="b")
    assert event_routes([one, two], [], CLUSTERS) == event_routes([two, one], [], CLUSTERS)


@pytest.mark.parametrize(
    ("http", "complaint"),
    [
        ({"match": [{"headers": {}}], "route": SHARED}, "match on headers"),
        ({"match": [{"uri": {"regex": ".*"}}], "route": SHARED}, "match on uri"),
    ],
)
def test_what_is_not_known_is_refused_by_name(http: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Untranslatable, match=complaint):
        event_routes([service(http)], [], CLUSTERS)


def test_a_patch_that_does_not_merge_is_refused() -> None:
    with pytest.raises(Untranslatable, match="operation REMOVE"):
        event_routes([], [limits("a", 1, operation="REMOVE")], CLUSTERS)
