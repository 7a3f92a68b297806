"""Websocket connections that wait for hours, for as little memory as waiting needs.

ASGI keeps a task, its whole call stack, two queues and the request of every connection alive for as long as it is
open. An application may take a connection over instead: its ASGI call then ends, messages are handed to a plain
function, and frames that were encoded once are written to many connections.

All knowledge of uvicorn's and websockets' inner workings is in ``WebSocket``;
tests/integration/runtime/test_websocket.py fails when they change under it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.types import Scope
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN

Receiver = Callable[[Mapping[str, Any]], None]
"""Takes one ASGI message. Must not raise; hears of the end once or twice."""

SERVICE_RESTART: Final = 1012
"""Close code of a server that ends in good order (IANA WebSocket registry): come back, to whoever answers."""
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
_NOT_TEXT: Final = 1007
_LAST_WORDS_SECONDS: Final = 5
"""How long a client may take to read what was sent before we hung up."""
_SEND_BUFFER: Final = 32 * 1024
"""Bytes the kernel holds for a client at most (it doubles the number): without a bound it grows to megabytes."""
_EXTENSION = "tiketi.websocket"


class NotOurServer(RuntimeError):
    """The application does not run under ``server_config``."""


def text_frame(payload: bytes) -> bytes:
    """A whole text message from a server, as it goes over the wire to any number of connections."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def binary_frame(payload: bytes) -> bytes:
    """The same, of bytes."""
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


class WebSocket(WebSocketsSansIOProtocol):
    """uvicorn's connection; until it is taken over, it behaves as that does."""

    _is_taken_over = False

    @classmethod
    def of(cls, scope: Scope) -> WebSocket:
        """The connection behind an ASGI scope. Raises NotOurServer."""
        try:
            connection: WebSocket = scope["extensions"][_EXTENSION]["connection"]
        except KeyError as error:
            raise NotOurServer("Serve live connections with server_config.") from error
        return connection

    def take_over(self, receiver: Receiver) -> None:
        """From now on ``receiver`` gets what arrives, and the ASGI call may return without closing anything.

        To be called after the connection was accepted. Frees what only the handshake and ASGI needed.
        """
        self._is_taken_over = True
        inbox, self.queue = self.queue, _Inbox(receiver)  # type: ignore[assignment]
        self.writable = _ALWAYS  # type: ignore[assignment]
        while not inbox.empty():
            receiver(inbox.get_nowait())
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.transport.resume_reading()
        self.read_paused = True  # as far as uvicorn knows: it would stop reading after every message
        del self.scope, self.request, self.response

    def write(self, frame: bytes) -> None:
        """Send encoded frames. Silently nothing when the connection is closing."""
        if not self.transport.is_closing():
            self.transport.write(frame)

    @property
    def unsent(self) -> int:
        """Bytes that wait here because the client, or the network, does not take them."""
        size: int = self.transport.get_write_buffer_size()
        return size

    @property
    def is_closing(self) -> bool:
        """Whether the end has begun, from either side."""
        return self.transport.is_closing()

    def hang_up(self, code: int) -> None:
        """Close with ``code``, without waiting for the client's answer."""
        if self.transport.is_closing():
            return
        if self.conn.state is OPEN:
            self.conn.send_close(code)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
        if self.unsent:  # a client that reads nothing would keep the connection for ever
            self.close_timer = self.loop.call_later(_LAST_WORDS_SECONDS, self.transport.abort)

    # --- What uvicorn does otherwise

    def handle_connect(self, event: Request) -> None:
        """The scope names its connection."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            self.scope["extensions"][_EXTENSION] = {"connection": self}

    async def run_asgi(self) -> None:
        """A connection that was taken over outlives the ASGI call."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:  # as uvicorn does, the cancelling of its shutdown included
            self.logger.exception("Exception in ASGI application")
            self.send_500_response()
        else:
            if self._is_taken_over:
                return
            if not self.handshake_complete and not self.close_sent:  # an HTTP response refuses in good order
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()
        if self.close_timer is None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing refers in a circle to a connection that is gone: memory is free at once, without the collector."""
        super().connection_lost(exc)
        if self._is_taken_over:
            self.conn.parser.close()  # its frame holds the connection
            self.queue = _Inbox(_ignore)  # type: ignore[assignment]

    def send_receive_event_to_app(self) -> None:
        """Text that is not UTF-8 ends the connection (RFC 6455, 8.1); uvicorn would log a traceback as well."""
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self.conn.fail(_NOT_TEXT, "not UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()


class _Inbox:
    """Where uvicorn puts messages once a connection is taken over: straight into the receiver's hands."""

    __slots__ = ("put_nowait",)

    def __init__(self, receiver: Receiver) -> None:
        self.put_nowait = receiver


def _ignore(_: Mapping[str, Any]) -> None:
    """Nobody is there any more."""


class _Always:
    """In place of the event that lets ASGI wait until it may write: nobody waits."""

    def set(self) -> None:
        """The client has caught up."""

    def clear(self) -> None:
        """The client is behind."""


_ALWAYS: Final = _Always()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
