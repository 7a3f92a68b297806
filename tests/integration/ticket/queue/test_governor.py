"""Adaptive admission on a real Redis: pods count together, decide once, and say why."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from prometheus_client import REGISTRY
from starlette.types import Message
from tests.integration.redis_servers import until
from tests.integration.ticket.queue.lines import begin
from tests.integration.ticket.queue.service import Service
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime.contracts.answer_times import Kind
from tiketi_runtime.contracts.identity import PUBLIC, EventId, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.domain import Recovering
from tiketi_services.ticket.queue.pace.adaptive import Direction
from tiketi_services.ticket.queue.pace.answers import Answer, Answers
from tiketi_services.ticket.queue.pace.governor import Governor
from tiketi_services.ticket.queue.pace.rates import Rates
from tiketi_services.ticket.queue.pace.timing import TimedAnswers
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.queue.terms import terms_of

ADAPTIVE = {"p95Latency": timedelta(milliseconds=200), "errorRate": 5, "floorPerMinute": 60}
_numbers = count(1)


class Sheets:
    """Stands for the sales: these sheets are in force."""

    def __init__(self, *sheets: SaleSheet) -> None:
        self.sheets = list(sheets)

    def all(self) -> dict[EventId, SaleSheet]:
        return {sheet.event: sheet for sheet in self.sheets}


@dataclass
class Pod:
    """One process with its own answers."""

    governor: Governor
    answers: Answers

    def answer(self, sale: SaleSheet, ms: float, times: int = 50, *, is_fault: bool = False) -> None:
        for _ in range(times):
            self.answers.add(sale.event, Answer(Kind.HOLD, timedelta(milliseconds=ms), is_fault))


@dataclass
class Stage:
    redis: Redis
    sale: SaleSheet

    def pod(self) -> Pod:
        answers = Answers()
        return Pod(Governor(Sheets(self.sale), Rates(self.redis), answers), answers)  # type: ignore[arg-type]

    @property
    def keys(self) -> EventKeys:
        return EventKeys(self.sale.event)

    async def rate(self) -> float | None:
        value = await self.redis.hget(self.keys.rate, "perMinute")
        return None if value is None else float(value)

    async def notes(self) -> list[dict[bytes, bytes]]:
        entries: Any = await self.redis.xrange(self.keys.notes)
        return [fields for _, fields in entries]


@pytest.fixture
async def stage(redis: Redis) -> Stage:
    name = f"governed-{next(_numbers)}"
    await begin(redis, event_id("demo", name), PUBLIC)
    return Stage(redis, a_sale(name, queue={"newUsersPerMinute": 600, "adaptive": ADAPTIVE}))


def this_window() -> int:
    return int(time.time()) // 10


async def after_counting(*pods: Pod) -> int:
    """Let pods count what they answered, and answer the window in which that can be judged."""
    left = 10 - time.time() % 10
    await asyncio.sleep(left if left < 2 else 0)  # the step must not cross the end of a window
    for pod in pods:
        await pod.governor.step()
    return this_window() + 1


async def test_all_pods_answers_together_slow_the_line_down_once(stage: Stage) -> None:
    pods = [stage.pod(), stage.pod()]
    for pod in pods:
        pod.answer(stage.sale, ms=900, times=15)  # too few for one alone
    window = await after_counting(*pods)
    changes = await asyncio.gather(*(pod.governor.decide(stage.sale, window) for pod in pods))
    assert sum(change is not None for change in changes) == 1
    rate = await stage.rate()
    assert rate is not None
    assert 60 <= rate < 600
    (note,) = await stage.notes()
    assert (note[b"reason"], note[b"warning"]) == (b"AdmissionSlowed", b"1")
    assert b"600 to" in note[b"message"]
    assert b"target 200 ms" in note[b"message"]


async def test_the_line_is_served_at_the_rate_that_was_set(stage: Stage) -> None:
    terms = terms_of(stage.sale, stage.sale.lines[0])
    lines = Lines(stage.redis)
    pod = stage.pod()
    pod.answer(stage.sale, ms=900)
    await pod.governor.decide(stage.sale, await after_counting(pod))
    assert (await lines.state(terms)).per_minute == int(await stage.rate() or 0)


async def test_faults_slow_down_and_good_answers_raise_again_to_the_policys_rate(stage: Stage) -> None:
    pod = stage.pod()
    pod.answer(stage.sale, ms=5, is_fault=True)
    window = await after_counting(pod)
    slowed = await pod.governor.decide(stage.sale, window)
    assert slowed is not None
    assert slowed.direction is Direction.SLOWED
    for later in range(window + 1, window + 40):
        await stage.redis.hincrby(stage.keys.samples(later - 1), "hold:8", 100)
        await stage.redis.set(stage.keys.clock, later * 10_000)
        await pod.governor.decide(stage.sale, later)
    assert await stage.rate() is None  # the policy's own
    reasons = [note[b"reason"] for note in await stage.notes()]
    assert reasons[0] == b"AdmissionSlowed"
    assert set(reasons[1:]) == {b"AdmissionRaised"}


async def test_without_adaptive_the_policys_rate_is_restored(stage: Stage) -> None:
    pod = stage.pod()
    pod.answer(stage.sale, ms=900)
    await pod.governor.decide(stage.sale, await after_counting(pod))
    assert await stage.rate() is not None
    plain = a_sale(stage.sale.event.partition("/")[2], queue={"newUsersPerMinute": 600})
    await pod.governor.decide(plain, this_window() + 2)
    assert not await stage.redis.exists(stage.keys.rate)
    assert (await stage.notes())[-1][b"reason"] == b"AdmissionRaised"
    await pod.governor.decide(plain, this_window() + 3)
    assert len(await stage.notes()) == 2


async def test_answers_of_a_sale_that_is_not_adaptive_are_counted_for_its_status_alone(stage: Stage) -> None:
    stage.sale = a_sale(stage.sale.event.partition("/")[2])
    pod = stage.pod()
    pod.answer(stage.sale, ms=900, is_fault=True)
    window = await after_counting(pod)
    counted: Any = await stage.redis.hgetall(stage.keys.samples(window - 1))
    assert {name.partition(b":")[0]: int(number) for name, number in counted.items()} == {b"hold": 50}
    assert await pod.governor.decide(stage.sale, window) is None
    assert await stage.rate() is None


async def test_a_pod_whose_clock_is_ahead_sets_nothing(stage: Stage) -> None:
    pod = stage.pod()
    ahead = this_window() + 60
    await stage.redis.hset(stage.keys.samples(ahead - 1), mapping={"hold:40": 100, "slow": 100})
    assert await pod.governor.decide(stage.sale, ahead) is None
    assert await stage.rate() is None


async def test_counters_are_forgotten_after_a_minute(stage: Stage) -> None:
    pod = stage.pod()
    pod.answer(stage.sale, ms=10)
    await after_counting(pod)
    assert 0 < await stage.redis.ttl(stage.keys.samples(this_window())) <= 60


async def test_while_redis_is_rebuilt_no_rate_is_set(stage: Stage) -> None:
    pod = stage.pod()
    pod.answer(stage.sale, ms=900)
    window = await after_counting(pod)
    await stage.redis.delete(stage.keys.epoch)
    with pytest.raises(Recovering):
        await pod.governor.decide(stage.sale, window)


async def test_an_event_that_is_being_rebuilt_keeps_no_other_from_its_rate(stage: Stage) -> None:
    lost, sale = a_sale("lost", queue={"newUsersPerMinute": 600, "adaptive": ADAPTIVE}), stage.sale
    pod = stage.pod()
    pod.governor = Governor(Sheets(lost, sale), Rates(stage.redis), pod.answers)  # type: ignore[arg-type]
    for event in (lost.event, sale.event):
        for window in range(this_window() - 2, this_window() + 1):
            await stage.redis.hset(EventKeys(event).samples(window), mapping={"hold:40": 100, "slow": 100})
    await after_counting(pod)
    assert await stage.rate() is not None
    assert not await stage.redis.exists(EventKeys(lost.event).rate)


async def test_the_metrics_of_a_rate_end_with_the_sale_and_with_being_adaptive(stage: Stage) -> None:
    def shown() -> list[float | None]:
        event: dict[str, str] = {"event": stage.sale.event}
        rate = REGISTRY.get_sample_value("tiketi_queue_rate_per_minute", event)
        return [rate, REGISTRY.get_sample_value("tiketi_queue_answer_p95_seconds", {**event, "kind": "hold"})]

    name, sheets = stage.sale.event.partition("/")[2], Sheets(stage.sale)
    pod = stage.pod()
    pod.governor = Governor(sheets, Rates(stage.redis), pod.answers)  # type: ignore[arg-type]
    pod.answer(stage.sale, ms=100)
    for last in (a_sale(name), a_sale(name, opens_in=timedelta(hours=-2), queue={"adaptive": ADAPTIVE})):
        sheets.sheets = [stage.sale]
        window = await after_counting(pod)
        await pod.governor.decide(stage.sale, window)
        assert None not in shown()
        sheets.sheets = [last]
        if last.queue.adaptive is None:
            await pod.governor.decide(last, window)
        else:
            await pod.governor.step()
        assert shown() == [None, None]


async def test_each_change_is_a_metric(stage: Stage) -> None:
    pod = stage.pod()
    pod.answer(stage.sale, ms=900)
    await pod.governor.decide(stage.sale, await after_counting(pod))
    event: dict[str, str] = {"event": stage.sale.event}
    assert REGISTRY.get_sample_value("tiketi_queue_rate_changes_total", {**event, "direction": "slowed"}) == 1
    assert REGISTRY.get_sample_value("tiketi_queue_rate_per_minute", event) == await stage.rate()
    p95 = REGISTRY.get_sample_value("tiketi_queue_answer_p95_seconds", {**event, "kind": "hold"})
    assert p95 == pytest.approx(0.9, rel=0.2)


async def test_what_lines_admitted_is_where_a_cut_begins(stage: Stage) -> None:
    pod = stage.pod()
    pod.answer(stage.sale, ms=900)
    window = await after_counting(pod)
    await stage.redis.hset(stage.keys.line(PUBLIC).pace, str(window - 1), 20)
    change = await pod.governor.decide(stage.sale, window)
    assert change is not None
    assert change.rate.knee == pytest.approx(60)  # 20 in two windows of 10 s


async def test_the_service_counts_its_answers_and_is_governed(service: Service, redis: Redis) -> None:
    await publish(redis, a_sale("governed", queue={"adaptive": ADAPTIVE}))
    await service.until_served("governed")
    keys = EventKeys(event_id("demo", "governed"))
    for _ in range(3):
        assert (await service.post("/events/demo/governed/holds", "anna", {"seats": ["A-0001"]})).status == 403

    async def all_counted() -> bool:
        windows = [key async for key in redis.scan_iter(match=f"{keys.prefix}samples:*")]
        counters: list[dict[Any, Any]] = [await redis.hgetall(window) for window in windows]
        holds = [int(n) for each in counters for name, n in each.items() if name.startswith(b"hold:")]
        return sum(holds) == 3

    await until(all_counted)


# --- The layer around the application


def timed_app(answers: Answers) -> Any:
    app = FastAPI()

    @app.post("/events/{namespace}/{name}/holds")
    async def hold(namespace: str, name: str, status: int = 201) -> None:
        if status >= 400:
            raise HTTPException(status)

    @app.get("/events/{namespace}/{name}/holds")
    async def look(namespace: str, name: str) -> None:
        """Not timed."""

    app.add_middleware(TimedAnswers, answers=answers, routes={"/events/{namespace}/{name}/holds": Kind.HOLD})
    return app


async def request(app: Any, method: str, path: str, query: str = "") -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        """Nobody reads the answer."""

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    await app(scope, receive, send)


async def test_posts_to_the_named_routes_are_timed_with_their_outcome() -> None:
    answers = Answers()
    app = timed_app(answers)
    for status in (201, 409, 503):
        await request(app, "POST", "/events/demo/sale/holds", f"status={status}")
    await request(app, "GET", "/events/demo/sale/holds")
    await request(app, "POST", "/events/demo/sale/nothing")
    (taken,) = answers.take().items()
    assert taken[0] == "demo/sale"
    assert [(answer.kind, answer.is_fault) for answer in taken[1]] == [
        (Kind.HOLD, False),
        (Kind.HOLD, False),
        (Kind.HOLD, True),
    ]
    assert all(answer.took > timedelta(0) for answer in taken[1])
