"""What is told of seats, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from tests.sale_sheets import sale_sheet
from tests.seat_map_client import Change, decode

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.orders import seat_feed
from tiketi_services.ticket.orders.public_maps import Shown
from tiketi_services.ticket.orders.seat_feed import SeatFeed
from tiketi_services.ticket.orders.seat_format import SeatMap

SHOW, OTHER = EventId("demo/show"), EventId("demo/other")


@dataclass
class Stage:
    """A feed, and what stands around it: sales, public maps, listeners."""

    maps: dict[EventId, SeatMap] = field(default_factory=dict)
    listening: list[EventId] = field(default_factory=lambda: [SHOW])
    broken: set[EventId] = field(default_factory=set)
    looks: list[EventId] = field(default_factory=list)
    told: list[tuple[EventId, Change]] = field(default_factory=list)
    reminded: list[EventId] = field(default_factory=list)
    pause: float = 0.0

    def all(self) -> dict[EventId, SaleSheet]:
        return {event: sale_sheet(event, datetime.now(UTC)) for event in (SHOW, OTHER)}

    async def look(self, sale: SaleSheet) -> Shown:
        self.looks.append(sale.event)
        if sale.event in self.broken:
            raise ConnectionError
        now = time.monotonic()
        return Shown(self.maps[sale.event], now, now, now + self.pause)

    def events(self) -> list[EventId]:
        return list(self.listening)

    async def tell(self, event: EventId, words: bytes) -> int:
        change = decode(words)
        assert isinstance(change, Change)
        self.told.append((event, change))
        return 1

    def remind(self, event: EventId, words: bytes) -> None:
        self.reminded.append(event)

    def feed(self) -> SeatFeed:
        return SeatFeed(self, self, self)  # type: ignore[arg-type]

    def versions(self) -> list[tuple[int, int]]:
        return [(change.before, change.version) for _, change in self.told]


def a_map(version: int, states: bytes) -> SeatMap:
    return SeatMap(version, "{}", states.ljust(40, b"0"))


async def test_a_version_then_changes_that_lead_on_from_each_other() -> None:
    stage = Stage({SHOW: a_map(3, b"0")})
    feed = stage.feed()
    assert feed.greet(SHOW) is None
    await feed.step()
    stage.maps[SHOW] = a_map(7, b"1")
    await feed.step()
    await feed.step()
    assert stage.versions() == [(3, 3), (3, 7)]
    assert stage.reminded == [SHOW]
    greeting = feed.greet(SHOW)
    assert greeting is not None
    assert decode(greeting) == decode(stage.maps[SHOW].notice)


async def test_nothing_is_looked_at_for_nobody_and_nothing_is_remembered() -> None:
    stage = Stage({SHOW: a_map(3, b"0")})
    feed = stage.feed()
    await feed.step()
    stage.listening = []
    await feed.step()
    stage.maps[SHOW] = a_map(7, b"1")
    stage.listening = [SHOW]
    await feed.step()
    assert stage.looks == [SHOW, SHOW]
    assert stage.versions() == [(3, 3), (7, 7)]


async def test_nothing_is_told_of_seats_that_were_never_read() -> None:
    stage = Stage({SHOW: a_map(0, b"")})
    await stage.feed().step()
    assert stage.told == []


async def test_it_looks_no_more_often_than_something_can_be_new() -> None:
    stage = Stage({SHOW: a_map(3, b"0")}, pause=60)
    feed = stage.feed()
    for _ in range(5):
        await feed.step()
    assert stage.looks == [SHOW]


async def test_the_version_is_told_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat_feed, "_REASSURANCE", 0.0)
    stage = Stage({SHOW: a_map(3, b"0")})
    feed = stage.feed()
    for _ in range(3):
        await feed.step()
    assert stage.versions() == [(3, 3)] * 3


async def test_an_event_whose_seats_cannot_be_read_keeps_no_other_waiting() -> None:
    stage = Stage({SHOW: a_map(3, b"0"), OTHER: a_map(4, b"0")}, listening=[SHOW, OTHER], broken={SHOW})
    feed = stage.feed()
    with pytest.raises(ConnectionError):
        await feed.step()
    assert stage.told[0][0] == OTHER
    await feed.step()
    assert stage.looks.count(SHOW) == 1  # not at every step


async def test_a_deleted_event_is_left_alone() -> None:
    stage = Stage(listening=[EventId("demo/gone")])
    await stage.feed().step()
    assert (stage.looks, stage.told) == ([], [])
