"""Envoy as the front door: one origin for buyers. Its routes come from a file that the front door process writes."""

import json
import sys
from pathlib import Path
from typing import Any

from tiketi_local import process, routes
from tiketi_local.errors import WorldError
from tiketi_local.part import Part, write_private
from tiketi_local.probes import healthy
from tiketi_local.process import Command
from tiketi_local.site import Site

BACKENDS = ("auth", "ticket", "payment", "stats")
"""Services behind the door."""

_MANY = 100_000
"""Envoy's own guards against too many connections and requests, set out of the way: the limits are the policy's."""

_IDLE = "60s"
"""Services keep an idle connection for 75 s."""
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def program() -> Path | None:
    """Envoy of this Python environment (a wheel ships it), else of PATH."""
    return process.find_program("envoy", str(Path(sys.executable).parent))


def routes_file(site: Site) -> Path:
    """Where Envoy watches for its routes. Written whole and moved into place."""
    return site.folder("envoy") / "routes.json"


def envoy(site: Site) -> Part:
    """The front door."""
    folder = site.folder("envoy")

    async def prepare() -> None:
        write_private(folder / "envoy.json", json.dumps(bootstrap(site), indent=1))
        if not routes_file(site).exists():
            routes.write(routes_file(site), routes.discovery_response([]))

    return Part(
        name="envoy",
        ports=("front", "front-admin"),
        prepare=prepare,
        command=lambda: Command(
            [
                _program(),
                *("--config-path", str(folder / "envoy.json")),
                "--disable-hot-restart",  # its shared memory is one per machine, worlds are many
                *("--concurrency", "2"),
                *("--log-level", "warning"),
            ],
            folder,
            site.log("envoy"),
        ),
        ready=lambda: healthy(f"{site.http_url('front-admin')}/ready"),
        grace=2.0,
    )


def _program() -> str:
    found = program()
    if found is None:
        raise WorldError("Envoy is not installed", "pip install -r requirements/dev.txt (its wheel ships Envoy)")
    return str(found)


def bootstrap(site: Site) -> dict[str, Any]:
    """Envoy's static configuration."""
    return {
        "node": {"id": f"tiketi-{site.name}", "cluster": "tiketi"},
        "admin": {"address": _address(site.port("front-admin"))},
        "static_resources": {
            "listeners": [_listener(site)],
            "clusters": [_cluster(name, site.port(name)) for name in BACKENDS],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(site: Site) -> dict[str, Any]:
    manager = {
        "@type": f"{routes.TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "rds": {
            "route_config_name": routes.ROUTE_CONFIGURATION,
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {"path": str(routes_file(site))},
            },
        },
        "http_filters": [_rate_limit_filter(), _router()],
        "local_reply_config": routes.local_replies(),
    }
    network_filter = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": "front",
        "address": _address(site.port("front")),
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "filter_chains": [{"filters": [network_filter]}],
    }


def _rate_limit_filter() -> dict[str, Any]:
    """Limits nothing by itself: each event's routes bring their own buckets."""
    kind = f"{routes.TYPES}.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
    return {"name": routes.RATE_LIMIT, "typed_config": {"@type": kind, "stat_prefix": "front"}}


def _router() -> dict[str, Any]:
    kind = f"{routes.TYPES}.extensions.filters.http.router.v3.Router"
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": kind}}


def _http_options() -> dict[str, Any]:
    """Idle connections are ended by the door, before the service does: a request that crosses the end is a 503."""
    return {
        "@type": f"{routes.TYPES}.{_HTTP_OPTIONS.removeprefix('envoy.')}",
        "common_http_protocol_options": {"idle_timeout": _IDLE},
        "explicit_http_config": {"http_protocol_options": {}},
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    thresholds = ("max_connections", "max_pending_requests", "max_requests")
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [dict.fromkeys(thresholds, _MANY)]},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http_options()},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
