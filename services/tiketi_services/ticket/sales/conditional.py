"""Answers that anybody may keep for a second, and that are sent only when they have changed (RFC 9110, 13.1.2)."""

from __future__ import annotations

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

_CACHE = "public, max-age=1"


def tag_of(content: object) -> str:
    """A weak entity tag: equal for contents that mean the same."""
    return f'W/"{hashlib.blake2b(msgspec.json.encode(content), digest_size=9).hexdigest()}"'


def cacheable(request: Request, body: bytes, tag: str) -> Response:
    """The JSON ``body``, or 304 if the caller has it already."""
    headers = {"cache-control": _CACHE, "etag": tag}
    known = request.headers.get("if-none-match", "")
    if known == "*" or tag in (each.strip() for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
