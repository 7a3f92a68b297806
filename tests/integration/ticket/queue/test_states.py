"""Readings of a line: shared by all who ask, and never older than the place of who has just joined."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from tests.integration.ticket.queue.lines import Scene
from tests.integration.ticket.sales.a_sale import a_sale

import tiketi_services.ticket.queue.places.states
from tiketi_runtime.contracts.identity import BuyerId, EventId, Line
from tiketi_services.ticket.queue.domain import LineState, Recovering
from tiketi_services.ticket.queue.places.positions import group_of
from tiketi_services.ticket.queue.places.states import States
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.queue.terms import LineTerms

NEWCOMERS = 2_000
READINGS_PER_SECOND = 50


class CountedLines(Lines):
    """Counts how often a line is read."""

    readings = 0

    async def state(self, terms: LineTerms) -> LineState:
        self.readings += 1
        return await super().state(terms)


class NothingDrawn:
    def of(self, event: EventId, line: Line) -> None:
        return None


@pytest.fixture
def lines(scene: Scene) -> CountedLines:
    return CountedLines(scene.redis)


async def test_all_who_join_at_once_see_themselves_in_a_few_readings(scene: Scene, lines: CountedLines) -> None:
    states, sale = States(lines, NothingDrawn(), timedelta(minutes=1)), a_sale("any", event=scene.terms.event)
    await states.reading(sale, sale.lines[0])
    began = time.monotonic()

    async def join(number: int) -> bool:
        await asyncio.sleep(number / NEWCOMERS)  # all within a second
        place = await lines.join(scene.terms, None, BuyerId(f"buyer-{number}"))
        assert place is not None
        assert place.place is not None
        reading = await states.reading(sale, sale.lines[0], since=place.now)
        assert reading.standings is not None
        return bool(reading.standings.of(group_of(place.place)).alive >> ((place.place - 1) % 64) & 1)

    assert all(await asyncio.gather(*map(join, range(NEWCOMERS))))
    assert lines.readings <= 3 + (time.monotonic() - began) * READINGS_PER_SECOND


async def test_a_reading_that_shows_the_place_already_is_not_made_again(scene: Scene, lines: CountedLines) -> None:
    states, sale = States(lines, NothingDrawn(), timedelta(minutes=1)), a_sale("any", event=scene.terms.event)
    place = await scene.join(BuyerId("anna"))
    await asyncio.sleep(0.005)
    first = await states.reading(sale, sale.lines[0], since=place.now)
    assert await states.reading(sale, sale.lines[0], since=place.now) is first
    assert lines.readings == 1


async def test_who_goes_while_a_reading_is_made_takes_it_from_nobody(scene: Scene, lines: CountedLines) -> None:
    states, sale = States(lines, NothingDrawn(), timedelta(minutes=1)), a_sale("any", event=scene.terms.event)
    gone, *kept = [asyncio.create_task(states.reading(sale, sale.lines[0])) for _ in range(3)]
    await asyncio.sleep(0)
    gone.cancel()
    first, second = await asyncio.gather(*kept)
    assert first is second
    assert gone.cancelled()
    assert lines.readings == 1


async def test_what_prevents_a_reading_is_told_to_all_who_wait_and_the_next_one_is_tried(
    scene: Scene, lines: CountedLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, sale = States(lines, NothingDrawn(), timedelta(minutes=1)), a_sale("any", event=scene.terms.event)

    async def lost(_: LineTerms) -> LineState:
        raise Recovering("The line is being rebuilt.")

    with monkeypatch.context() as patch:
        patch.setattr(lines, "state", lost)
        ends = await asyncio.gather(*(states.reading(sale, sale.lines[0]) for _ in range(3)), return_exceptions=True)
    assert [type(end) for end in ends] == [Recovering] * 3
    assert (await states.reading(sale, sale.lines[0])).line.waiting == 0


async def test_a_line_that_nobody_here_asks_for_any_more_leaves_no_gauge_behind(
    scene: Scene, lines: CountedLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old value would stand for ever, and be the most that any process says."""
    event = scene.terms.event

    def shown() -> list[float | None]:
        line: dict[str, str] = {"event": event, "line": "public"}
        gauges: list[tuple[str, dict[str, str]]] = [
            ("waiting", line),
            ("no_show_share", line),
            ("active", {"event": event}),
        ]
        return [REGISTRY.get_sample_value(f"tiketi_queue_{name}", labels) for name, labels in gauges]

    states, sale = States(lines, NothingDrawn(), timedelta(minutes=1)), a_sale("any", event=event)
    await scene.join(BuyerId("anna"))
    first = await states.reading(sale, sale.lines[0])
    await states.forget_idle()
    assert shown() == [1, 0, 0]
    assert await states.reading(sale, sale.lines[0]) is first
    monkeypatch.setattr(tiketi_services.ticket.queue.places.states, "_IDLE", 0)
    await states.forget_idle()
    assert shown() == [None, None, None]
    again = await states.reading(sale, sale.lines[0])
    assert again.standings == first.standings
    assert again.version >= first.version
    assert shown() == [1, 0, 0]
