"""Envoy's static configuration: one origin on loopback, one cluster for each service."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from tiketi_local.envoy import BACKENDS, bootstrap
from tiketi_local.site import Site
from tiketi_runtime.settings import RuntimeSettings
from tiketi_runtime.web import server_config


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Site.create("one", Path("/checkout"))


def test_nothing_listens_beyond_this_machine(site: Site) -> None:
    config = bootstrap(site)
    listening = [config["admin"]["address"], config["static_resources"]["listeners"][0]["address"]]
    assert [item["socket_address"]["address"] for item in listening] == ["127.0.0.1", "127.0.0.1"]
    assert [item["socket_address"]["port_value"] for item in listening] == [
        site.port("front-admin"),
        site.port("front"),
    ]


def test_each_service_is_a_cluster_on_its_port(site: Site) -> None:
    ports = {}
    for cluster in bootstrap(site)["static_resources"]["clusters"]:
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        ports[cluster["name"]] = endpoint["endpoint"]["address"]["socket_address"]["port_value"]
    assert ports == {name: site.port(name) for name in BACKENDS}


def test_routes_come_from_the_file_that_the_front_door_writes(site: Site) -> None:
    (listener,) = bootstrap(site)["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    path = manager["rds"]["config_source"]["path_config_source"]["path"]
    assert Path(path).parent.is_relative_to(site.directory)


def test_limits_are_counted_before_a_request_is_routed(site: Site) -> None:
    (listener,) = bootstrap(site)["static_resources"]["listeners"]
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    assert [item["name"] for item in filters] == ["envoy.filters.http.local_ratelimit", "envoy.filters.http.router"]


def test_the_door_ends_idle_connections_before_a_service_does(site: Site) -> None:
    for cluster in bootstrap(site)["static_resources"]["clusters"]:
        (options,) = cluster["typed_extension_protocol_options"].values()
        idle = options["common_http_protocol_options"]["idle_timeout"]
        assert float(idle.removesuffix("s")) < _KEPT_BY_SERVICES


_KEPT_BY_SERVICES = server_config(FastAPI(), RuntimeSettings()).timeout_keep_alive
