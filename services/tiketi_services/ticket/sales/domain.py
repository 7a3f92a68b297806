"""Pure rules of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.errors import NotFound


class UnknownEvent(NotFound):
    """No event of this namespace and name is registered."""

    code, title = "unknown-event", "Unknown event"


@dataclass(frozen=True, slots=True)
class Registry:
    """What Redis says is registered."""

    versions: Mapping[EventId, int]
    """Newest sheet of each registered event; 0 while it has none."""
    sold: Mapping[EventId, int]
    """Places sold of each registered event."""
    is_trusted: bool
    """False while Redis may have lost its memory: then an event that is missing was not deleted."""


def changed(registry: Registry, known: Mapping[EventId, SaleSheet]) -> list[EventId]:
    """Events whose sheet is newer than the known one, or is not known yet."""
    return [
        event
        for event, version in registry.versions.items()
        if version > (known[event].version if event in known else 0)
    ]


def vanished(registry: Registry, known: Iterable[EventId]) -> list[EventId]:
    """Known events that were deleted. None while the registry cannot be trusted."""
    return [event for event in known if event not in registry.versions] if registry.is_trusted else []
