"""Who may listen to topics beside the line: those who are shopping, on the connection they have.

Their number is bounded by the sale's ``totalActiveUsers``; whoever waits, or only looks on, asks over HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.outages import is_outage
from tiketi_services.ticket.queue.domain import Whereabouts
from tiketi_services.ticket.queue.each import for_each
from tiketi_services.ticket.queue.places.states import Key
from tiketi_services.ticket.queue.push.fanout import Client, event_frame, push
from tiketi_services.ticket.queue.push.topics import Topic
from tiketi_services.ticket.queue.repository import MOST_BEATS, Lines

_TRUSTED: Final = 10.0
"""Seconds for which somebody who was found shopping is not looked up again."""
_DISTRUSTED: Final = 1.0
"""Seconds for which somebody who was not is refused without looking."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Watcher:
    """A connection that has asked for a topic."""

    client: Client
    key: Key
    account: BuyerId | None
    wanted: set[str] = field(default_factory=set)
    """Topics asked for, and not refused."""
    refusal: str | None = None
    """Why it may not listen, as of ``checked_at``."""
    checked_at: float = -inf
    """time.monotonic()"""
    is_being_checked: bool = False


class Watching:
    """The topics, and those who listen to them."""

    def __init__(self, lines: Lines, namespace: str) -> None:
        self._lines = lines
        self._namespace = namespace
        self._topics: dict[str, Topic] = {}
        self._watchers: dict[str, Watcher] = {}
        self._checks: set[asyncio.Task[None]] = set()

    def offer(self, name: str) -> Topic:
        """A new topic."""
        topic = self._topics[name] = Topic(self._namespace, name)
        return topic

    def watch(self, sid: str, client: Client, key: Key, account: BuyerId | None, name: str) -> None:
        """Let the client listen, or tell it why not, once that is known."""
        watcher = self._watchers.setdefault(sid, Watcher(client, key, account))
        if name not in self._topics:
            self._refuse(watcher, name, "unknown-topic")
            return
        watcher.wanted.add(name)
        if account is None:
            watcher.refusal = "not-admitted"
            self._settle(watcher)
            return
        age = time.monotonic() - watcher.checked_at
        if age < (_TRUSTED if watcher.refusal is None else _DISTRUSTED):
            self._settle(watcher)
        elif not watcher.is_being_checked:
            watcher.is_being_checked = True
            check = asyncio.create_task(self._check(sid, watcher, account))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)

    def unwatch(self, sid: str, name: str) -> None:
        """The client has heard enough of it."""
        watcher = self._watchers.get(sid)
        if watcher is not None and name in watcher.wanted:
            watcher.wanted.discard(name)
            self._topics[name].discard(watcher.key[0], watcher.client)

    def forget(self, sid: str) -> None:
        """The connection is gone."""
        watcher = self._watchers.pop(sid, None)
        if watcher is not None:
            for name in watcher.wanted:
                self._topics[name].discard(watcher.key[0], watcher.client)

    async def review(self) -> None:
        """Send those away who are done shopping. Those whom Redis has lost stay: they are where they were."""
        listeners: defaultdict[Key, list[Watcher]] = defaultdict(list)
        for watcher in self._watchers.values():
            if watcher.wanted and not watcher.is_being_checked:
                listeners[watcher.key].append(watcher)
        parts = [
            (key, watchers[start : start + MOST_BEATS])
            for key, watchers in listeners.items()
            for start in range(0, len(watchers), MOST_BEATS)
        ]
        await for_each(self._review, parts)

    async def _review(self, part: tuple[Key, Sequence[Watcher]]) -> None:
        key, watchers = part
        buyers = [watcher.account for watcher in watchers if watcher.account is not None]
        found = dict(zip(buyers, await self._lines.whereabouts(*key, buyers), strict=True))
        for watcher in watchers:
            if watcher.account is not None and found[watcher.account] is Whereabouts.OUT:
                watcher.refusal, watcher.checked_at = "not-admitted", time.monotonic()
                self._settle(watcher)

    async def _check(self, sid: str, watcher: Watcher, account: BuyerId) -> None:
        """Whether the client is shopping."""
        try:
            [where] = await self._lines.whereabouts(*watcher.key, [account])
            watcher.refusal = None if where is Whereabouts.ADMITTED else "not-admitted"
        except Exception as error:  # whatever it is, the client hears a code
            watcher.refusal = error.code if isinstance(error, TiketiError) else "unavailable"
            if not isinstance(error, TiketiError) and not is_outage(error):
                log.exception("watcher not checked")
        finally:
            watcher.checked_at, watcher.is_being_checked = time.monotonic(), False
        if self._watchers.get(sid) is watcher:  # it may be gone by now
            self._settle(watcher)

    def _settle(self, watcher: Watcher) -> None:
        """Let the client listen to what it wants, or to nothing."""
        for name in sorted(watcher.wanted):
            if watcher.refusal is None:
                self._topics[name].add(watcher.key[0], watcher.client)
            else:
                watcher.wanted.discard(name)
                self._topics[name].discard(watcher.key[0], watcher.client)
                self._refuse(watcher, name, watcher.refusal)

    def _refuse(self, watcher: Watcher, name: str, code: str) -> None:
        body = b'{"topic":"%b","code":"%b"}' % (name.encode(), code.encode())
        push(watcher.client, event_frame(self._namespace, "unwatched", body))
