"""Envoy's routes as data: the fixed ones of the one origin, around those of the events."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Config = dict[str, Any]

ROUTE_CONFIGURATION = "front"
RATE_LIMIT = "envoy.filters.http.local_ratelimit"
TYPES = "type.googleapis.com/envoy"

_PRIVATE = ("/internal", "/metrics", "/healthz", "/readyz", "/.well-known")
"""What services answer to each other and to their watchers, not to buyers."""


def discovery_response(events: Sequence[Config]) -> Config:
    """The whole content of the file that Envoy watches. ``events``: routes that come before the fixed ones."""
    host = {"name": "front", "domains": ["*"], "routes": [*_private(), *events, *_fixed()]}
    kind = f"{TYPES}.config.route.v3.RouteConfiguration"
    return {"resources": [{"@type": kind, "name": ROUTE_CONFIGURATION, "virtual_hosts": [host]}]}


def _private() -> list[Config]:
    return [{"match": {"path_separated_prefix": prefix}, "direct_response": {"status": 404}} for prefix in _PRIVATE]


def _fixed() -> list[Config]:
    live = {"safe_regex": {"regex": "/events/[^/]+/[^/]+/live/?"}}
    return [
        _forward("/auth", "auth"),
        _forward("/payments", "payment", timeout="45s"),  # a confirm may wait 35 s for the vendor
        _forward("/stats", "stats"),
        {"match": live, "route": {"cluster": "ticket", "timeout": "0s"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "ticket"}},
    ]


def _forward(prefix: str, cluster: str, timeout: str = "15s") -> Config:
    return {"match": {"path_separated_prefix": prefix}, "route": {"cluster": cluster, "timeout": timeout}}


def local_replies() -> Config:
    """Envoy's own answers as problem documents (RFC 9457), like those of the services."""
    return {
        "mappers": [
            _reply(400, "malformed-request", "Malformed request"),
            _reply(404, "not-found", "Not found"),
            _reply(429, "rate-limited", "Too many requests", retry_after=1),
            _reply(503, "unavailable", "Service unavailable", retry_after=1),
            _reply(504, "timeout", "The service did not answer in time", retry_after=1),
        ],
        "body_format": _problem("%RESPONSE_CODE%", "front-door", "Refused by the front door"),
    }


def _reply(status: int, code: str, title: str, retry_after: int | None = None) -> Config:
    """How one status is answered. retry_after: seconds, unless the route's own limit says another number."""
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"front.{status}"}}
    mapper: Config = {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "body_format_override": _problem(status, code, title),
    }
    if retry_after is not None:
        header = {"key": "retry-after", "value": str(retry_after)}
        mapper["headers_to_add"] = [{"header": header, "append_action": "ADD_IF_ABSENT"}]
    return mapper


def _problem(status: int | str, code: str, title: str) -> Config:
    body = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": f"{title}."}
    return {"json_format": body, "content_type": "application/problem+json"}


def write(path: Path, content: Config) -> bool:
    """Put new routes into place at once; False, and no touch, when they are as before.

    Untouched routes keep their token buckets: what Envoy reads anew starts with full ones.
    """
    text = json.dumps(content, indent=1)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return True
