"""Live connections: Socket.IO over websocket, one state message for all who wait in a line.

State, never deltas: a client that reconnects, to whichever pod, is complete at once, and pods need no message bus.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import socketio
from engineio.packet import MESSAGE, Packet

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line
from tiketi_runtime.errors import InvalidRequest, TiketiError, Unavailable
from tiketi_runtime.outages import is_outage
from tiketi_runtime.security import TokenVerifier, identity_from_claims
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import find_line, next_change
from tiketi_services.ticket.queue.repository import MOST_BEATS
from tiketi_services.ticket.queue.states import StateMessage, States
from tiketi_services.ticket.queue.usecases import Queue, heartbeat, open_receipt
from tiketi_services.ticket.sales.sales import Sales
from tiketi_services.ticket.settings import TicketSettings

LIVE_EVENT: Final = "tiketi.event"
"""Where the ASGI scope says which event the connection is for."""
_PING_INTERVAL_SECONDS = 15
_PING_TIMEOUT_SECONDS = 10
_MAX_MESSAGE_BYTES = 4096
_MOST_UNSENT = 4
"""Packets a client may be behind; states beyond are dropped for it, the next one is as good."""
_SENDS_PER_TURN = 500
"""Other work gets its turn after so many sends."""

Audience = tuple[EventId, Line]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """One connection that has said what it wants to hear."""

    connection: str
    """Engine.IO session id."""
    audience: Audience
    buyer: BuyerId | None
    """None: looks on without a place."""


class Live:
    """The connections of this process and what they are told."""

    def __init__(
        self, settings: TicketSettings, sales: Sales, states: States, queue: Queue, access_tokens: TokenVerifier
    ) -> None:
        self._sales = sales
        self._states = states
        self._queue = queue
        self._access_tokens = access_tokens
        self._connect_deadline = settings.connect_deadline.total_seconds()
        self._listeners: dict[str, Listener] = {}
        self._audiences: dict[Audience, dict[str, None]] = {}
        self._told: dict[Audience, str] = {}
        self._next_change: dict[Audience, float] = {}
        self._welcomes: set[asyncio.Task[None]] = set()
        self._silent: dict[str, float] = {}
        self.server = socketio.AsyncServer(
            async_mode="asgi",
            transports=["websocket"],
            logger=_library_log("tiketi.socketio"),
            engineio_logger=_library_log("tiketi.engineio"),
            cors_allowed_origins=[],  # origins are checked before a connection gets here
            ping_interval=_PING_INTERVAL_SECONDS,
            ping_timeout=_PING_TIMEOUT_SECONDS,
            max_http_buffer_size=_MAX_MESSAGE_BYTES,
            http_compression=False,
        )
        self.server.on("connect", self._on_connect)
        self.server.on("disconnect", self._on_disconnect)

    # --- Connections

    async def _on_connect(self, sid: str, environ: Mapping[str, Any], auth: object = None) -> None:
        event: EventId = environ["asgi.scope"][LIVE_EVENT]
        try:
            audience, buyer = await self._admit(event, auth)
        except Exception as error:  # whatever it is, the client hears a code and the connection stays closed
            raise _refusal(error) from error
        connection = self.server.manager.eio_sid_from_sid(sid, "/")
        self._listeners[sid] = Listener(connection, audience, buyer)
        self._audiences.setdefault(audience, {})[connection] = None
        self._silent.pop(connection, None)
        metrics.CONNECTIONS.set(len(self._listeners))
        welcome = asyncio.create_task(self._welcome(connection, audience))
        self._welcomes.add(welcome)
        welcome.add_done_callback(self._welcomes.discard)

    async def _admit(self, event: EventId, auth: object) -> tuple[Audience, BuyerId | None]:
        """Who connects to which line. Presence counts as a heartbeat from now on."""
        if not isinstance(auth, Mapping) or not isinstance(auth.get("line"), str):
            raise InvalidRequest("Connect with auth {line, token, receipt}; without token and receipt to look on.")
        sale = await self._sales.sheet(event)
        line = find_line(sale, auth["line"])
        token, receipt = auth.get("token"), auth.get("receipt")
        if token is None and receipt is None:
            return (event, line.name), None
        if not isinstance(token, str) or not isinstance(receipt, str):
            raise InvalidRequest("Send token and receipt both, as text, or neither.")
        claims = await self._access_tokens.verify(token, "at+jwt", "tiketi-auth")
        buyer = BuyerId(identity_from_claims(claims).subject)
        open_receipt(self._queue, sale, line.name, buyer, receipt)
        await heartbeat(self._queue, sale, line.name, buyer, receipt)
        return (event, line.name), buyer

    async def _welcome(self, connection: str, audience: Audience) -> None:
        """The first state, after the connection was acknowledged. Should it fail, the next tick brings one."""
        try:
            sale = await self._sales.sheet(audience[0])
            message = await self._states.current(sale, find_line(sale, audience[1]))
        except Exception as error:
            if not isinstance(error, TiketiError) and not is_outage(error):
                raise
            log.info("no state yet", extra={"event": audience[0], "error": f"{type(error).__name__}: {error}"})
            return
        await self._send([connection], message)

    async def _on_disconnect(self, sid: str, _reason: str) -> None:
        listener = self._listeners.pop(sid, None)
        if listener is None:
            return
        members = self._audiences[listener.audience]
        members.pop(listener.connection, None)
        if not members:
            del self._audiences[listener.audience]
            self._told.pop(listener.audience, None)
            self._next_change.pop(listener.audience, None)
        metrics.CONNECTIONS.set(len(self._listeners))

    # --- What is told

    async def tick(self) -> None:
        """Tell every audience its state, if that has changed."""
        await asyncio.gather(*(self._tell(audience) for audience in list(self._audiences)))

    async def cross(self) -> None:
        """Tell those whose sale enters another phase, without waiting for the next tick."""
        now = time.monotonic()
        due = [audience for audience in self._audiences if now >= self._next_change.get(audience, inf)]
        await asyncio.gather(*(self._tell(audience) for audience in due))

    async def _tell(self, audience: Audience) -> None:
        sale = self._sales.all().get(audience[0])
        line = None if sale is None else sale.line(audience[1])
        if sale is None or line is None:  # deleted while they waited
            return
        message = await self._states.fresh(sale, line)
        change = next_change(sale, message.server_time)
        until_change = inf if change is None else (change - message.server_time).total_seconds()
        self._next_change[audience] = time.monotonic() + until_change
        if self._told.get(audience) != message.tag:
            self._told[audience] = message.tag
            await self._send(list(self._audiences.get(audience, ())), message)

    async def _send(self, connections: Iterable[str], message: StateMessage) -> None:
        """Encoded once; each client costs a queue entry. Who is behind misses this one and gets a later one."""
        packet = Packet(MESSAGE, data=f'2["state",{message.body.decode()}]')
        sockets = self.server.eio.sockets
        for index, connection in enumerate(connections):
            socket = sockets.get(connection)
            if socket is None or socket.closed or socket.closing:
                continue
            if socket.queue.qsize() >= _MOST_UNSENT:
                metrics.PUSHES_DROPPED.inc()
                continue
            await socket.send(packet)
            metrics.PUSHES.inc()
            if index % _SENDS_PER_TURN == _SENDS_PER_TURN - 1:
                await asyncio.sleep(0)

    # --- Who is there

    async def beat(self) -> None:
        """Report every connected buyer alive, in a few scripts for all."""
        buyers: dict[Audience, set[BuyerId]] = {}
        for listener in self._listeners.values():
            if listener.buyer is not None:
                buyers.setdefault(listener.audience, set()).add(listener.buyer)
        for (event, line), present in buyers.items():
            names = list(present)
            for start in range(0, len(names), MOST_BEATS):
                await self._queue.lines.heartbeat(event, line, names[start : start + MOST_BEATS])

    async def reap(self) -> None:
        """Close connections that never said what they want."""
        now = time.monotonic()
        known = {listener.connection for listener in self._listeners.values()}
        silent = self.server.eio.sockets.keys() - known
        self._silent = {connection: self._silent.get(connection, now) for connection in silent}
        for connection, since in list(self._silent.items()):
            if now - since > self._connect_deadline:
                await self._hang_up(connection)

    async def _hang_up(self, connection: str) -> None:
        """Close at once; Engine.IO alone would ask the client to close and wait for it."""
        socket = self.server.eio.sockets.get(connection)
        if socket is not None:
            await socket.close(wait=False, abort=True)
            await socket.queue.put(None)

    @property
    def connections(self) -> int:
        """Open connections, those that have not said anything yet included."""
        return len(self.server.eio.sockets)


def _library_log(name: str) -> logging.Logger:
    """A logger to hand to a library that would otherwise write to standard error past our format.

    Below ERROR the libraries report every packet and what clients did wrong.
    """
    library = logging.getLogger(name)
    library.setLevel(logging.ERROR)
    return library


def _refusal(error: Exception) -> socketio.exceptions.ConnectionRefusedError:
    """The error as the client's connect_error: its message, and code and members in ``data``."""
    if not isinstance(error, TiketiError):
        if not is_outage(error):
            log.error("connection failed", exc_info=error)
        error = Unavailable("The line cannot be reached just now; try again.", retryAfter=1)
    return socketio.exceptions.ConnectionRefusedError(
        error.detail, {"code": error.code, "status": error.status, **error.members}
    )
