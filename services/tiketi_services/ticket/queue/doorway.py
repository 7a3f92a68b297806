"""In front of the application: live connections of every event go to one Socket.IO server, the rest to HTTP."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from socketio.packet import CONNECT, Packet
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.errors import Forbidden, NotFound, TiketiError, Unavailable
from tiketi_runtime.web import problem_response
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.live import LIVE_EVENT, Live

_LIVE: Final = re.compile(r"/events/([^/]+)/([^/]+)/live/?")
_GOODBYE_OR_PONG: Final = frozenset({"1", "3", "41"})
"""Engine.IO close, Engine.IO pong, Socket.IO disconnect."""


class ForeignOrigin(Forbidden):
    """A page of another site tries to open a connection."""

    code, title = "foreign-origin", "Foreign origin"


class TooManyConnections(Unavailable):
    """This process holds as many live connections as it may."""

    code, title = "too-many-connections", "Too many connections"


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
        await self.live.server.handle_request(scope, _sensible(receive), send)

    def _objection(self, scope: Scope) -> TiketiError | None:
        if scope["type"] == "http":
            return WebsocketOnly("Connect with transports: ['websocket'], or ask GET .../queue/{line}/state.")
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if origin and origin not in self._allowed_origins and urlsplit(origin).netloc != host:
            return ForeignOrigin(f"Pages of {origin} may not connect.")
        if self.live is not None and self.live.connections >= self._max_connections:
            return TooManyConnections("This process is full; try again.", retryAfter=2)
        return None


def _sensible(receive: Receive) -> Receive:
    """``receive`` until the client sends what no page sends; from then on it is gone.

    Socket.IO would decode and log such frames, as often as anyone likes to send them.
    """

    async def receive_sensible() -> Message:
        message = await receive()
        if message["type"] != "websocket.receive" or _is_sensible(message.get("text")):
            return message
        metrics.NONSENSE.inc()
        return {"type": "websocket.disconnect", "code": 1008}

    return receive_sensible


def _is_sensible(frame: str | None) -> bool:
    """Pages connect, answer pings and leave; all else goes over HTTP. None: a binary frame."""
    if frame is None or frame in _GOODBYE_OR_PONG:
        return frame is not None
    if not frame.startswith("4"):
        return False
    try:
        return bool(Packet(encoded_packet=frame[1:]).packet_type == CONNECT)
    except (ValueError, RecursionError):  # not JSON, or nested without end
        return False


async def _refuse(problem: TiketiError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(problem)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013})
        return
    await response(scope, receive, send)
