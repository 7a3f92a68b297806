"""What every request passes, on its usual way and on the short one: request id, time, body limit, problems.

A whole crowd asks a few routes in the same second. On the usual way to a route the framework asks a dozen layers and
every other route, opens stacks for dependencies and checks bodies against models, all before the first line of the
route (docs/performance.md). A route that takes nothing but the bare request is called at once, by ``Shortcut``. To the
framework it stays what it is: the same function, the same place in the OpenAPI document.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import secrets
import time
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiketi_runtime.errors import TiketiError, TooLarge
from tiketi_runtime.observability import REQUEST_SECONDS
from tiketi_runtime.problems import REFUSAL, problem_of, problem_response

_JSON: Final = (b"content-type", b"application/json")
_PROCESS: Final = secrets.token_hex(8).encode()
_numbers = itertools.count(1)
"""With _PROCESS a request's id; asking the system for randomness would be a system call for each."""

log = logging.getLogger(__name__)

_COUNTED_ONLY: Final = frozenset((428, 429))
_CLIENT_CLOSED_REQUEST = 499
"""For the metrics only: there is nobody left to answer."""


class Edge:
    """Outermost layer of ours: request id, time of every request, no body beyond the limit, no error untranslated."""

    def __init__(self, app: ASGIApp, service: str, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._timers = _Timers(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id, announced = _read_headers(scope)
        answer = _Answer(send, request_id)
        try:
            await self._app(scope, _LimitedBody(receive, announced, self._max_body_bytes), answer)
        except ClientDisconnect:
            answer.status = _CLIENT_CLOSED_REQUEST
        except Exception as error:
            problem = _problem(error, scope, request_id)
            if answer.started:  # too late for another one: the server breaks the connection off
                raise
            if problem.is_noted:
                scope[REFUSAL] = problem.code
            await problem_response(problem)(scope, receive, answer)
        finally:
            _note_refusal(scope, answer.status, request_id)
            self._timers.observe(scope, answer.status, started)


class _Timers:
    """How long answers took. Finding a histogram by its labels costs more than observing: each is found once."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._known: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, scope: Scope, status: int, started: float) -> None:
        """Note one answer; ``started`` by time.perf_counter()."""
        seconds = time.perf_counter() - started
        method, route = scope["method"], _route(scope)
        timer = self._known.get((method, route, status))
        if timer is None:
            timer = REQUEST_SECONDS.labels(self._service, method, route, str(status))
            self._known[method, route, status] = timer
        timer.observe(seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("request", extra={"route": route, "status": status, "seconds": seconds})


def _problem(error: Exception, scope: Scope, request_id: bytes) -> TiketiError:
    return problem_of(error, {"path": scope["path"], "request_id": request_id.decode("latin-1")})


def _note_refusal(scope: Scope, status: int, request_id: bytes) -> None:
    """The audit's line: what was refused and why. Of the caller it says nothing; the request's id leads to the rest.

    What a crowd hears by the thousand while all is well (come later, do work) is counted only, by the timers.
    """
    if REFUSAL not in scope or status in _COUNTED_ONLY or not 400 <= status < 500:
        return
    parameters = scope.get("path_params", {})
    event = "/".join(parameters[name] for name in ("namespace", "name") if name in parameters)
    told = {"code": scope[REFUSAL], "status": status, "method": scope["method"], "route": _route(scope)}
    log.info("refused", extra={**told, "event": event, "request_id": request_id.decode("latin-1")})


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

    def __init__(self, receive: Receive, announced: int, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._announced = announced

    async def __call__(self) -> Message:
        message = {} if self._announced > self._limit else await self._receive()
        self._seen += len(message.get("body", b""))
        if max(self._seen, self._announced) > self._limit:
            raise TooLarge(f"A body may have {self._limit} bytes at most.")
        return message


def _read_headers(scope: Scope) -> tuple[bytes, int]:
    """The request's id, the front door's or one of our own; and how long the body is said to be, 0 if it is not."""
    request_id, announced = b"", 0
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            request_id = value[:64]
        elif name == b"content-length":
            announced = int(value)
    return request_id or b"%s-%x" % (_PROCESS, next(_numbers)), announced


def _route(scope: Scope) -> str:
    """The route's template: paths themselves would make a metric without end."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", None) or getattr(scope.get("endpoint"), "__name__", "unmatched"))


# --- The short way


class Shortcut:
    """Calls the routes of ``router`` itself.

    Raises ValueError for a route that needs the framework: it takes more than the request, or its path ends in a
    parameter.
    """

    def __init__(self, router: APIRouter, service: str, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._timers = _Timers(service)
        self._routes: dict[tuple[str, str], APIRoute] = {}
        for route in router.routes:
            if not isinstance(route, APIRoute) or not _takes_the_bare_request(route.endpoint):
                raise ValueError(f"{route}: it must take the request and nothing else")
            last = route.path.rpartition("/")[2]
            if "{" in last:
                raise ValueError(f"{route.path}: its last part must be a word")
            self._routes.update({(method, last): route for method in route.methods or ()})

    def leads(self, scope: Scope) -> bool:
        """Whether this HTTP request is for one of the routes; then ``scope`` says which."""
        path = scope["path"]
        route = self._routes.get((scope["method"], path[path.rfind("/") + 1 :]))
        match = None if route is None else route.path_regex.match(path)
        if match is None:
            return False
        scope["route"] = route
        scope["path_params"] = match.groupdict()
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, for a request that it leads. What ``Edge`` does, in one place and with the answer whole."""
        started = time.perf_counter()
        request_id, announced = _read_headers(scope)
        body = _LimitedBody(receive, announced, self._max_body_bytes)
        status = _CLIENT_CLOSED_REQUEST
        try:
            try:
                answer: Response = await scope["route"].endpoint(Request(scope, body))
            except ClientDisconnect:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
                problem = _problem(error, scope, request_id)
                if problem.is_noted:
                    scope[REFUSAL] = problem.code
                answer = problem_response(problem)
            status = answer.status_code
            headers = [*answer.raw_headers, (b"x-request-id", request_id)]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})
        finally:
            _note_refusal(scope, status, request_id)
            self._timers.observe(scope, status, started)


def _takes_the_bare_request(endpoint: Any) -> bool:
    return list(inspect.signature(endpoint).parameters) == ["request"] and inspect.iscoroutinefunction(endpoint)


def header(scope: Scope, name: bytes) -> str:
    """The first header of this name (in small letters); empty if there is none. No object is made of the others."""
    for each, value in scope["headers"]:
        if each == name:
            text: str = value.decode("latin-1")
            return text
    return ""


async def body_of(request: Request) -> bytes:
    """The whole body. Raises TooLarge, ClientDisconnect."""
    message = await request.receive()
    parts = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await request.receive()
        parts.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return parts[0] if len(parts) == 1 else b"".join(parts)


class JsonBytes(Response):
    """JSON that is bytes already, with headers that are."""

    def __init__(self, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.status_code = 200
        self.body = body
        self.background = None
        self.raw_headers = [_JSON, (b"content-length", b"%d" % len(body)), *headers]
