"""The front door's fixed routes and its own answers, as Envoy is told them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tiketi_local import routes
from tiketi_local.envoy import BACKENDS

EVENT = {"name": "gala", "match": {"prefix": "/events/demo/gala/"}, "route": {"cluster": "ticket"}}


def table(*events: dict[str, Any]) -> list[dict[str, Any]]:
    resource = routes.discovery_response(events)["resources"][0]
    found: list[dict[str, Any]] = resource["virtual_hosts"][0]["routes"]
    return found


def target(route: dict[str, Any]) -> str:
    return str(route["route"]["cluster"]) if "route" in route else str(route["direct_response"]["status"])


def targets(found: list[dict[str, Any]]) -> dict[str, str]:
    return {route["match"].get("path_separated_prefix", "*"): target(route) for route in found}


@pytest.mark.parametrize("path", ["/internal", "/metrics", "/healthz", "/readyz", "/.well-known"])
def test_what_is_not_for_buyers_is_not_found(path: str) -> None:
    assert targets(table())[path] == "404"


def test_each_service_has_its_part_of_the_one_origin() -> None:
    found = targets(table())
    assert (found["/auth"], found["/payments"], found["/stats"], found["*"]) == ("auth", "payment", "stats", "ticket")


def test_an_events_routes_come_after_the_private_and_before_the_fixed_ones() -> None:
    found = table(EVENT)
    paths = [route["match"].get("path_separated_prefix") for route in found]
    assert paths.index("/internal") < found.index(EVENT) < paths.index("/auth")


def test_live_connections_of_an_event_without_routes_do_not_time_out() -> None:
    live = next(route for route in table() if "safe_regex" in route["match"])
    assert live["route"] == {"cluster": "ticket", "timeout": "0s"}


def test_envoys_own_answers_are_problem_documents() -> None:
    replies = routes.local_replies()
    bodies = [mapper["body_format_override"] for mapper in replies["mappers"]]
    problems = [body for body in bodies if "json_format" in body]
    assert all(body["content_type"] == "application/problem+json" for body in [*problems, replies["body_format"]])
    assert {body["json_format"]["status"]: body["json_format"]["code"] for body in problems}[429] == "rate-limited"
    assert len(problems) == len(bodies) - 1  # the index is no problem


def test_the_origin_names_a_document_of_every_service_and_each_is_routed() -> None:
    found = {route["match"]["path"]: route for route in table() if "path" in route["match"]}
    index = json.loads(found["/"]["direct_response"]["body"]["inline_string"])
    assert set(index["documents"]) == set(BACKENDS)
    for service, path in index["documents"].items():
        assert found[path]["route"] == {"cluster": service, "prefix_rewrite": "/openapi.json"}


def test_routes_are_written_only_when_they_changed(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    assert routes.write(file, routes.discovery_response([EVENT]))
    assert not routes.write(file, routes.discovery_response([EVENT]))
    assert routes.write(file, routes.discovery_response([]))
    assert json.loads(file.read_text(encoding="utf-8")) == routes.discovery_response([])
    assert list(tmp_path.iterdir()) == [file]
