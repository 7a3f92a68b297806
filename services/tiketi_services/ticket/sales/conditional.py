"""Answers that anybody may keep for a second, and that are sent only when they have changed (RFC 9110, 13.1.2)."""

from __future__ import annotations

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

_CACHE = "public, max-age=1"
_PRIVATE = "private, no-cache"


def tag_of(content: object) -> str:
    """A weak entity tag: equal for contents that mean the same."""
    return f'W/"{hashlib.blake2b(msgspec.json.encode(content), digest_size=9).hexdigest()}"'


def cacheable(
    request: Request, body: bytes, tag: str, *, is_private: bool = False, media_type: str = "application/json"
) -> Response:
    """The ``body``, or 304 if the caller has it already.

    ``is_private``: nobody but the caller may keep it, and asks each time.
    """
    headers = {"cache-control": _PRIVATE if is_private else _CACHE, "etag": tag}
    known = request.headers.get("if-none-match", "")
    if known == "*" or tag in (each.strip() for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)
