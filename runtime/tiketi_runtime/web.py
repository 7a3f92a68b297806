"""HTTP, the same in every service: health, metrics, problems (RFC 9457), body limits, identity, shutdown."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiketi_runtime.errors import InvalidRequest, TiketiError, TooLarge, Unauthenticated, Unavailable
from tiketi_runtime.observability import REQUEST_SECONDS
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
    app.add_exception_handler(Exception, _answer_unexpected)
    app.add_middleware(_Edge, service=service, max_body_bytes=max_body_bytes)
    return app


def serve(app: ASGIApp, settings: RuntimeSettings) -> None:
    """Run until SIGTERM, then let requests under way end for ``shutdown_grace``."""
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=16 * 1024,
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
    return JSONResponse(body, error.status, headers, media_type="application/problem+json")


async def _answer_problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, TiketiError):
        raise error
    return problem_response(error)


async def _answer_invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        {
            "field": ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0]),
            "message": fault["msg"],
        }
        for fault in error.errors()
    ]
    if any(fault["type"] == "json_invalid" for fault in error.errors()):
        return problem_response(MalformedJson("The body is not JSON."))
    return problem_response(InvalidRequest("; ".join(f"{f['field']}: {f['message']}" for f in faults), errors=faults))


class MalformedJson(InvalidRequest):
    """The body cannot be read as JSON at all."""

    code, status, title = "malformed-json", 400, "Malformed JSON"


async def _answer_http_exception(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    problem = _PlainProblem(str(error.detail))
    names = {404: "not-found", 405: "method-not-allowed", 415: "unsupported-media-type"}
    problem.code = names.get(error.status_code, f"http-{error.status_code}")
    problem.status, problem.title = error.status_code, str(error.detail)
    response = problem_response(problem)
    response.headers.update(error.headers or {})
    return response


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError | TimeoutError):
        return problem_response(Unavailable("A part of the platform is away; try again.", retryAfter=1))
    log.error("unexpected error", exc_info=error, extra={"path": request.url.path})
    return problem_response(TiketiError())


class _PlainProblem(TiketiError):
    """An error of the framework itself; code, status and title are set on the instance."""

    code: str  # type: ignore[misc]
    status: int  # type: ignore[misc]
    title: str = ""  # type: ignore[misc]


# --- Health and metrics

_operations = APIRouter(include_in_schema=False)


@_operations.get("/healthz")
async def _healthz() -> Response:
    return PlainTextResponse("ok")


@_operations.get("/readyz")
async def _readyz(request: Request) -> Response:
    checks: dict[str, Check] = request.app.state.checks
    results = await asyncio.gather(*(_ask(check) for check in checks.values()))
    answers = dict(zip(checks, results, strict=True))
    return JSONResponse(answers, 200 if all(answer == "ok" for answer in results) else 503)


@_operations.get("/metrics")
async def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(2):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever a check raises is its answer
        return f"{type(error).__name__}: {error}"
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


class _Edge:
    """Outermost layer: request id, time of every request, and no body beyond the limit."""

    def __init__(self, app: ASGIApp, service: str, max_body_bytes: int) -> None:
        self._app = app
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")[:64] or uuid4().hex.encode()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            if int(headers.get(b"content-length", b"0") or 0) > self._max_body_bytes:
                await self._refuse(scope, receive, send_with_id)
                return
            body = _LimitedBody(receive, self._max_body_bytes)
            try:
                await self._app(scope, body, send_with_id)
            except TooLarge:
                await self._refuse(scope, receive, send_with_id)
        finally:
            REQUEST_SECONDS.labels(self._service, scope["method"], _route(scope), str(status)).observe(
                time.perf_counter() - started
            )

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = TooLarge(f"A body may have {self._max_body_bytes} bytes at most.")
        await problem_response(error)(scope, receive, send)


class _LimitedBody:
    """A chunked body is counted while it arrives."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLarge
        return message


def _route(scope: Scope) -> str:
    """The route's template: paths themselves would make a metric without end."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", None) or getattr(scope.get("endpoint"), "__name__", "unmatched"))
