"""What can be listened to beside the line: a module above offers a topic, clients ask for it by its name.

The queue knows nothing of what is told. Who missed something is told as soon as it can take words again that there was
something, by a reminder that the topic's owner chooses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tiketi_runtime.contracts.identity import EventId
from tiketi_services.ticket.queue.push.fanout import Client, bytes_frame, push

_WRITES_PER_TURN: Final = 500
"""Other work gets its turn after so many writes."""

Greet = Callable[[EventId], bytes | None]
"""What somebody is told who begins to listen; None: what is told next says it all."""


class Topic:
    """One topic: its listeners by event."""

    def __init__(self, namespace: str, name: str) -> None:
        self.name = name
        self.greet: Greet = lambda _: None
        self._namespace = namespace
        self._channels: dict[EventId, _Channel] = {}

    def events(self) -> list[EventId]:
        """Events that somebody listens for."""
        return list(self._channels)

    def add(self, event: EventId, client: Client) -> None:
        """Greet the client, who hears from now on what is told. No greeting for who is there already."""
        channel = self._channels.setdefault(event, _Channel())
        if client in channel.members:
            return
        channel.members[client] = None
        words = self.greet(event)
        if words is not None and not push(client, self._frame(words)):
            channel.behind[client] = None

    def discard(self, event: EventId, client: Client) -> None:
        """Forget the client; no error if it is not there."""
        channel = self._channels.get(event)
        if channel is None:
            return
        channel.members.pop(client, None)
        channel.behind.pop(client, None)
        if not channel.members:
            del self._channels[event]

    async def tell(self, event: EventId, words: bytes) -> int:
        """Tell everybody who listens; returns how many were told. Who cannot take it now is behind."""
        channel = self._channels.get(event)
        if channel is None:
            return 0
        frame, told = self._frame(words), 0
        for count, client in enumerate(tuple(channel.members), 1):
            if push(client, frame):
                told += 1
                channel.behind.pop(client, None)
            elif client in channel.members:
                channel.behind[client] = None
            if count % _WRITES_PER_TURN == 0:
                await asyncio.sleep(0)
        return told

    def remind(self, event: EventId, words: bytes) -> None:
        """Tell those who missed something, as far as they can take it now."""
        channel = self._channels.get(event)
        if channel is None or not channel.behind:
            return
        frame = self._frame(words)
        for client in list(channel.behind):
            if push(client, frame):
                del channel.behind[client]

    def _frame(self, words: bytes) -> bytes:
        return bytes_frame(self._namespace, self.name, words)


class _Channel:
    """Who hears the same."""

    __slots__ = ("behind", "members")

    def __init__(self) -> None:
        self.members: dict[Client, None] = {}
        self.behind: dict[Client, None] = {}
        """Those who missed what was told last."""
