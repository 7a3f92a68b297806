"""Where a process that is asked for more than it can do says no: at the entrance, at once, and cheaply.

When everybody is let in, everybody waits, and most give up before they are served: the work was for nobody. So as many
are let in as are answered soon, whatever the machine can do at the moment, and the others are told when to come again.
Only what begins a piece of work (a hold, a payment) has this entrance. Who is inside is never turned away: they finish.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from prometheus_client import Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from tiketi_runtime.errors import Unavailable
from tiketi_runtime.problems import problem_response

TARGET_SECONDS: Final = 0.06
"""Answers may take so long on average before fewer are let in: p99 is three times as much."""
RETRY_SECONDS: Final = 1
_FIRST: Final = 64
_LEAST: Final = 6
_MEMORY: Final = 8
"""Answers that the mean is made of."""

TURNED_AWAY = Counter(
    "tiketi_http_turned_away_total", "Requests refused at the entrance because more would take too long.", ["service"]
)


class Room:
    """How many may be inside: more while answers come soon, fewer when they do not. Pure."""

    def __init__(self, target: float = TARGET_SECONDS) -> None:
        self._target = target
        self._mean = 0.0
        self._inside = 0
        self._shrunk_at = 0.0
        self.limit = float(_FIRST)

    def enter(self) -> bool:
        """Whether there is room for one more; they then have to leave."""
        if self._inside >= self.limit:
            return False
        self._inside += 1
        return True

    def leave(self, took: float, now: float) -> None:
        """One of them has an answer, after so many seconds. ``now``: any clock's, in seconds."""
        self._mean += (took - self._mean) / _MEMORY
        if self._mean <= self._target:
            if self._inside >= self.limit - 1:
                self.limit += 1 / self.limit
        elif now - self._shrunk_at > self._target:  # what follows from the last time is seen first
            part = max(0.5, self._target / self._mean)
            self.limit = max(_LEAST, min(self.limit, self._inside) * part)
            self._shrunk_at = now
        self._inside -= 1


class Entrance:
    """Lets requests in, as many as there is room for."""

    def __init__(self, service: str, doors: Collection[tuple[str, str]]) -> None:
        """``doors``: method and last word of the path of what begins a piece of work."""
        self._doors = frozenset(doors)
        self._room = Room()
        self._turned_away = TURNED_AWAY.labels(service)
        refusal = problem_response(
            Unavailable("More come than can be served. Nothing was done; come again.", retryAfter=RETRY_SECONDS)
        )
        self._start = {"type": "http.response.start", "status": 503, "headers": refusal.raw_headers}
        self._body = {"type": "http.response.body", "body": refusal.body}

    def leads(self, scope: Scope) -> bool:
        """Whether this HTTP request begins a piece of work."""
        path = scope["path"]
        return (scope["method"], path[path.rfind("/") + 1 :]) in self._doors

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or refuse it."""
        if not self._room.enter():
            self._turned_away.inc()
            await send(self._start)
            await send(self._body)
            return
        began = time.monotonic()
        try:
            await app(scope, receive, send)
        finally:
            now = time.monotonic()
            self._room.leave(now - began, now)
