"""The event's request limits at the gateway.

Limits are local to each gateway pod. The same numbers stand in an annotation, so that a front door that is no Istio
gateway can enforce them without reading Envoy's configuration.
"""

from __future__ import annotations

import json
from typing import Any

from tiketi_operator.manifests.metadata import Manifest, Place, child, shared
from tiketi_operator.manifests.virtual_service import event_path, route_names
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import RateLimit, RateLimits

ANNOTATION = "tiketi.dev/rate-limits"
_API = "networking.istio.io/v1alpha3"
_FILTER = "envoy.filters.http.local_ratelimit"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_MOST_CLIENTS = 100_000
"""Buckets kept for single buyers and addresses; beyond, the least recently seen start anew."""
_ENDLESS = {"max_tokens": 100_000_000, "tokens_per_fill": 100_000_000, "fill_interval": "1s"}
"""Envoy wants a bucket for all requests, and every other interval to be a multiple of its own."""
_EVENT_ENTRY = {"key": "scope", "value": "event"}
_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def rate_limit_filter(place: Place) -> Manifest:
    """Puts the filter into the gateway once; it limits nothing until a route brings its own numbers.

    One for all events: a second one would count every request twice.
    """
    manager = {"name": "envoy.filters.network.http_connection_manager"}
    spec = {
        "priority": 10,
        "configPatches": [
            {
                "applyTo": "HTTP_FILTER",
                "match": {
                    "context": "GATEWAY",
                    "listener": {
                        "filterChain": {"filter": {**manager, "subFilter": {"name": "envoy.filters.http.router"}}}
                    },
                },
                "patch": {
                    "operation": "INSERT_BEFORE",
                    "value": {"name": _FILTER, "typed_config": {"@type": _TYPE, "stat_prefix": "tiketi"}},
                },
            }
        ],
    }
    return shared(_API, "EnvoyFilter", "tiketi-rate-limit", place, spec)


def event_rate_limit(event: EventId, limits: RateLimits, place: Place) -> Manifest:
    """Gives each route of the event its buckets: one for all, one per client address, one per signed-in buyer."""
    value = {"typed_per_filter_config": {_FILTER: _buckets(limits)}}
    spec = {
        "priority": 20,
        "configPatches": [
            {
                "applyTo": "HTTP_ROUTE",
                "match": {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": name}}}},
                "patch": {"operation": "MERGE", "value": value},
            }
            for name in route_names(event)
        ],
    }
    return child(_API, "EnvoyFilter", event, place, spec, {ANNOTATION: _compact(event, limits)})


def _buckets(limits: RateLimits) -> Manifest:
    # An entry without a value stands for every value, each with a bucket of its own.
    scopes: list[tuple[RateLimit | None, Manifest, Manifest]] = [
        (limits.per_event, {"generic_key": {"descriptor_key": "scope", "descriptor_value": "event"}}, _EVENT_ENTRY),
        (limits.per_address, {"remote_address": {}}, {"key": "remote_address"}),
        (
            limits.per_buyer,
            {"request_headers": {"header_name": "authorization", "descriptor_key": "buyer"}},
            {"key": "buyer"},
        ),
    ]
    used = [(limit, action, entry) for limit, action, entry in scopes if limit is not None]
    return {
        "@type": _TYPE,
        "stat_prefix": "tiketi",
        "token_bucket": _ENDLESS,
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "max_dynamic_descriptors": _MOST_CLIENTS,
        "rate_limits": [{"actions": [action]} for _, action, _ in used],
        "descriptors": [{"entries": [entry], "token_bucket": _bucket(limit)} for limit, _, entry in used],
    }


def _bucket(limit: RateLimit) -> Manifest:
    return {
        "max_tokens": limit.requests,
        "tokens_per_fill": limit.requests,
        "fill_interval": f"{limit.per.total_seconds():g}s",
    }


def _compact(event: EventId, limits: RateLimits) -> str:
    named = {"perEvent": limits.per_event, "perAddress": limits.per_address, "perBuyer": limits.per_buyer}
    document: dict[str, Any] = {"event": event, "prefix": event_path(event)}
    for name, limit in named.items():
        if limit is not None:
            document[name] = {"requests": limit.requests, "seconds": limit.per.total_seconds()}
    return json.dumps(document, separators=(",", ":"))
