"""``Sockets``: python-socketio's server on connections that cost little while nothing happens.

Engine.IO keeps four tasks and two queues for every client: one that reads, one that waits for it, one that writes, one
that sleeps until the next ping. Here a message calls a function, a packet is a write, and one wheel pings all clients.

``_Engine`` and ``_Socket`` own all knowledge of python-engineio's and python-socketio's inner workings;
tests/integration/ticket/queue/test_live_library.py fails when these change under them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from random import shuffle
from typing import Any, Final

import engineio
import socketio
from engineio.async_socket import AsyncSocket
from engineio.packet import OPEN, PING, Packet
from socketio.packet import CONNECT, CONNECT_ERROR
from socketio.packet import Packet as SocketIoPacket
from starlette.types import Receive, Scope, Send

from tiketi_runtime.web import MAX_FRAME_BYTES
from tiketi_runtime.websocket import POLICY_VIOLATION, SERVICE_RESTART, WebSocket, text_frame
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.push.fanout import Manager

NAMESPACE: Final = "/queue"
LIVE_EVENT: Final = "tiketi.event"
"""Where the ASGI scope says which event a connection is for."""
TOKEN_EXPIRED: Final = 3000
"""Close code "Unauthorized" (IANA WebSocket registry): come back with a fresh token."""
PING_INTERVAL: Final = timedelta(seconds=15)
PULSE: Final = timedelta(milliseconds=250)
"""How often some of the clients are pinged; each one once in PING_INTERVAL."""
_PING_TIMEOUT: Final = timedelta(seconds=10)
"""Told to clients: how much later than expected a ping may come."""
_LEAST_PAUSE: Final = 0.02
"""Seconds between two closed connections of a draining process that has few."""

_PONG: Final = "3"
_GOODBYE: Final = "1"
_LEAVE: Final = frozenset({f"41{NAMESPACE}", f"41{NAMESPACE},"})
_WISH: Final = re.compile(rf'42{re.escape(NAMESPACE)},\["(watch|unwatch)","([a-z-]{{1,20}})"\]')
"""What a page sends that wants to hear of something beside the line, or of it no more."""
_PING_FRAME: Final = text_frame(b"%d" % PING)

OnConnect = Callable[[str, Mapping[str, Any], object], Awaitable[None]]
"""Session id, environment (LIVE_EVENT), auth. Raises socketio.exceptions.ConnectionRefusedError to refuse."""
OnWish = Callable[[str, str, bool], None]
"""Session id of a connected client, name of a topic, whether it wants to hear of it."""


def _grant_nothing(_sid: str, _topic: str, _is_wanted: bool) -> None:
    """There are no topics."""


class Sockets:
    """The connections of this process."""

    def __init__(
        self,
        on_connect: OnConnect,
        on_connected: Callable[[str], Awaitable[None]],
        on_disconnect: Callable[[str, str], Awaitable[None]],
        *,
        connect_deadline: timedelta,
        ping_interval: timedelta = PING_INTERVAL,
        on_wish: OnWish = _grant_nothing,
    ) -> None:
        self._on_wish = on_wish
        self._connect_deadline = connect_deadline.total_seconds()
        self._on_connected = on_connected
        self._on_disconnect = on_disconnect
        self.server = _Server(
            client_manager=Manager(self._connected),
            async_mode="asgi",
            transports=["websocket"],
            namespaces=[NAMESPACE],
            logger=_library_log("tiketi.socketio"),
            engineio_logger=_library_log("tiketi.engineio"),
            cors_allowed_origins=[],  # origins are checked before a connection gets here
            ping_interval=ping_interval.total_seconds(),
            ping_timeout=_PING_TIMEOUT.total_seconds(),
            max_http_buffer_size=MAX_FRAME_BYTES,
            http_compression=False,
            monitor_clients=False,  # the wheel does
        )
        self.server.on("connect", on_connect, namespace=NAMESPACE)
        self.server.on("disconnect", self._disconnected, namespace=NAMESPACE)
        self._engine.on_wish = self._wished

    def __len__(self) -> int:
        """Open connections, those that have not said anything yet included."""
        return len(self._engine.sockets)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, for websockets. Returns as soon as the connection is open."""
        await self.server.handle_request(scope, receive, send)

    def client(self, sid: str) -> _Socket:
        """The connection of a Socket.IO session. Raises KeyError when it is gone."""
        return self._engine.sockets[self.server.manager.eio_sid_from_sid(sid, NAMESPACE)]

    async def emit(self, sid: str, event: str, data: object) -> None:
        """Tell one client."""
        await self.server.emit(event, data, to=sid, namespace=NAMESPACE)

    async def pulse(self) -> None:
        """Ping the clients whose turn it is; those that did not answer the last ping are gone. Every PULSE."""
        self._engine.wheel.turn()

    async def reap(self) -> None:
        """Close connections that never said what they want."""
        oldest = time.monotonic() - self._connect_deadline
        for socket, since in list(self._engine.silent.items()):
            if since > oldest:
                return
            socket.hang_up(POLICY_VIOLATION)

    async def drain(self, during: timedelta) -> None:
        """Close all connections, in random order, spread over ``during``; clients come back by themselves, elsewhere.

        A close without a Socket.IO disconnect: that would tell the standard client to stay away.
        """
        sockets = list(self._engine.sockets.values())
        shuffle(sockets)
        began = time.monotonic()
        pause = min(_LEAST_PAUSE, during.total_seconds() / max(1, len(sockets)))
        for count, socket in enumerate(sockets):
            await asyncio.sleep(max(0, began + count * pause - time.monotonic()))
            socket.hang_up(SERVICE_RESTART)

    def _wished(self, eio_sid: str, topic: str, is_wanted: bool) -> None:
        sid = self.server.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if sid is not None:  # else it has not said yet who it is
            self._on_wish(sid, topic, is_wanted)

    async def _connected(self, sid: str) -> None:
        self._engine.silent.pop(self.client(sid), None)
        await self._on_connected(sid)

    async def _disconnected(self, sid: str, reason: str) -> None:
        socket = self._engine.sockets.get(self.server.manager.eio_sid_from_sid(sid, NAMESPACE))
        if socket is not None and not socket.closing:  # it may connect again, but not stay for nothing
            self._engine.silent[socket] = time.monotonic()
        await self._on_disconnect(sid, reason)

    @property
    def _engine(self) -> _Engine:
        engine: _Engine = self.server.eio
        return engine


class _Server(socketio.AsyncServer):  # type: ignore[misc]
    """python-socketio's server on our engine."""

    def _engineio_server_class(self) -> type[_Engine]:
        return _Engine

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: object) -> None:
        """Another namespace is refused in the words of the Socket.IO protocol."""
        if namespace != NAMESPACE:
            error = self.packet_class(CONNECT_ERROR, data={"message": "Invalid namespace"}, namespace=namespace or "/")
            await self._send_packet(eio_sid, error)
            return
        await super()._handle_connect(eio_sid, namespace, data)


class _Engine(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO's server whose sockets need neither tasks nor queues."""

    sockets: dict[str | None, _Socket]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wheel = _Wheel(max(1, round(self.ping_interval / PULSE.total_seconds())))
        self.silent: dict[_Socket, float] = {}
        """Connections that have not said what they want, by the time since when, oldest first."""
        self.on_wish: OnWish = _grant_nothing
        """Told the Engine.IO session id."""
        self._tasks: set[asyncio.Task[None]] = set()

    def create_queue(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing is queued."""

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Run a coroutine that nobody waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _handle_connect(self, environ: Mapping[str, Any], transport: str, jsonp_index: object = None) -> str:
        """Open a connection and let go of the request; ``jsonp_index`` is of a transport we do not have."""
        scope: Scope = environ["asgi.scope"]
        await environ["asgi.send"]({"type": "websocket.accept"})
        socket = _Socket(self, self.generate_id(), WebSocket.of(scope))
        self.sockets[socket.sid] = socket
        self.silent[socket] = time.monotonic()
        await socket.send(
            Packet(
                OPEN,
                {
                    "sid": socket.sid,
                    "upgrades": [],
                    "pingInterval": round(self.ping_interval * 1000),
                    "pingTimeout": round(self.ping_timeout * 1000),
                    "maxPayload": self.max_http_buffer_size,
                },
            )
        )
        await self._trigger_event("connect", socket.sid, _environ(scope.get(LIVE_EVENT)), run_async=False)
        self.wheel.add(socket)
        socket.open()
        return ""


class _Socket(AsyncSocket):  # type: ignore[misc]
    """One client: Engine.IO's state of it, on a connection that was taken over from ASGI."""

    def __init__(self, server: _Engine, sid: str, connection: WebSocket) -> None:
        super().__init__(server, sid)
        self._connection = connection
        self._is_connecting = False
        self.awaits_pong = False

    def open(self) -> None:
        """Take messages from now on."""
        self.connected = self.upgraded = True
        self._connection.take_over(self._take)

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._connection.unsent

    def write(self, frame: bytes) -> None:
        """Send an encoded websocket frame."""
        self._connection.write(frame)

    def hang_up(self, code: int) -> None:
        """Close the connection; all else follows from its end."""
        self._connection.hang_up(code)

    async def send(self, pkt: Packet) -> None:
        """Engine.IO hands over a packet."""
        self.write(text_frame(pkt.encode().encode()))

    def schedule_ping(self) -> None:
        """The wheel pings."""

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """Tell the application; then the connection ends. Nothing is left to wait for, or to be written."""
        await super().close(wait=False, abort=True, reason=reason)
        self.server.sockets.pop(self.sid, None)
        self.server.silent.pop(self, None)
        self.server.wheel.discard(self)
        self.hang_up(SERVICE_RESTART)

    def _take(self, message: Mapping[str, Any]) -> None:
        """What arrives. Pages connect, answer pings, choose topics and leave; all else goes over HTTP."""
        text: str = message.get("text") or ""  # a binary frame has none
        if message["type"] == "websocket.disconnect":
            self._end(self.server.reason.TRANSPORT_CLOSE)
        elif text == _PONG:
            self.awaits_pong = False
        elif text == _GOODBYE:
            self._end(self.server.reason.CLIENT_DISCONNECT)
        elif self._connection.is_closing:
            return  # the rest of what came with the frame we hung up on
        elif text in _LEAVE or _is_connect(text):
            self._hand_on(text)
        elif wish := _WISH.fullmatch(text):
            self.server.on_wish(self.sid, wish[2], wish[1] == "watch")
        else:
            metrics.NONSENSE.inc()
            self.hang_up(POLICY_VIOLATION)

    def _hand_on(self, text: str) -> None:
        """Let python-socketio read it. Who does not wait for the answer to one CONNECT before the next is no page."""
        if self._is_connecting:
            self.hang_up(POLICY_VIOLATION)
            return
        self._is_connecting = True
        self.server.spawn(self._receive(Packet(encoded_packet=text)))

    async def _receive(self, packet: Packet) -> None:
        try:
            await self.receive(packet)
        finally:
            self._is_connecting = False

    def _end(self, reason: str) -> None:
        if not self.closing:
            self.server.spawn(self.close(reason=reason))


class _Wheel:
    """Every client once in a round: pinged, or found dead."""

    def __init__(self, slots: int) -> None:
        self._slots: list[dict[_Socket, None]] = [{} for _ in range(slots)]
        self._next = 0

    def add(self, socket: _Socket) -> None:
        """A client that was just opened: its turn comes last."""
        self._slots[self._next - 1][socket] = None

    def discard(self, socket: _Socket) -> None:
        """No error if it is not there."""
        for slot in self._slots:
            slot.pop(socket, None)

    def turn(self) -> None:
        """The next slot's turn."""
        slot = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        for socket in list(slot):
            if socket.awaits_pong:
                socket.hang_up(POLICY_VIOLATION)
                continue
            socket.awaits_pong = True
            socket.write(_PING_FRAME)


@lru_cache(maxsize=256)
def _environ(event: object) -> Mapping[str, object]:
    """What is kept of a request: the same for all connections of an event."""
    return {LIVE_EVENT: event}


def _is_connect(text: str) -> bool:
    if not text.startswith("40"):
        return False
    try:
        return bool(SocketIoPacket(encoded_packet=text[1:]).packet_type == CONNECT)
    except (ValueError, RecursionError):  # not JSON, or nested without end
        return False


def _library_log(name: str) -> logging.Logger:
    """A logger to hand to a library that would otherwise write to standard error past our format.

    Below ERROR the libraries report every packet and what clients did wrong.
    """
    library = logging.getLogger(name)
    library.setLevel(logging.ERROR)
    return library
