"""What buyers were told of a draw outlives a loss of Redis, the TicketEvent itself, and every edit in between."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from tests.integration.ticket.queue.lines import begin
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_operator.sale import keep_draws
from tiketi_runtime.contracts.identity import PUBLIC, EventId, Line, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import BEHIND, RefusedSheet, SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.lottery.promises import Promises
from tiketi_services.ticket.sales.repository import SheetArchive, SheetSource
from tiketi_services.ticket.sales.sales import Sales

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
_numbers = count(1)


@dataclass
class Show:
    """One event: what the operator writes, and a process of the ticket service."""

    redis: Redis
    pool: Pool
    event: EventId
    sales: Sales

    def pod(self, clock: Callable[[], float] = time.monotonic) -> Sales:
        return Sales(
            SheetSource(self.redis),
            SheetArchive(self.pool),
            only=self.event,
            prepare=Promises(self.redis, self.pool).are_kept,
            clock=clock,
        )

    def sheet(
        self,
        version: int,
        *,
        drawn: bool = False,
        joins_in: timedelta = -MINUTE,
        opens_in: timedelta = HOUR,
        presales: tuple[str, ...] = (),
        **changes: Any,
    ) -> SaleSheet:
        opens_at, now = datetime.now(UTC) + opens_in, datetime.now(UTC)
        draw = {"drawAt": opens_at - MINUTE / 2} if drawn else {}
        times = {"opensAt": opens_at, "closesAt": opens_at + HOUR, "sections": ["A"]}
        return a_sale(
            self.event.partition("/")[2],
            version=version,
            opens_in=opens_in,
            armAt=now + joins_in,
            lines=[{"name": name, **times, **draw} for name in (*presales, "public")],
            **changes,
        )

    async def write(self, version: int, **changes: Any) -> SaleSheet | None:
        """The operator writes a sheet; answers the one that is served then."""
        await publish(self.redis, self.sheet(version, **changes))
        await self.sales.refresh()
        return self.served

    @property
    def served(self) -> SaleSheet | None:
        return self.sales.all().get(self.event)

    async def is_taken(self, version: int, **changes: Any) -> bool:
        found = await self.write(version, **changes)
        return found is not None and found.version == version

    async def delete(self) -> None:
        await delete(self.redis, self.event)
        await self.sales.refresh()

    async def lose_redis(self) -> None:
        keys = [key async for key in self.redis.scan_iter(EventKeys(self.event).pattern)]
        if keys:
            await self.redis.delete(*keys)

    async def refused(self) -> RefusedSheet | None:
        document = await self.redis.get(EventKeys(self.event).refused)
        return None if document is None else RefusedSheet.model_validate_json(document)


@pytest.fixture
async def show(redis: Redis, pool: Pool) -> AsyncIterator[Show]:
    """A sale that nobody knows yet."""
    show = Show(
        redis, pool, event_id("demo", f"promised-{next(_numbers)}"), Sales(SheetSource(redis), SheetArchive(pool))
    )
    show.sales = show.pod()
    yield show
    await delete(redis, show.event)


TURNS: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [({}, {"drawn": True}), ({"drawn": True}, {})]


@pytest.mark.parametrize(("before", "after"), TURNS)
async def test_until_somebody_can_join_everything_may_change(
    show: Show, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    assert await show.is_taken(1, joins_in=HOUR, **before)
    assert await show.is_taken(2, joins_in=HOUR, **after)
    await show.delete()
    assert await show.is_taken(3, uid="u-2", joins_in=HOUR, **before)
    assert await show.refused() is None


@pytest.mark.parametrize(("before", "after"), TURNS)
async def test_a_turn_that_redis_forgot_to_refuse_is_refused_and_the_sale_goes_on_as_before(
    show: Show, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    assert await show.is_taken(1, **before)
    await show.lose_redis()
    for _ in range(2):
        assert not await show.is_taken(2, **after)
    served = show.served
    assert served is not None
    assert served.version == 1
    refused = await show.refused()
    assert refused is not None
    assert refused.version == 2
    [promise] = refused.promises
    line = served.lines[0]
    assert (promise.line, promise.joined_from, promise.draw_at) == ("public", served.arm_at, line.draw_at)


@pytest.mark.parametrize(("before", "after"), TURNS)
async def test_an_event_made_again_keeps_the_promises_of_the_one_before(
    show: Show, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    assert await show.is_taken(1, **before)
    await show.delete()
    assert await show.write(2, uid="u-2", joins_in=24 * HOUR, opens_in=25 * HOUR, **after) is None
    assert await show.refused() is not None
    assert await show.is_taken(3, uid="u-2", joins_in=24 * HOUR, opens_in=25 * HOUR, **before)


@pytest.mark.parametrize(("before", "after"), TURNS)
async def test_what_the_operator_writes_when_a_sheet_is_refused_is_taken_over(
    show: Show, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    assert await show.is_taken(1, **before)
    await show.delete()
    turned = show.sheet(2, uid="u-2", joins_in=24 * HOUR, opens_in=25 * HOUR, **after)
    await publish(show.redis, turned)
    await show.sales.refresh()
    refused = await show.refused()
    assert refused is not None
    sale, (change,) = keep_draws(turned.content(), turned.content(), datetime.now(UTC), (), refused.promises)
    assert change.reason == ("DrawPromised" if before else "DrawTooLate")
    await publish(show.redis, SaleSheet(**dict(sale), version=3))
    await show.sales.refresh()
    assert show.served is not None
    assert show.served.version == 3
    # The operator remembers by this sheet, and asks nobody again.
    assert keep_draws(turned.content(), sale, datetime.now(UTC)) == (sale, (change,))


async def test_neither_postponement_nor_a_detour_makes_a_line_new(show: Show) -> None:
    later = {"joins_in": 24 * HOUR, "opens_in": 25 * HOUR}
    assert await show.is_taken(1, presales=("fans",))
    assert await show.is_taken(2, **later)
    assert not await show.is_taken(3, drawn=True, **later)
    assert not await show.is_taken(4, presales=("fans",), drawn=True, **later)
    refused = await show.refused()
    assert refused is not None
    assert {promise.line for promise in refused.promises} == {"public", "fans"}
    assert await show.is_taken(5, presales=("fans", "friends"), **later)
    lines = await show.pool.fetch("SELECT DISTINCT line FROM draw_promises WHERE event = $1", show.event)
    assert {Line(row["line"]) for row in lines} == {"public", "fans"}


async def test_a_promised_draw_is_not_moved_into_the_past(show: Show) -> None:
    assert await show.is_taken(1, drawn=True)
    assert await show.is_taken(2, drawn=True, opens_in=2 * HOUR)
    assert await show.is_taken(3, drawn=True, opens_in=HOUR / 2)
    await show.lose_redis()
    assert not await show.is_taken(4, drawn=True, opens_in=timedelta(0))
    assert await show.is_taken(5, drawn=True, opens_in=HOUR / 2)


async def test_a_draw_that_was_due_stays_where_it_was(show: Show) -> None:
    assert await show.is_taken(1, drawn=True, joins_in=-2 * HOUR, opens_in=-HOUR)
    assert not await show.is_taken(2, drawn=True, joins_in=-2 * HOUR, opens_in=-HOUR - MINUTE)
    assert not await show.is_taken(3, joins_in=HOUR, opens_in=2 * HOUR)


async def test_every_process_judges_alike(show: Show) -> None:
    other = show.pod()
    assert await show.is_taken(1)
    await other.refresh()
    await show.write(2, drawn=True)
    await other.refresh()
    await show.write(3, title="Another title")
    await other.refresh()
    assert [sales.all()[show.event].version for sales in (show.sales, other)] == [3, 3]
    assert await show.pool.fetchval("SELECT count(*) FROM sale_sheets WHERE event = $1", show.event) == 2


async def test_a_process_that_is_behind_promises_nothing_in_hindsight(show: Show) -> None:
    other = show.pod()
    assert await show.is_taken(1, joins_in=BEHIND + timedelta(milliseconds=400))
    await other.refresh()
    assert await show.is_taken(2, joins_in=HOUR, drawn=True)
    await show.pool.execute("SELECT pg_sleep(0.5)")
    await other.refresh()
    assert other.all()[show.event].version == 2
    assert await show.pool.fetchval("SELECT count(*) FROM draw_promises WHERE event = $1", show.event) == 0


async def test_a_refusal_leaves_nothing_behind_of_an_event_that_is_gone(show: Show) -> None:
    assert await show.is_taken(1)
    turned = show.sheet(2, drawn=True)
    await delete(show.redis, show.event)
    assert not await Promises(show.redis, show.pool).are_kept(turned)
    assert [key async for key in show.redis.scan_iter(EventKeys(show.event).pattern)] == []


async def test_a_lottery_that_was_held_is_not_announced_again_under_the_same_name(show: Show) -> None:
    held = {"drawn": True, "joins_in": -2 * HOUR, "opens_in": MINUTE / 4}
    assert await show.is_taken(1, **held)
    draw_at = show.served.lines[0].draw_at if show.served is not None else None
    assert draw_at is not None
    assert draw_at < datetime.now(UTC)
    await show.delete()
    again = show.sheet(2, uid="u-2", drawn=True, joins_in=24 * HOUR, opens_in=25 * HOUR)
    await publish(show.redis, again)
    await show.sales.refresh()
    assert show.event not in show.sales.all()
    refused = await show.refused()
    assert refused is not None
    sale, (change,) = keep_draws(again.content(), again.content(), datetime.now(UTC), (), refused.promises)
    assert (change.reason, sale.lines[0].draw_at) == ("DrawHeld", draw_at)
    await publish(show.redis, SaleSheet(**dict(sale), version=3))
    await show.sales.refresh()
    assert show.sales.all()[show.event].version == 3


async def test_what_may_be_joined_in_seconds_was_promised_already(show: Show) -> None:
    """A process whose clock or sheet is a little behind lets buyers in by the sheet before."""
    assert await show.is_taken(1, joins_in=BEHIND / 2)
    assert not await show.is_taken(2, joins_in=HOUR, drawn=True)


async def test_a_process_that_slept_serves_no_sheet_that_was_refused_meanwhile(show: Show) -> None:
    sleeper = show.pod()
    assert await show.is_taken(1)
    await sleeper.refresh()
    turned = show.sheet(2, drawn=True)
    assert not await show.is_taken(2, drawn=True)
    assert await show.is_taken(3)
    assert not await Promises(show.redis, show.pool).are_kept(turned)
    await sleeper.refresh()
    assert sleeper.all()[show.event].version == 3


async def test_a_process_that_cannot_follow_lets_nobody_new_join(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves the old sheet while others serve the new one: PostgreSQL does not answer it."""
    now = 1000.0
    other = show.pod(lambda: now)
    assert await show.is_taken(1)
    await other.refresh()
    await begin(show.redis, show.event, PUBLIC)
    assert await show.is_taken(2)

    async def away(sheet: SaleSheet) -> bool:
        raise OSError("PostgreSQL does not answer")

    monkeypatch.setattr(other, "_prepare", away)
    for seconds, is_behind in ((0, False), (4, False), (2, True)):
        now += seconds
        with pytest.raises(OSError, match="does not answer"):
            await other.refresh()
        assert other.is_behind(show.event) is is_behind
    monkeypatch.undo()
    await other.refresh()
    assert not other.is_behind(show.event)


async def test_a_process_that_hears_nothing_lets_nobody_new_join(show: Show) -> None:
    now = 1000.0
    show.sales = show.pod(lambda: now)
    assert await show.is_taken(1)
    assert not show.sales.is_behind(show.event)
    now += 6
    assert show.sales.is_behind(show.event)
    await show.sales.refresh()
    assert not show.sales.is_behind(show.event)
