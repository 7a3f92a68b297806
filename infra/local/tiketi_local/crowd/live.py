"""The line as a buyer's client sees it: how any client finds its position, and how long it takes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tiketi_local.crowd.client import Json

NAMESPACE = "/queue"
GROUP = 64
"""Places told together."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Until the buyer's turn, at least and at most."""

    earliest: timedelta
    latest: timedelta | None
    """None: nobody can say."""


def group_of(place: int) -> int:
    """The group that covers a place."""
    return (place - 1) // GROUP


def position_in(state: Json, place: int) -> int | None:
    """Where the buyer at ``place`` stands among those who wait, from 1.

    None if the state is another group's, or the buyer is not among those who wait: not yet, as a state may be a second
    older than the place, or not any more.
    """
    if state.get("group") != group_of(place):
        return None
    alive, bit = int(state["alive"], 16), (place - 1) % GROUP
    if not alive >> bit & 1:
        return None
    return int(state["ahead"]) + (alive & ((1 << bit) - 1)).bit_count() + 1


def wait_in(state: Json, position: int) -> Wait | None:
    """How long the buyer at ``position`` has to expect to wait; None: unknown."""
    pace = state["pace"]
    if pace is None or pace["high"] <= 0:
        return None
    opens_in = datetime.fromisoformat(state["opensAt"]) - datetime.fromisoformat(state["serverTime"])
    start, ahead = max(opens_in, timedelta()), position - 1
    latest = None if pace["low"] <= 0 else start + timedelta(minutes=ahead / pace["low"])
    return Wait(start + timedelta(minutes=ahead / pace["high"]), latest)


@dataclass(slots=True)
class LiveLine:
    """The line as pushed to one buyer: always the whole state, never a difference."""

    state: Json = field(default_factory=dict)
    place: int | None = None
    """Number in the order of the line; None until it is drawn."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self, socket: Any) -> None:
        """Take over what the socket will be told."""
        socket.on("state", self.put_state, namespace=NAMESPACE)
        socket.on("place", self.put_place, namespace=NAMESPACE)

    def put_state(self, state: Json) -> None:
        """Take over a pushed state."""
        self.state = state
        self.changed.set()

    def put_place(self, place: Json) -> None:
        """Take over the place, as told on connecting and when it is drawn."""
        self.place = place["place"]
        self.changed.set()

    @property
    def is_over(self) -> bool:
        """Nothing is left to wait for."""
        return self.state.get("phase") in ("SoldOut", "Closed", "Cancelled")

    @property
    def position(self) -> int | None:
        """Where the buyer stands among those who wait; None: not known yet."""
        return None if self.place is None or not self.state else position_in(self.state, self.place)

    @property
    def wait(self) -> Wait | None:
        """How long the buyer has to expect to wait; None: unknown."""
        return None if self.position is None else wait_in(self.state, self.position)

    async def until_turn(self) -> bool:
        """Wait for the horizon; False when the sale ended first."""
        while not self.is_over:
            if self.place is not None and self.state.get("horizon", 0) >= self.place:
                return True
            self.changed.clear()
            await self.changed.wait()
        return False
