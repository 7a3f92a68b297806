"""Envoy before one ticket process, as the front door stands before it: websockets pass, nothing is limited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.load.stand import free_port, until_answers

from tiketi_local.envoy import program

_TYPES = "type.googleapis.com/envoy"
_MANY = 100_000


@asynccontextmanager
async def a_door(folder: Path, target: str) -> AsyncIterator[str]:
    """The URL of an Envoy that leads to ``target``; stopped when the block ends. Raises LookupError without Envoy."""
    envoy = program()
    if envoy is None:
        raise LookupError("Envoy is not installed")
    port = free_port()
    file = _write(folder / "envoy.json", _bootstrap(port, target))
    words = [str(envoy), "--config-path", str(file), "--disable-hot-restart", "--concurrency", "2"]
    child = await asyncio.create_subprocess_exec(*words, "--log-level", "error")
    try:
        await until_answers(f"http://127.0.0.1:{port}", ["/healthz"])
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        await child.wait()


def _write(file: Path, content: object) -> Path:
    file.write_text(json.dumps(content))
    return file


def _bootstrap(port: int, target: str) -> dict[str, Any]:
    address = urlsplit(target)
    thresholds = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), _MANY)
    http = f"{_TYPES}.extensions.filters"
    manager = {
        "@type": f"{http}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "ticket", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{http}.http.router.v3.Router"}}
        ],
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address("127.0.0.1", port),
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "ticket",
                    "type": "STATIC",
                    "circuit_breakers": {"thresholds": [thresholds]},
                    "load_assignment": {
                        "cluster_name": "ticket",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": _address(str(address.hostname), int(address.port or 80))}}
                                ]
                            }
                        ],
                    },
                }
            ],
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
