"""What to adopt, to forget and to put back, by what Redis says."""

from __future__ import annotations

from tiketi_runtime.contracts.identity import EventId
from tiketi_services.ticket.sales.domain import Registered, Registry, changed, missing, unconfirmed, vanished

A, B = EventId("demo/a"), EventId("demo/b")


def registry(deleted: dict[EventId, int] | None = None, **versions: int) -> Registry:
    events = {EventId(f"demo/{name}"): Registered(version) for name, version in versions.items()}
    return Registry(events=events, deleted=deleted or {})


def test_new_events_and_newer_versions_are_adopted() -> None:
    assert changed(registry(a=2, b=1), {A: 1}) == [A, B]


def test_an_older_or_equal_version_is_left_alone() -> None:
    assert changed(registry(a=1, b=3), {A: 2, B: 3}) == []


def test_an_event_without_a_sheet_yet_is_waited_for() -> None:
    assert changed(registry(a=0), {}) == []


def test_a_sheet_of_a_deleted_object_is_not_adopted() -> None:
    assert changed(registry({A: 2}, a=2), {}) == []


def test_a_sheet_newer_than_the_deletion_is_adopted() -> None:
    assert changed(registry({A: 2}, a=3), {}) == [A]


def test_a_deleted_event_has_vanished() -> None:
    assert vanished(registry({B: 3}, a=1), {A: 1, B: 3}) == [B]


def test_a_deletion_of_an_earlier_object_is_over() -> None:
    assert vanished(registry({B: 2}, a=1), {A: 1, B: 3}) == []


def test_an_event_that_is_merely_missing_has_not_vanished() -> None:
    assert vanished(registry(), {A: 1}) == []
    assert missing(registry(), {A: 1}) == [A]


def test_neither_a_registered_nor_a_deleted_event_is_missing() -> None:
    assert missing(registry({B: 3}, a=1), {A: 1, B: 3}) == []


def test_the_operator_is_told_of_the_newest_version_alone_until_it_is_noted() -> None:
    found = {A: Registered(2, adopted=1), B: Registered(3, adopted=3), EventId("demo/c"): Registered(4)}
    known = {A: 2, B: 3, EventId("demo/c"): 3}
    assert unconfirmed(Registry(found, {}), known) == [A]
