"""``python -m tests.load.line.pushers stock|direct PORT``: a server that pushes a state to all its clients when asked.

Both kinds are Socket.IO servers of python-socketio on the same uvicorn, without a line behind them. ``stock`` does what
its documentation shows. GET /push answers when the last client was written to.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import count
from typing import Any, Final

import socketio
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tiketi_runtime.settings import RuntimeSettings
from tiketi_runtime.web import server_config
from tiketi_services.ticket.queue.places.positions import GROUP
from tiketi_services.ticket.queue.push.fanout import Audience, event_frame
from tiketi_services.ticket.queue.push.sockets import LIVE_EVENT, NAMESPACE, Sockets

PATH: Final = "/events/demo/push/live/"
STATE: Final[Mapping[str, Any]] = {
    "event": "demo/push",
    "line": "public",
    "epoch": 1,
    "phase": "OnSale",
    "opensAt": "2026-11-23T10:00:00Z",
    "closesAt": "2026-11-23T11:00:00Z",
    "drawAt": None,
    "entries": None,
    "drawn": False,
    "horizon": 1234,
    "waiting": 8766,
    "offered": 40,
    "active": 460,
    "ratePerMinute": 600,
    "pace": {"low": 520.5, "high": 640.1},
    "remaining": 4321,
    "free": 3900,
    "reach": {"likely": 1500, "doubtful": 2600},
    "message": "Doors open at 19:00. Have your ticket and an identity card ready.",
    "admission": "Open",
    "version": 1795428000000,
    "serverTime": "2026-11-23T10:00:00.123456Z",
    "group": 12,
    "ahead": 750,
    "alive": "ffffffffffffffff",
}
"""As long as a real one."""


def stock() -> tuple[ASGIApp, Callable[[], Awaitable[None]]]:
    """python-socketio as it comes."""
    server = socketio.AsyncServer(
        async_mode="asgi", transports=["websocket"], namespaces=[NAMESPACE], ping_interval=15, ping_timeout=10
    )

    async def push() -> None:
        await server.emit("state", STATE, namespace=NAMESPACE)

    return socketio.ASGIApp(server, socketio_path=PATH), push


def direct() -> tuple[ASGIApp, Callable[[], Awaitable[None]]]:
    """The ticket service's, every 64 clients a group with words of its own."""
    audience, numbers, versions = Audience(), count(), count(1)

    async def on_connect(_sid: str, _environ: Mapping[str, Any], _auth: object) -> None:
        pass

    async def on_connected(sid: str) -> None:
        audience.add(sockets.client(sid), next(numbers) // GROUP)

    async def on_disconnect(_sid: str, _reason: str) -> None:
        pass

    sockets = Sockets(on_connect, on_connected, on_disconnect, connect_deadline=timedelta(minutes=1))
    common = socketio.packet.Packet.json.dumps(dict(STATE), separators=(",", ":")).encode()[:-1]

    async def push() -> None:
        version = next(versions)
        await audience.tell(
            lambda group: (f"{version}-{group}", lambda: event_frame(NAMESPACE, "state", common + b"}")),
        )

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        scope[LIVE_EVENT] = STATE["event"]
        await sockets.handle(scope, receive, send)

    return handle, push


def main(kind: str, port: int) -> None:
    """Serve until stopped."""
    live, push = {"stock": stock, "direct": direct}[kind]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await live(scope, receive, send)
        elif scope["type"] == "http":
            if scope["path"] == "/push":
                await push()
            await PlainTextResponse("ok")(scope, receive, send)
        else:
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})

    uvicorn.Server(server_config(app, RuntimeSettings(host="127.0.0.1", port=port))).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
