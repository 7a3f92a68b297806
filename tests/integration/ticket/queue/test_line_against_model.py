"""Whatever buyers, pods and the organiser do, in any order: scripts do what the model does, and the promises hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.integration.ticket.queue.lines import Scene, open_terms
from tests.integration.ticket.queue.model import ModelLine

from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import BuyerId, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_services.ticket.queue.domain import AlreadyAdmitted, NotInLine, Place, Turn
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.sales.repository import SheetSource

DAY_MS = 86_400_000
BUYERS = [BuyerId(f"buyer-{number}") for number in range(5)]  # a crowd too small for the outage rule
buyers = st.sampled_from(BUYERS)
T = TypeVar("T")
_numbers = count(1)


class LineMachine(RuleBasedStateMachine):
    """Time is the event's clock, set ahead of Redis' own, so that minutes pass at once."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._run(self._begin(url))

    async def _begin(self, url: str) -> None:
        self.redis = runtime_redis.connect(url)
        event = event_id("demo", f"model-{next(_numbers)}")
        await self.redis.set(EventKeys(event).sheet, "{}")
        await SheetSource(self.redis).found(event, 1)
        now = int(time.time() * 1000) + DAY_MS
        terms = open_terms(
            event,
            now,
            per_minute=20,
            slots=2,
            stock=4,
            session=20_000,
            claim_window=5_000,
            ghost_timeout=10_000,
            closes=now + DAY_MS,
        )
        self.scene = Scene(self.redis, Lines(self.redis), terms)
        self.model = ModelLine(terms, now)
        self.most_slots = terms.slots
        self.admitted: list[BuyerId] = []
        self.horizon = 0
        await self._set_clock()

    def _run(self, what: Awaitable[T]) -> T:
        async def wait() -> T:
            return await what

        return self._runner.run(wait())

    async def _set_clock(self) -> None:
        await self.redis.set(self.scene.keys.clock, self.model.now)

    def _change(self, **changes: Any) -> None:
        self.scene.change(**changes)
        self.model.terms = replace(self.model.terms, **changes)

    # --- What may happen

    @initialize()
    def some_are_there_first(self) -> None:
        for buyer in BUYERS[:3]:
            self.joins(buyer)

    @rule(ms=st.sampled_from([500, 1_000, 1_500, 4_000, 11_000, 30_000]))
    def time_passes(self, ms: int) -> None:
        self.model.now += ms
        self._run(self._set_clock())

    @rule(ms=st.sampled_from([0, 500, 1_000, 2_000, 5_000]))
    def a_pod_serves_after(self, ms: int) -> None:
        self.time_passes(ms)
        self.a_pod_serves()

    @rule()
    def the_first_offered_claims(self) -> None:
        if self.model.offers:
            self.claims(next(iter(self.model.offers)))

    @rule(buyer=buyers)
    def joins(self, buyer: BuyerId) -> None:
        try:
            place: Place = self._run(self.scene.join(buyer))
        except AlreadyAdmitted:
            assert self.model.join(buyer) == "spent"
            return
        assert self.model.join(buyer) == place.standing
        assert self.model.places[buyer] == place.seq

    @rule()
    def a_pod_serves(self) -> None:
        served = self._run(self.scene.lines.serve(self.scene.terms))
        assert served.offered == self.model.serve()

    @rule(buyer=buyers)
    def claims(self, buyer: BuyerId) -> None:
        if buyer not in self.scene.places:
            return
        was_admitted = buyer in self.model.claimed
        expected = self.model.claim(buyer)
        try:
            turn: Turn = self._run(self.scene.claim(buyer))
        except AlreadyAdmitted:
            assert expected == "spent"
        except NotInLine:
            assert expected == "gone"
        else:
            assert turn.standing == expected
            assert turn.began_now == (expected == "admitted" and not was_admitted)
            if turn.began_now:
                self.admitted.append(buyer)

    @rule(buyer=buyers)
    def leaves(self, buyer: BuyerId) -> None:
        self.model.leave(buyer)
        self._run(self.scene.leave(buyer))

    @rule(buyer=buyers)
    def is_heard_of(self, buyer: BuyerId) -> None:
        self.model.beat(buyer)
        self._run(self.scene.beat(buyer))

    @rule()
    def ghosts_are_swept(self) -> None:
        assert self._run(self.scene.lines.sweep(self.scene.terms)) == self.model.sweep()

    @rule(buyer=buyers)
    def finishes_shopping(self, buyer: BuyerId) -> None:
        self.model.active.pop(buyer, None)
        self._run(self.scene.lines.end_session(self.scene.terms.event, buyer))

    @rule(paused=st.booleans())
    def organiser_pauses_or_resumes(self, paused: bool) -> None:
        self._change(is_paused=paused)

    @rule(slots=st.integers(1, 3))
    def organiser_changes_the_number_of_slots(self, slots: int) -> None:
        self._change(slots=slots)
        self.most_slots = max(self.most_slots, slots)

    @rule()
    def a_ticket_is_sold(self) -> None:
        if self.model.sold < self.model.terms.stock:
            self.model.sold += 1
            counts: dict[Any, Any] = {"sold": self.model.sold, "sold:A": self.model.sold}
            self._run(self.redis.hset(self.scene.keys.counts, mapping=counts))

    # --- What must hold

    @invariant()
    def redis_is_as_the_model(self) -> None:
        self._run(self._compare())

    async def _compare(self) -> None:
        line = self.scene.keys.line(self.scene.terms.line)
        model = self.model
        assert _names(await self.redis.zrange(line.waiting, 0, -1)) == model.in_order(model.waiting)
        assert _names(await self.redis.zrange(line.returning, 0, -1)) == model.in_order(model.returning)
        assert _scores(await self.redis.zrange(line.alive, 0, -1, withscores=True)) == model.alive
        assert _scores(await self.redis.zrange(line.offers, 0, -1, withscores=True)) == model.offers
        assert _scores(await self.redis.zrange(self.scene.keys.active, 0, -1, withscores=True)) == model.active
        state = await self.scene.lines.state(self.scene.terms.event, self.scene.terms.line)
        assert (state.horizon, state.waiting) == (model.horizon, len(model.waiting) + len(model.returning))

    @invariant()
    def no_more_slots_are_taken_than_there_ever_were(self) -> None:
        assert self.model.taken <= self.most_slots

    @invariant()
    def nobody_is_admitted_twice(self) -> None:
        assert len(self.admitted) == len(set(self.admitted))

    @invariant()
    def the_horizon_never_goes_back(self) -> None:
        assert self.model.horizon >= self.horizon
        self.horizon = self.model.horizon

    @invariant()
    def nobody_waits_before_the_horizon(self) -> None:
        assert all(self.model.places[buyer] > self.model.horizon for buyer in self.model.waiting)

    def teardown(self) -> None:
        self._run(self._end())
        self._runner.close()

    async def _end(self) -> None:
        await self.redis.delete(*[key async for key in self.redis.scan_iter(self.scene.keys.pattern)])
        await self.redis.aclose()


def _names(members: list[Any]) -> list[str]:
    return [member.decode() for member in members]


def _scores(members: list[Any]) -> dict[str, float]:
    return {member.decode(): score for member, score in members}


def test_the_line_does_what_the_model_does(redis_url: str) -> None:
    run_state_machine_as_test(
        partial(LineMachine, redis_url),  # type: ignore[arg-type]  # any callable that makes a machine
        settings=settings(
            max_examples=100,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
