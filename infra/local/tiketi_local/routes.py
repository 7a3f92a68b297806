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
DOCUMENTS = {
    "ticket": "/openapi.json",
    "auth": "/auth/openapi.json",
    "payment": "/payments/openapi.json",
    "stats": "/stats/openapi.json",
}
"""Where buyers' programs find the reference of each service's interface (OpenAPI), by Envoy's cluster."""


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
        _index(),
        *(_document(path, cluster) for cluster, path in DOCUMENTS.items()),
        _forward("/auth", "auth"),
        _forward("/payments", "payment", timeout="45s"),  # a confirm may wait 35 s for the vendor
        _forward("/stats", "stats"),
        {"match": live, "route": {"cluster": "ticket", "timeout": "0s"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "ticket"}},
    ]


def _forward(prefix: str, cluster: str, timeout: str = "15s") -> Config:
    return {"match": {"path_separated_prefix": prefix}, "route": {"cluster": cluster, "timeout": timeout}}


def _index() -> Config:
    """The origin itself: there is no page here, but what is."""
    reading = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    body = json.dumps({"title": "Tiketi", "documents": DOCUMENTS})
    return {
        "match": {"path": "/", "headers": [reading]},
        "direct_response": {"status": 200, "body": {"inline_string": body}},
    }


def _document(path: str, cluster: str) -> Config:
    """Every service has its document at the same path; the one origin needs a path for each."""
    return {"match": {"path": path}, "route": {"cluster": cluster, "prefix_rewrite": "/openapi.json"}}


def local_replies() -> Config:
    """Envoy's own answers: problem documents (RFC 9457) like those of the services, and the index as it is written."""
    return {
        "mappers": [
            _reply_as_written(200),
            _reply(400, "malformed-request", "Malformed request"),
            _reply(404, "not-found", "Not found"),
            _reply(429, "rate-limited", "Too many requests", retry_after=1),
            _reply(503, "unavailable", "Service unavailable", retry_after=1),
            _reply(504, "timeout", "The service did not answer in time", retry_after=1),
        ],
        "body_format": _problem("%RESPONSE_CODE%", "front-door", "Refused by the front door"),
    }


def _reply_as_written(status: int) -> Config:
    """The route's own body, which is JSON."""
    body_format = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}, "content_type": "application/json"}
    return {"filter": _has_status(status), "body_format_override": body_format}


def _reply(status: int, code: str, title: str, retry_after: int | None = None) -> Config:
    """How one status is answered. retry_after: seconds, unless the route's own limit says another number."""
    mapper: Config = {"filter": _has_status(status), "body_format_override": _problem(status, code, title)}
    if retry_after is not None:
        header = {"key": "retry-after", "value": str(retry_after)}
        mapper["headers_to_add"] = [{"header": header, "append_action": "ADD_IF_ABSENT"}]
    return mapper


def _has_status(status: int) -> Config:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"front.{status}"}}
    return {"status_code_filter": {"comparison": comparison}}


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
