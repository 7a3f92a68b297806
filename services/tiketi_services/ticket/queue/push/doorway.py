"""In front of the application: live connections of every event go to one Socket.IO server, the rest to HTTP."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.errors import Forbidden, NotFound, TiketiError, Unavailable
from tiketi_runtime.problems import problem_response
from tiketi_services.ticket.queue.push.live import Live
from tiketi_services.ticket.queue.push.sockets import LIVE_EVENT

_LIVE: Final = re.compile(r"/events/([^/]+)/([^/]+)/live/?")


class ForeignOrigin(Forbidden):
    """A page of another site tries to open a connection."""

    code, title = "foreign-origin", "Foreign origin"


class TooManyConnections(Unavailable):
    """This process holds as many live connections as it may."""

    code, title = "too-many-connections", "Too many connections"


class Draining(Unavailable):
    """This process is going to stop; another one takes the connection."""

    code, title = "draining", "Going to stop"


class WebsocketOnly(TiketiError):
    """Socket.IO's long-polling needs sticky sessions, which we do not have."""

    code, status, title = "websocket-only", 400, "Websocket only"


class Doorway:
    """Hands ``/events/{namespace}/{name}/live/`` to ``live``, once that is set by the application's lifespan."""

    def __init__(self, app: ASGIApp, *, allowed_origins: Collection[str], max_connections: int) -> None:
        self._app = app
        self._allowed_origins = frozenset(allowed_origins)
        self._max_connections = max_connections
        self.live: Live | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        match = _LIVE.fullmatch(scope["path"]) if scope["type"] in ("http", "websocket") else None
        if match is None:
            await self._app(scope, receive, send)
            return
        problem = self._objection(scope)
        if problem is not None or self.live is None:
            problem = problem or NotFound("Live connections are not open yet.")
            await _refuse(problem, scope, receive, send)
            return
        scope[LIVE_EVENT] = event_id(match[1], match[2])
        await self.live.sockets.handle(scope, receive, send)

    def _objection(self, scope: Scope) -> TiketiError | None:
        if scope["type"] == "http":
            return WebsocketOnly("Connect with transports: ['websocket'], or ask GET .../queue/{line}/state.")
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if origin and origin not in self._allowed_origins and urlsplit(origin).netloc != host:
            return ForeignOrigin(f"Pages of {origin} may not connect.")
        if self.live is not None and self.live.is_draining:
            return Draining("This process is going to stop; connect again.", retryAfter=1)
        if self.live is not None and len(self.live.sockets) >= self._max_connections:
            return TooManyConnections("This process is full; try again.", retryAfter=2)
        return None


async def _refuse(problem: TiketiError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(problem)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013})
        return
    await response(scope, receive, send)
