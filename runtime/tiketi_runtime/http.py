"""HTTP connections that send an answer in one piece.

uvicorn writes the head of an answer and then its body: two system calls, two packets, and a client that is woken for
the first without being able to do anything. Here what is written in one turn of the event loop leaves together.

All knowledge of uvicorn's inner workings that this needs is in ``Http``; tests/integration/runtime/test_http.py fails
when they change under it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_GATHERED: Final = 64 * 1024
"""Bytes. Larger parts are sent as they come: copying them would cost more than it saves."""


class Http(HttpToolsProtocol):
    """uvicorn's HTTP protocol, to be named as ``http`` in its configuration."""

    def connection_made(self, transport: Any) -> None:
        """asyncio.Protocol."""
        self._gathering = _OneWrite(transport, asyncio.get_running_loop())
        super().connection_made(cast(asyncio.Transport, self._gathering))

    def handle_websocket_upgrade(self) -> None:
        """A websocket writes by itself, and counts what waits."""
        self.transport = self._gathering.plain()
        super().handle_websocket_upgrade()


class _OneWrite:
    """A transport that gathers what is written in one turn of the event loop."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        if len(data) > _MOST_GATHERED:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def plain(self) -> asyncio.Transport:
        """The transport itself, with nothing left to be sent."""
        self._flush()
        return self._transport

    def _flush(self) -> None:
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
