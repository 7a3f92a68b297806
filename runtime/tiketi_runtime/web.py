"""HTTP, the same in every service: health, metrics, problems (RFC 9457), body limits, identity, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import asyncpg
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiketi_runtime.errors import InvalidRequest, TiketiError, TooLarge, Unauthenticated, Unavailable
from tiketi_runtime.observability import REQUEST_SECONDS
from tiketi_runtime.outages import is_outage
from tiketi_runtime.security import Identity, TokenVerifier, identity_from_claims
from tiketi_runtime.settings import RuntimeSettings

MAX_BODY_BYTES = 64 * 1024
"""No request of ours is larger; a seat list of 100 seats is 2 KiB."""

Check = Callable[[], Awaitable[object]]
"""One thing a service needs to answer buyers; raises when it is away."""
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

log = logging.getLogger(__name__)


def create_app(
    service: str,
    *,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    checks: Mapping[str, Check] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """An application with everything that is alike in all services.

    ``checks`` are what /readyz asks, by name; /healthz only says that the event loop turns.
    """
    app = FastAPI(title=f"Tiketi {service}", version="1", lifespan=lifespan, redoc_url=None)
    app.state.checks = dict(checks or {})
    for router in routers:
        app.include_router(router)
    app.include_router(_operations)
    app.add_exception_handler(TiketiError, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_middleware(_Edge, service=service, max_body_bytes=max_body_bytes)
    return app


def serve(app: ASGIApp, settings: RuntimeSettings) -> None:
    """Run until SIGTERM, then let requests under way end for ``shutdown_grace``.

    Raises SystemExit when the application cannot start; its log says why.
    """
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(server_config(app, settings)).run()


def server_config(app: ASGIApp, settings: RuntimeSettings) -> uvicorn.Config:
    """How every server of ours listens; tests use the same."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=16 * 1024,
        ws_ping_interval=None,  # Engine.IO has a heartbeat of its own
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace.total_seconds()),
        backlog=4096,
    )


# --- Problem documents


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


async def _answer_problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, TiketiError):
        raise error
    return problem_response(error)


async def _answer_invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        return problem_response(MalformedJson("The body is not JSON."))
    faults = [
        {
            "field": ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0]),
            "message": fault["msg"],
        }
        for fault in found[:_MOST_FAULTS]
    ]
    return problem_response(InvalidRequest("; ".join(f"{f['field']}: {f['message']}" for f in faults), errors=faults))


async def _answer_http_exception(_: Request, error: Exception) -> Response:
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


def _problem_of(error: Exception, where: Mapping[str, str]) -> TiketiError:
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


# --- Health and metrics

_operations = APIRouter(include_in_schema=False)
_READ = ["GET", "HEAD"]


@_operations.api_route("/healthz", methods=_READ)
async def _healthz() -> Response:
    return PlainTextResponse("ok")


@_operations.api_route("/readyz", methods=_READ)
async def _readyz(request: Request) -> Response:
    checks: dict[str, Check] = request.app.state.checks
    results = await asyncio.gather(*(_ask(check) for check in checks.values()))
    answers = dict(zip(checks, results, strict=True))
    return JSONResponse(answers, 200 if all(answer == "ok" for answer in results) else 503)


@_operations.api_route("/metrics", methods=_READ)
async def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(2):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever a check raises is its answer
        log.warning("not ready", extra={"error": f"{type(error).__name__}: {error}"})
        return type(error).__name__
    return "ok"


# --- Identity


async def identity_of(connection: HTTPConnection, verifier: TokenVerifier) -> Identity:
    """Who sent this request. Raises Unauthenticated or InvalidToken."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send the access token of /auth/log-in as 'Authorization: Bearer <token>'.")
    return identity_from_claims(await verifier.verify(token.strip(), "at+jwt", "tiketi-auth"))


async def bearer_identity(request: Request) -> Identity:
    """FastAPI dependency: the caller, by the verifier that the service put at ``app.state.access_tokens``."""
    return await identity_of(request, request.app.state.access_tokens)


# --- The edge

_CLIENT_CLOSED_REQUEST = 499
"""For the metrics only: there is nobody left to answer."""


class _Edge:
    """Outermost layer of ours: request id, time of every request, no body beyond the limit, no error untranslated."""

    def __init__(self, app: ASGIApp, service: str, max_body_bytes: int) -> None:
        self._app = app
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        answer = _Answer(send, _request_id(scope))
        try:
            await self._app(scope, _LimitedBody(scope, receive, self._max_body_bytes), answer)
        except ClientDisconnect:
            answer.status = _CLIENT_CLOSED_REQUEST
        except Exception as error:
            problem = _problem_of(error, {"path": scope["path"], "request_id": answer.request_id.decode("latin-1")})
            if answer.started:  # too late for another one: the server breaks the connection off
                raise
            await problem_response(problem)(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            REQUEST_SECONDS.labels(self._service, scope["method"], _route(scope), str(answer.status)).observe(seconds)
            log.debug("request", extra={"route": _route(scope), "status": answer.status, "seconds": seconds})


class _Answer:
    """Passes an answer on with the request's id and remembers its status: 0 until it begins."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self.request_id)]
        await self._send(message)


class _LimitedBody:
    """Counts a body while it arrives; one that announces too much is refused before it is read."""

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._announced = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)

    async def __call__(self) -> Message:
        message = {} if self._announced > self._limit else await self._receive()
        self._seen += len(message.get("body", b""))
        if max(self._seen, self._announced) > self._limit:
            raise TooLarge(f"A body may have {self._limit} bytes at most.")
        return message


def _request_id(scope: Scope) -> bytes:
    """The id the front door gave, or one of our own."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given[:64] or uuid4().hex.encode()


def _route(scope: Scope) -> str:
    """The route's template: paths themselves would make a metric without end."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", None) or getattr(scope.get("endpoint"), "__name__", "unmatched"))
