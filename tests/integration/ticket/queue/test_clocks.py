"""Redis' clock jumps ahead and is set right again: somebody hears of it, and a rebuilt event goes by the right time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.integration.redis_servers import until
from tests.integration.ticket.queue.lines import ANNA, Scene, begin, redis_now, until_redis_time_passes
from tests.integration.ticket.queue.losses import Flushed, Hall, hall, store
from tests.integration.ticket.queue.service import Service
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.notes import Notes
from tiketi_services.ticket.queue.recovery.clocks import Clocks
from tiketi_services.ticket.queue.recovery.rebuild import SMALL_STEP

HOUR = 3_600_000
JUMP = 40_000
"""ms; short of the claim window."""
_numbers = count(1)


@dataclass
class Stage:
    """A sale, and processes that watch its clock."""

    redis: Redis
    pool: Pool
    sale: SaleSheet

    def all(self) -> dict[EventId, SaleSheet]:
        return {self.sale.event: self.sale}

    def clocks(self) -> Clocks:
        return Clocks(self.redis, self, Notes(self.redis), self.pool)  # type: ignore[arg-type]

    @property
    def keys(self) -> EventKeys:
        return EventKeys(self.sale.event)

    async def set_back(self, ms: int) -> None:
        """The event has seen a time that Redis' clock is yet to reach."""
        await self.redis.set(self.keys.clock, await redis_now(self.redis) + ms)

    async def notes(self) -> list[dict[bytes, bytes]]:
        entries: Any = await self.redis.xrange(self.keys.notes)
        return [fields for _, fields in entries]

    def metric(self, name: str) -> float | None:
        return REGISTRY.get_sample_value(f"tiketi_queue_{name}", {"event": self.sale.event})


@pytest.fixture
async def stage(redis: Redis, pool: Pool) -> Stage:
    name = f"clocked-{next(_numbers)}"
    await begin(redis, event_id("demo", name), PUBLIC)
    return Stage(redis, pool, a_sale(name))


async def test_time_that_stands_still_is_a_metric_a_log_line_and_one_note(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.set_back(HOUR)
    one, other = stage.clocks(), stage.clocks()
    for clocks in (one, other, one, other):
        await clocks.step()
    assert stage.metric("clock_ahead_seconds") == pytest.approx(3600, abs=5)
    assert stage.metric("redis_clock_skew_seconds") == pytest.approx(0, abs=1)
    (note,) = await stage.notes()
    assert (note[b"reason"], note[b"warning"]) == (b"ClockSetBack", b"1")
    assert b"stands still until" in note[b"message"]
    assert len([each for each in caplog.records if each.message == "the event's time stands still"]) == 2


async def test_a_small_step_is_measured_and_nobody_is_alarmed(stage: Stage) -> None:
    await stage.set_back(3_000)
    await stage.clocks().step()
    assert stage.metric("clock_ahead_seconds") == pytest.approx(3, abs=1)
    assert await stage.notes() == []


async def test_each_time_that_the_clock_is_set_back_is_told(stage: Stage) -> None:
    clocks = stage.clocks()
    for ms in (HOUR, 2 * HOUR):
        await stage.set_back(ms)
        await clocks.step()
        await stage.redis.delete(stage.keys.clock)
        await clocks.step()
        assert stage.metric("clock_ahead_seconds") == 0
    assert len(await stage.notes()) == 2


async def test_what_was_measured_of_a_sale_that_is_over_does_not_stand_for_ever(stage: Stage) -> None:
    clocks = stage.clocks()
    await clocks.step()
    assert stage.metric("clock_ahead_seconds") == 0
    stage.sale = a_sale(stage.sale.event.partition("/")[2], opens_in=timedelta(hours=-2))
    await clocks.step()
    assert stage.metric("clock_ahead_seconds") is None
    assert stage.metric("redis_clock_skew_seconds") is None


async def test_a_database_that_is_ahead_is_a_metric_and_one_note(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = stage.clocks()
    await clocks.step()
    await clocks.step_databases()
    assert stage.metric("database_clock_ahead_seconds") == pytest.approx(0, abs=2)
    assert await stage.notes() == []
    monkeypatch.setattr(clocks, "_database_time", "SELECT clock_timestamp() + interval '90 s'")
    for _ in range(2):
        await clocks.step_databases()
    assert stage.metric("database_clock_ahead_seconds") == pytest.approx(90, abs=2)
    (note,) = await stage.notes()
    assert note[b"reason"] == b"DatabaseClockAhead"
    assert b"90 s ahead" in note[b"message"] or b"89 s ahead" in note[b"message"]


async def test_of_a_deleted_event_nothing_is_left_behind(stage: Stage) -> None:
    await delete(stage.redis, stage.sale.event)
    await stage.set_back(HOUR)
    await stage.clocks().step()
    assert [key async for key in stage.redis.scan_iter(stage.keys.pattern)] == [stage.keys.clock.encode()]


async def test_while_time_stands_still_no_slot_is_offered_and_no_session_ends(scene: Scene) -> None:
    """What the note says."""
    scene.change(per_minute=60, session=500)
    await scene.join(ANNA, *(BuyerId(f"buyer-{number}") for number in range(20)))
    assert await scene.serve() == 1
    await scene.redis.set(scene.keys.clock, await redis_now(scene.redis) + 10_000)
    turn = await scene.claim(ANNA)
    assert turn.session is not None
    while await scene.serve():
        """What two seconds allow, and no more."""
    await until_redis_time_passes(scene.redis, 1_500)
    assert await scene.serve() == 0
    assert (await scene.state()).waiting > 10
    found = await scene.lines.session(scene.terms.event, PUBLIC, ANNA, turn.session)
    assert found is not None
    assert found.ends is not None


# --- The way out: build the event anew


CROWD = [BuyerId(f"buyer-{number}") for number in range(100)]


async def rebuilt_by_hand(show: Hall) -> None:
    """As docs/losses.md tells whoever runs Redis."""
    await show.redis.delete(show.keys.epoch)
    assert await show.is_lost()
    await show.recover()
    await show.come_back(CROWD)


async def test_an_event_that_is_rebuilt_goes_by_the_servers_clock_again(tmp_path: Path, tables: Pool) -> None:
    async with store(Flushed, tmp_path) as lossy, hall(lossy.url, tables) as show:
        await show.join(CROWD)
        await show.offered()
        await show.claim(CROWD[0])
        ahead = await redis_now(show.redis) + JUMP
        await show.redis.set(show.keys.clock, ahead)
        await show.claim(CROWD[1])
        assert [int(at) * 10_000 > ahead - JUMP / 2 for at in await show.redis.hkeys(show.line.pace)].count(True) == 1
        await show.redis.hset(show.line.crowded, str(ahead // 10_000), 1)
        await rebuilt_by_hand(show)
        assert int(await show.redis.get(show.keys.clock) or 0) <= await redis_now(show.redis)
        assert all(int(at) * 10_000 < ahead - JUMP / 2 for at in await show.redis.hkeys(show.line.crowded))
        assert [int(at) * 10_000 > ahead - JUMP / 2 for at in await show.redis.hkeys(show.line.pace)] == [False]
        assert await show.serving("at") <= await redis_now(show.redis)
        assert await show.is_shopping(CROWD[0])
        assert await show.is_shopping(CROWD[1])
        offered: set[BuyerId] = set()
        while not offered:
            offered = await show.offered()
        assert offered == set(CROWD[2 : 2 + len(offered)])


async def test_over_a_small_difference_between_servers_time_goes_on_as_it_was(tmp_path: Path, tables: Pool) -> None:
    async with store(Flushed, tmp_path) as lossy, hall(lossy.url, tables) as show:
        await show.join(CROWD)
        latest = await redis_now(show.redis) + round(SMALL_STEP.total_seconds() * 1000)
        await show.redis.set(show.keys.clock, latest)
        await rebuilt_by_hand(show)
        assert int(await show.redis.get(show.keys.clock) or 0) >= latest


async def test_the_service_tells_of_it_and_a_rebuilt_event_admits_again(service: Service, pool: Pool) -> None:
    sale = a_sale("jumped", queue={"newUsersPerMinute": 60})
    await publish(service.redis, sale)
    await service.until_served("jumped")
    stage = Stage(service.redis, pool, sale)
    receipts = [(await service.join("demo/jumped", f"jumped-{number}")).body["receipt"] for number in range(9)]
    await stage.set_back(JUMP)

    async def is_told() -> bool:
        return [note[b"reason"] for note in await stage.notes()] == [b"ClockSetBack"]

    await until(is_told)
    await service.redis.delete(stage.keys.epoch)
    await service.until_served("jumped")
    for number, receipt in enumerate(receipts):  # their pages come back
        await service.post("/events/demo/jumped/queue/public/join", f"jumped-{number}", {"receipt": receipt})
    turn = await service.claim_until_admitted("demo/jumped", "jumped-8", receipts[8])
    assert turn.body["status"] == "admitted"
    assert {note[b"reason"] for note in await stage.notes()} == {b"ClockSetBack", b"LineRecovered"}
