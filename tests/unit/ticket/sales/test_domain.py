"""What to adopt and what to forget, by what Redis says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tiketi_runtime.contracts.identity import EventId
from tiketi_services.ticket.sales.domain import Registry, changed, vanished

A, B = EventId("demo/a"), EventId("demo/b")


def registry(versions: dict[EventId, int], *, is_trusted: bool = True) -> Registry:
    return Registry(versions=versions, sold={}, is_trusted=is_trusted)


def known(**versions: int) -> Any:
    return {EventId(f"demo/{name}"): SimpleNamespace(version=version) for name, version in versions.items()}


def test_new_events_and_newer_versions_are_adopted() -> None:
    assert changed(registry({A: 2, B: 1}), known(a=1)) == [A, B]


def test_an_older_or_equal_version_is_left_alone() -> None:
    assert changed(registry({A: 1, B: 3}), known(a=2, b=3)) == []


def test_an_event_without_a_sheet_yet_is_waited_for() -> None:
    assert changed(registry({A: 0}), {}) == []


def test_an_event_that_is_no_longer_registered_has_vanished() -> None:
    assert vanished(registry({A: 1}), [A, B]) == [B]


def test_nothing_vanishes_while_redis_may_have_lost_its_memory() -> None:
    assert vanished(registry({}, is_trusted=False), [A, B]) == []
