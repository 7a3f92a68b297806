"""When status.sales is written. What the API server makes of it is tested on a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.errors import NotFound
from tiketi_runtime.kubernetes import ApiUnavailable, Cluster
from tiketi_services.stats.domain import Figures, Totals
from tiketi_services.stats.event_status import StatusWriter
from tiketi_services.stats.usecases import Board

EVENT = event_id("demo", "first-sale")
NOW = datetime(2027, 3, 1, 11, tzinfo=UTC)
FIGURES = Figures(
    at=NOW,
    uid="u-1",
    currency="KRW",
    waiting=7,
    active=3,
    held=2,
    remaining=8,
    admitted_per_minute=60,
    totals=Totals(sold=4, revenue=396_000),
    p95_ms=181,
)


class Api:
    """Takes status writes, or raises."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.error: Exception | None = None

    async def apply_status(self, manifest: Mapping[str, Any], manager: str) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(manifest["status"]["sales"])


class Figured:
    """A board with these figures."""

    def __init__(self) -> None:
        self.figures: dict[EventId, Figures] = {EVENT: FIGURES}


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def board() -> Figured:
    return Figured()


@pytest.fixture
def writer(api: Api, board: Figured) -> StatusWriter:
    return StatusWriter(cast(Cluster, api), cast(Board, board), timedelta(seconds=5))


async def test_figures_are_written_as_the_crd_names_them(writer: StatusWriter, api: Api) -> None:
    await writer.write_due(100)
    assert api.written == [
        {
            "waiting": 7,
            "active": 3,
            "held": 2,
            "sold": 4,
            "remaining": 8,
            "revenue": 396_000,
            "admittedPerMinute": 60,
            "p95Ms": 181,
            "updatedAt": "2027-03-01T11:00:00Z",
        }
    ]


async def test_while_nothing_is_answered_no_percentile_is_written(
    writer: StatusWriter, api: Api, board: Figured
) -> None:
    board.figures = {EVENT: replace(FIGURES, p95_ms=None)}
    await writer.write_due(100)
    assert "p95Ms" not in api.written[0]


async def test_figures_that_change_all_the_time_are_written_once_in_five_seconds(
    writer: StatusWriter, api: Api, board: Figured
) -> None:
    for tenth in range(200):
        board.figures = {EVENT: replace(FIGURES, waiting=tenth)}
        await writer.write_due(100 + tenth / 10)
    assert [sales["waiting"] for sales in api.written] == [0, 50, 100, 150]


async def test_a_later_reading_of_the_same_figures_is_not_written(
    writer: StatusWriter, api: Api, board: Figured
) -> None:
    await writer.write_due(100)
    board.figures = {EVENT: replace(FIGURES, at=NOW + timedelta(seconds=30))}
    await writer.write_due(130)
    assert len(api.written) == 1


async def test_a_recreated_object_is_told_the_figures_again(writer: StatusWriter, api: Api, board: Figured) -> None:
    await writer.write_due(100)
    board.figures = {EVENT: replace(FIGURES, uid="u-2")}
    await writer.write_due(105)
    assert len(api.written) == 2


async def test_what_the_api_server_missed_is_written_when_it_is_back(writer: StatusWriter, api: Api) -> None:
    api.error = ApiUnavailable("away")
    with pytest.raises(ApiUnavailable):
        await writer.write_due(100)
    api.error = None
    await writer.write_due(104)
    assert api.written == []
    await writer.write_due(105)
    assert len(api.written) == 1


async def test_an_event_without_an_object_hinders_no_other(writer: StatusWriter, api: Api, board: Figured) -> None:
    api.error = NotFound("gone")
    await writer.write_due(100)
    api.error = None
    board.figures = {EVENT: FIGURES, event_id("demo", "other"): FIGURES}
    await writer.write_due(101)
    assert len(api.written) == 1
