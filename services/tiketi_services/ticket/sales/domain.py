"""Pure rules of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.phase import phase_at
from tiketi_runtime.contracts.sale_sheet import Admission, Phase, SaleSheet
from tiketi_runtime.errors import Conflict, NotFound


class UnknownEvent(NotFound):
    """No event of this namespace and name is registered."""

    code, title = "unknown-event", "Unknown event"


class EventCancelled(Conflict):
    """The event does not take place: nothing is sold any more, and whoever has paid gets the money back."""

    code, title = "event-cancelled", "Event cancelled"


def event_cancelled() -> EventCancelled:
    """The refusal once the event is cancelled."""
    return EventCancelled("The event is cancelled. Whoever has paid gets the money back.")


class CancelledSale(SaleSheet):
    """The sheet in force of an event that does not take place: paused, and never to go on."""


def as_served(sheet: SaleSheet, *, is_cancelled: bool) -> SaleSheet:
    """The sheet of a stopped sale: nobody is admitted, whatever the organiser's hand says."""
    if not is_cancelled:
        return sheet.model_copy(update={"admission": Admission.PAUSED})
    content = {name: getattr(sheet, name) for name in SaleSheet.model_fields}
    return CancelledSale.model_construct(**{**content, "admission": Admission.PAUSED})


def is_cancelled(sale: SaleSheet) -> bool:
    """Whether the event does not take place."""
    return isinstance(sale, CancelledSale)


def require_not_cancelled(sale: SaleSheet) -> None:
    """Raises EventCancelled."""
    if is_cancelled(sale):
        raise event_cancelled()


def phase_of(sale: SaleSheet, now: datetime, *, sold: int = 0) -> Phase:
    """The phase as buyers are told it: ``Cancelled`` stays, whatever the clock says."""
    return Phase.CANCELLED if is_cancelled(sale) else phase_at(sale, now, sold=sold)


@dataclass(frozen=True, slots=True)
class Registered:
    """What Redis says of one registered event."""

    version: int
    """Of the newest sheet; 0 while there is none."""
    adopted: int = 0
    """Version that the operator was told is served; 0 while none is."""
    sold: int = 0
    """Places."""


@dataclass(frozen=True, slots=True)
class Registry:
    """What Redis says is registered. An event that is missing was not deleted: Redis may have lost it."""

    events: Mapping[EventId, Registered]
    deleted: Mapping[EventId, int]
    """Version up to which the sheets of an event are void, because its object was deleted."""

    def is_deleted(self, event: EventId, version: int) -> bool:
        """Whether the object behind this version was deleted, by what the operator left in Redis."""
        return version <= self.deleted.get(event, 0)


def changed(registry: Registry, known: Mapping[EventId, int]) -> list[EventId]:
    """Events whose sheet is newer than the known version, or is not known yet."""
    return [
        event
        for event, found in registry.events.items()
        if found.version > known.get(event, 0) and not registry.is_deleted(event, found.version)
    ]


def vanished(registry: Registry, known: Mapping[EventId, int]) -> list[EventId]:
    """Known events that were deleted."""
    return [event for event, version in known.items() if registry.is_deleted(event, version)]


def missing(registry: Registry, known: Mapping[EventId, int]) -> list[EventId]:
    """Known events that are not registered, and were not deleted either: Redis lost them."""
    return [
        event
        for event, version in known.items()
        if event not in registry.events and not registry.is_deleted(event, version)
    ]


def unconfirmed(registry: Registry, known: Mapping[EventId, int]) -> list[EventId]:
    """Events whose newest sheet is served, while the operator was not told so."""
    return [
        event
        for event, found in registry.events.items()
        if found.adopted < found.version and found.version == known.get(event)
    ]


def overtaken(
    registry: Registry, known: Mapping[EventId, int], before: Mapping[EventId, float], now: float
) -> dict[EventId, float]:
    """Events of which another process serves a newer sheet than the known one, and since when that is so."""
    return {
        event: before.get(event, now)
        for event, found in registry.events.items()
        if found.adopted > known.get(event, found.adopted)
    }
