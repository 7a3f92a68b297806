"""Errors as problem documents (RFC 9457), the same in every service."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import asyncpg
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tiketi_runtime.errors import InvalidRequest, TiketiError, Unavailable
from tiketi_runtime.outages import is_outage

REFUSAL: Final = "tiketi.refusal"
"""Where the scope of a request says with which code it was refused."""

log = logging.getLogger(__name__)


def problem_response(error: TiketiError) -> Response:
    """The error as application/problem+json; ``retryAfter`` (s) also becomes the header."""
    body = {
        "type": f"https://tiketi.dev/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **error.members,
    }
    headers = {"cache-control": "no-store"}
    if "retryAfter" in error.members:
        headers["retry-after"] = str(max(1, math.ceil(error.members["retryAfter"])))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return _Problem(body, error.status, headers)


class _Problem(JSONResponse):
    """Only ASCII: a detail may quote a sender's lone surrogate, which UTF-8 cannot say."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class MalformedJson(InvalidRequest):
    """The body cannot be read as JSON at all."""

    code, status, title = "malformed-json", 400, "Malformed JSON"


class UnstorableText(InvalidRequest):
    """A text with a character that no store of ours can hold."""

    code, title = "unstorable-text", "Unstorable text"


class _PlainProblem(TiketiError):
    """An error of the framework itself, known by its HTTP status only."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(str(error.detail))
        self.status = error.status_code  # type: ignore[misc]
        self.code = _CODES.get(error.status_code, f"http-{error.status_code}")  # type: ignore[misc]
        self.title = HTTPStatus(error.status_code).phrase  # type: ignore[misc]


_UNSTORABLE: Final = (
    UnicodeEncodeError,
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.UntranslatableCharacterError,
)
_CODES: Final = {404: "not-found", 405: "method-not-allowed", 415: "unsupported-media-type"}
_MOST_FAULTS = 10
"""A body of 64 KiB can hold thousands of faults; an answer names the first few."""


async def answer_problem(request: Request, error: Exception) -> Response:
    """Exception handler of our own errors."""
    if not isinstance(error, TiketiError):
        raise error
    if error.is_noted:
        request.scope[REFUSAL] = error.code
    return problem_response(error)


async def answer_invalid(request: Request, error: Exception) -> Response:
    """Exception handler of what the framework's validation finds."""
    if not isinstance(error, RequestValidationError):
        raise error
    request.scope[REFUSAL] = InvalidRequest.code
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        request.scope[REFUSAL] = MalformedJson.code
        return problem_response(MalformedJson("The body is not JSON."))
    faults = [
        {
            "field": ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0]),
            "message": fault["msg"].removeprefix("Value error, "),
        }
        for fault in found[:_MOST_FAULTS]
    ]
    return problem_response(InvalidRequest("; ".join(f"{f['field']}: {f['message']}" for f in faults), errors=faults))


async def answer_http_exception(_: Request, error: Exception) -> Response:
    """Exception handler of the framework's own errors."""
    if not isinstance(error, HTTPException):
        raise error
    cause = error.__cause__
    if isinstance(cause, TiketiError):  # the body was refused while the framework read it
        return problem_response(cause)
    if isinstance(cause, ValueError | RecursionError):  # not UTF-8, an endless number, nested too deep
        return problem_response(MalformedJson("The body is not JSON."))
    response = problem_response(_PlainProblem(error))
    response.headers.update(error.headers or {})
    return response


def problem_of(error: Exception, where: Mapping[str, str]) -> TiketiError:
    """What the caller may know of an error nobody has translated; the rest is for the log."""
    if isinstance(error, TiketiError):
        return error
    if isinstance(error, _UNSTORABLE) or isinstance(error.__cause__, UnicodeEncodeError):
        return UnstorableText("A text of the request holds a NUL or half a character; remove it.")
    if is_outage(error):
        log.warning("a part is away", extra={**where, "error": f"{type(error).__name__}: {error}"})
        return Unavailable("A part of the platform is away; try again.", retryAfter=1)
    log.error("unexpected error", exc_info=error, extra=where)
    return TiketiError()
