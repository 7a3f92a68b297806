"""HTTP, the same in every service: health, metrics, problems (RFC 9457), body limits, identity, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Final

import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tiketi_runtime.edge import Edge, Shortcut, header
from tiketi_runtime.entrance import Entrance
from tiketi_runtime.errors import TiketiError, Unauthenticated
from tiketi_runtime.http import Http
from tiketi_runtime.problems import answer_http_exception, answer_invalid, answer_problem
from tiketi_runtime.refusals import complete
from tiketi_runtime.security import Identity, TokenVerifier, identity_from_claims
from tiketi_runtime.settings import RuntimeSettings
from tiketi_runtime.websocket import WebSocket

MAX_BODY_BYTES = 64 * 1024
"""No request of ours is larger; a seat list of 100 seats is 2 KiB."""
MAX_FRAME_BYTES: Final = 4 * 1024
"""No websocket message to us is larger: an access token and a receipt are 1 KiB."""
DRAIN: Final = "drain"
"""What the state that a lifespan yields may name: an async function that sends live connections away. It is awaited
when the process was asked to stop, while HTTP is still served."""
_IS_DRAINING: Final = "is_draining"
_YOUNG_OBJECTS: Final = 20_000
"""So many more objects than before make Python look for cycles. A request has a hundred, of which none are cycles: with
Python's own 700 a tenth of the CPU goes into looking at requests that wait for an answer."""

Check = Callable[[], Awaitable[object]]
"""One thing a service needs to answer buyers; raises when it is away."""
Lifespan = (
    Callable[[FastAPI], AbstractAsyncContextManager[None]]
    | Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]
)
"""Runs around the life of an application; what it yields is its state, see ``DRAIN``."""

log = logging.getLogger(__name__)


def create_app(
    service: str,
    *,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    checks: Mapping[str, Check] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    shortcut: APIRouter | None = None,
    doors: Collection[tuple[str, str]] = (),
) -> FastAPI:
    """An application with everything that is alike in all services.

    ``shortcut``: the one of ``routers`` whose routes take the bare request and are called without the framework.
    ``checks`` are what /readyz asks, by name; /healthz only says that the event loop turns. ``doors``: what begins a
    piece of work (method, last word of the path), and is refused when there is too much; see ``Entrance``.
    """
    app = _App(title=f"Tiketi {service}", version="1", lifespan=lifespan, redoc_url=None)
    if shortcut is not None:
        app.shortcut = Shortcut(shortcut, service, max_body_bytes)
    if doors:
        app.entrance = Entrance(service, doors)
    app.state.checks = dict(checks or {})
    for router in routers:
        app.include_router(router)
    app.include_router(_operations)
    app.add_exception_handler(TiketiError, answer_problem)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(HTTPException, answer_http_exception)
    app.add_middleware(Edge, service=service, max_body_bytes=max_body_bytes)
    return app


class _App(FastAPI):
    """FastAPI with a short way to some routes, past all its layers."""

    shortcut: Shortcut | None = None
    entrance: Entrance | None = None

    def openapi(self) -> dict[str, Any]:
        """The document, with what any route may answer."""
        if self.openapi_schema is None:
            document = super().openapi()
            complete(document)
        return super().openapi()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if self.shortcut is not None and scope["type"] == "http" and self.shortcut.leads(scope):
            scope["app"] = self
            await self.shortcut(scope, receive, send)
        elif self.entrance is not None and scope["type"] == "http" and self.entrance.leads(scope):
            await self.entrance(super().__call__, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def serve(app: ASGIApp, settings: RuntimeSettings) -> None:
    """Run until SIGTERM; then drain, and let requests under way end for ``shutdown_grace``.

    Raises SystemExit when the application cannot start; its log says why.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    with contextlib.suppress(KeyboardInterrupt):
        Server(server_config(app, settings)).run()


class Server(uvicorn.Server):
    """uvicorn, which says that it is not ready and drains before it stops listening."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in good order; a second signal skips the draining."""
        self.lifespan.state[_IS_DRAINING] = True
        await self.drain()
        await super().shutdown(sockets)

    async def drain(self) -> None:
        """Await what the lifespan named as ``DRAIN``, if it did. A failure is logged: the end must come."""
        if DRAIN not in self.lifespan.state or self.force_exit:
            return
        log.info("draining")
        draining = asyncio.create_task(self.lifespan.state[DRAIN]())
        while not draining.done() and not self.force_exit:
            await asyncio.wait([draining], timeout=0.1)
        draining.cancel()
        for outcome in await asyncio.gather(draining, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("draining failed", exc_info=outcome)


def server_config(app: ASGIApp, settings: RuntimeSettings) -> uvicorn.Config:
    """How every server of ours listens; tests use the same."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Http,
        ws=WebSocket,
        ws_per_message_deflate=False,
        ws_max_size=MAX_FRAME_BYTES,
        ws_ping_interval=None,  # Engine.IO has a heartbeat of its own
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # else anybody on this host could name the client's address; see client_address
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace.total_seconds()),
        backlog=4096,
    )


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
    if getattr(request.state, _IS_DRAINING, False):
        return JSONResponse({**answers, "draining": True}, 503)
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
    scheme, _, token = header(connection.scope, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send the access token of /auth/log-in as 'Authorization: Bearer <token>'.")
    return identity_from_claims(await verifier.verify(token.strip(), "at+jwt", "tiketi-auth"))


async def bearer_identity(request: Request) -> Identity:
    """FastAPI dependency: the caller, by the verifier that the service put at ``app.state.access_tokens``."""
    return await identity_of(request, request.app.state.access_tokens)


def requires_role(*roles: str) -> Callable[..., Awaitable[Identity]]:
    """FastAPI dependency: the caller, who holds one of ``roles`` over the ``namespace`` that the route's path names.

    Raises RoleNeeded (403).
    """

    async def permitted(namespace: str, identity: Annotated[Identity, Depends(bearer_identity)]) -> Identity:
        identity.require_role(roles, namespace)
        return identity

    return permitted


# --- Where a request comes from


def client_address(scope: Scope, hops: int) -> IPv4Address | IPv6Address | None:
    """The address a request came from; None if it cannot be told.

    ``hops`` is the number of our own proxies before this process. Each appends to X-Forwarded-For the address that it
    was called from, so only the last ``hops`` entries are true, and the first of these is the client's. All others were
    sent along by the client, and are not looked at. With fewer entries than that the request came past a proxy: it is
    the caller's own address that counts.
    """
    if hops == 0:
        return _peer(scope)
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").split(b",")
    if 0 < hops <= len(forwarded):
        return _address(forwarded[-hops].decode("latin-1").strip()) or _peer(scope)
    return _peer(scope)


def _peer(scope: Scope) -> IPv4Address | IPv6Address | None:
    client = scope.get("client")
    return None if client is None else _address(client[0])


@lru_cache(4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """``192.0.2.1``, ``2001:db8::1``, and both with a port as some proxies write it (RFC 7239, 6)."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
