"""Names of things, as types, so that a seat cannot be passed where a buyer is meant."""

from __future__ import annotations

from typing import NewType

EventId = NewType("EventId", str)
"""``namespace/name`` of a TicketEvent. Outlives the object: recreating it goes on with what is sold."""
BuyerId = NewType("BuyerId", str)
"""Account id (UUID)."""
Line = NewType("Line", str)
"""``public``, or the name of a presale."""
Seq = NewType("Seq", int)
"""Number of a buyer in one line, from 1, in order of joining."""
SeatId = NewType("SeatId", str)
"""``SECTION-ROW-SEAT`` or, standing, ``SECTION-NUMBER``."""
HoldId = NewType("HoldId", str)
OrderId = NewType("OrderId", str)
AttemptId = NewType("AttemptId", str)

PUBLIC = Line("public")
"""The line of the public sale."""


def event_id(namespace: str, name: str) -> EventId:
    """The id of the TicketEvent of this namespace and name."""
    return EventId(f"{namespace}/{name}")


def namespace_and_name(event: EventId) -> tuple[str, str]:
    """Split an id. Raises ValueError if it is not ``namespace/name``."""
    namespace, slash, name = event.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ValueError(f"event id {event!r} is not namespace/name")
    return namespace, name
