"""The same words to many connections: encoded once, written straight to each connection's transport.

python-socketio's own manager makes a task for every client and message, which puts the packet into a queue, which
wakes another task. Behind the same interface ``Manager`` costs one write. What a client does not take is dropped, never
queued: the next state is as good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol

from engineio.packet import MESSAGE
from socketio import AsyncManager
from socketio.packet import BINARY_EVENT, EVENT

from tiketi_runtime.websocket import binary_frame, text_frame
from tiketi_services.ticket.queue import metrics

MOST_UNSENT: Final = 8 * 1024
"""Bytes a client may be behind, beyond what the kernel holds for it: some ten states."""
_WRITES_PER_TURN = 500
"""Other work gets its turn after so many writes."""


class Client(Protocol):
    """One connection."""

    @property
    def unsent(self) -> int:
        """Bytes that it has not taken yet."""

    def write(self, frame: bytes) -> None:
        """Send."""


def event_frame(namespace: str, event: str, body: bytes) -> bytes:
    """A Socket.IO event with one argument, JSON, as it goes over the wire."""
    return text_frame(b'%d%d%s,["%s",%s]' % (MESSAGE, EVENT, namespace.encode(), event.encode(), body))


def bytes_frame(namespace: str, event: str, body: bytes) -> bytes:
    """A Socket.IO event with one argument of bytes: two frames in a row, as they go over the wire."""
    words = b'%d%d1-%s,["%s",{"_placeholder":true,"num":0}]' % (
        MESSAGE,
        BINARY_EVENT,
        namespace.encode(),
        event.encode(),
    )
    return text_frame(words) + binary_frame(body)


def push(client: Client, frame: bytes) -> bool:
    """Write, unless the client is too far behind; then False."""
    if client.unsent > MOST_UNSENT:
        metrics.PUSHES_DROPPED.inc()
        return False
    client.write(frame)
    return True


class Audience:
    """The clients who listen to one line, by the group of their place; None: without a place."""

    def __init__(self) -> None:
        self._groups: dict[int | None, dict[Client, None]] = {}
        self._told: dict[int | None, str] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, client: Client, group: int | None) -> None:
        """Let the client hear what is told from now on."""
        self._groups.setdefault(group, {})[client] = None

    def discard(self, client: Client, group: int | None) -> None:
        """Forget the client; no error if it is not there."""
        members = self._groups.get(group, {})
        members.pop(client, None)
        if not members:
            self._groups.pop(group, None)
            self._told.pop(group, None)

    async def tell(self, news: Callable[[int | None], tuple[str, Callable[[], bytes]]]) -> int:
        """Tell every group its news, unless it was told the same before; returns how many clients were written to.

        ``news`` gives, for a group, a tag of what is to be told and how to encode it.
        """
        written = 0
        turn = _WRITES_PER_TURN
        for group in list(self._groups):
            tag, encode = news(group)
            if self._told.get(group) == tag or group not in self._groups:
                continue
            self._told[group] = tag
            frame = encode()
            members = tuple(self._groups[group])
            written += sum(push(client, frame) for client in members)
            turn -= len(members)
            if turn <= 0:
                turn = _WRITES_PER_TURN
                await asyncio.sleep(0)
        metrics.PUSHES.inc(written)
        return written


class Manager(AsyncManager):  # type: ignore[misc]
    """Who is connected, for python-socketio; what it emits is encoded once and written to the connections.

    Without the room python-socketio keeps for every single client: it costs memory, and makes each disconnection
    walk through the rooms of all others.
    """

    def __init__(self, on_connected: Callable[[str], Awaitable[None]]) -> None:
        """``on_connected`` is told the session id after the client has heard that it is connected."""
        super().__init__()
        self._on_connected = on_connected

    async def connect(self, sid: str, namespace: str) -> str:
        """The client was let in and has heard so. It may be gone by now: python-socketio would keep it for ever."""
        connected: str = await super().connect(sid, namespace)
        if self.eio_sid_from_sid(connected, namespace) not in self.server.eio.sockets:
            await self.server.disconnect(connected, namespace)
            return connected
        await self._on_connected(connected)
        return connected

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: str | None = None,
        skip_sid: str | list[str] | None = None,
        callback: Callable[..., Any] | None = None,
        to: str | None = None,
        **_: Any,
    ) -> None:
        """Tell one client (``to``: its session id), or all. With a callback python-socketio's own way is taken."""
        if callback is not None:
            await super().emit(event, data, namespace, room, skip_sid, callback, to)
            return
        frame = event_frame(namespace, event, self.json.dumps(data, separators=(",", ":")).encode())
        skipped = skip_sid if isinstance(skip_sid, list) else [skip_sid]
        for sid, eio_sid in self.get_participants(namespace, to or room):
            socket = self.server.eio.sockets.get(eio_sid)
            if socket is not None and sid not in skipped:
                push(socket, frame)

    def get_participants(self, namespace: str, room: str | None) -> Iterable[tuple[str, str]]:
        """Session ids, Socket.IO's and Engine.IO's, of a room; that of a single client is not stored."""
        eio_sid = None if room is None else self.eio_sid_from_sid(room, namespace)
        if room is not None and eio_sid is not None:
            return [(room, eio_sid)]
        participants: Iterable[tuple[str, str]] = super().get_participants(namespace, room)
        return participants

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        """Enter a room, but not the one of one's own."""
        if room != sid:
            super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
