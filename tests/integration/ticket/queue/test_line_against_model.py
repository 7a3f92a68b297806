"""Whatever buyers, pods, the organiser and the machines do: scripts do what the model does, and the promises hold."""

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
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.integration.ticket.queue.lines import bits_of, open_terms
from tests.integration.ticket.queue.model import BLOCK, ModelLine
from tests.integration.ticket.queue.real_line import RealLine

from tiketi_runtime.contracts.draw import Draw
from tiketi_runtime.contracts.identity import BuyerId, event_id
from tiketi_services.ticket.queue.domain import (
    NotInLine,
    Place,
    QueueClosed,
    StaleReceipt,
    Standing,
    Turn,
)
from tiketi_services.ticket.queue.repository import NumbersUsedUp, Spent

DAY_MS = 86_400_000
BUYERS = [BuyerId(f"buyer-{number}") for number in range(8)]  # a crowd too small for the outage rule
buyers = st.sampled_from(BUYERS)
T = TypeVar("T")
_numbers = count(1)


class LineMachine(RuleBasedStateMachine):
    """Time is the event's clock, set ahead of Redis' own, so that minutes pass at once.

    To Redis' own clock, then, this is a line whose clock was stepped back by a day.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        event = event_id("demo", f"model-{next(_numbers)}")
        now = int(time.time() * 1000) + DAY_MS
        terms = open_terms(
            event,
            now,
            per_minute=60,
            slots=3,
            session=20_000,
            claim_window=12_000,
            ghost_timeout=10_000,
            closes=now + DAY_MS,
        )
        self.model = ModelLine(terms, now, seq_limit=BLOCK, serving_limit=BLOCK)
        self.real = RealLine(self.model)
        self.receipts: dict[BuyerId, list[tuple[int, int]]] = {}
        self.admitted: list[tuple[BuyerId, int]] = []
        self.horizon = 0
        self._run(self.real.begin(url))

    def _run(self, what: Awaitable[T]) -> T:
        async def wait() -> T:
            return await what

        return self._runner.run(wait())

    def _change(self, **changes: Any) -> None:
        self.model.terms = replace(self.model.terms, **changes)

    # --- What buyers may do

    @initialize(is_drawn=st.booleans(), stock=st.sampled_from([3, 6]))
    def some_are_there_first(self, is_drawn: bool, stock: int) -> None:
        self._change(stock=stock)
        if is_drawn:
            self._change(draw_at=self.model.now + 500)
            self.model.serving_limit = 0  # nobody is served before the draw, so no place is skipped by a loss
            self._run(self.real.raise_marks())
        for buyer in BUYERS[:4]:
            self.joins(buyer)

    @rule(buyer=buyers)
    def joins(self, buyer: BuyerId) -> None:
        self._joins(buyer, None, is_new_welcome=True)

    @rule(buyer=buyers)
    def is_asked_for_more_if_new(self, buyer: BuyerId) -> None:
        self._joins(buyer, None, is_new_welcome=False)

    @rule(buyer=buyers, which=st.integers(0, 3))
    def presents_a_receipt(self, buyer: BuyerId, which: int) -> None:
        if receipts := self.receipts.get(buyer):
            self._joins(buyer, receipts[which % len(receipts)], is_new_welcome=False)

    def _joins(self, buyer: BuyerId, receipt: tuple[int, int] | None, *, is_new_welcome: bool) -> None:
        known = self.model.places.get(buyer)
        expected = self.model.join(buyer, receipt, is_new_welcome=is_new_welcome)
        place: Place | None = None
        try:
            place = self._run(self.real.join(buyer, receipt, is_new_welcome=is_new_welcome))
        except Spent:
            assert expected == "spent"
        except QueueClosed:
            assert expected == "refused"
        except NumbersUsedUp:
            assert expected == "limit"
        else:
            assert expected == ("new" if place is None else place.standing)
        if place is None:
            return
        self.receipts.setdefault(buyer, []).append((place.seq, place.epoch))
        assert place.seq == self.model.places[buyer]
        if receipt is not None and place.standing is not Standing.ADMITTED:
            # I9: the place of a receipt is not lost, and nobody gets a worse one by it.
            assert place.seq == min(receipt[0], receipt[0] if known is None else known)

    @rule(buyer=buyers, which=st.integers(-1, 1))
    def claims(self, buyer: BuyerId, which: int = -1) -> None:
        receipts = self.receipts.get(buyer, [])
        if not receipts:
            return
        seq, epoch = receipts[which % len(receipts)]
        was_spent = buyer in self.model.claimed
        earlier = [other for other in self.model.returning if self._place(other) < self.model.place(seq)]
        expected = self.model.claim(buyer, seq, epoch)
        try:
            turn: Turn = self._run(self.real.claim(buyer, seq, epoch))
        except Spent:
            assert expected == "spent"
        except NotInLine:
            assert expected == "gone"
        except StaleReceipt:
            assert expected == "stale"
        else:
            assert turn.standing == expected
            assert turn.began_now == (expected == "admitted" and not was_spent)
            if turn.began_now:
                self._is_admitted(buyer, seq, len(earlier))

    def _is_admitted(self, buyer: BuyerId, seq: int, earlier: int) -> None:
        """I7: no more shop than there are slots and places; I8: there is room left for whoever asked before."""
        self.admitted.append((buyer, seq))
        assert len(self.model.active) + earlier <= self.model.terms.slots
        assert self.model.free_stock() >= earlier

    @rule(data=st.data())
    def one_who_is_offered_a_slot_claims(self, data: st.DataObject) -> None:
        if self.model.offers:
            self.claims(data.draw(st.sampled_from(list(self.model.offers))))

    @precondition(lambda self: len(self.model.offers) > 1)
    @rule()
    def they_rush_for_one_slot(self) -> None:
        """All but the last of those offered one ask while it is taken; the last asks when it is free."""
        self._change(slots=max(1, len(self.model.active)))
        *first, last = self.model.in_order(set(self.model.offers))
        for buyer in first:
            self.claims(buyer)
        for buyer in list(self.model.active)[:1]:
            self.finishes_shopping(buyer)
        self.claims(last)

    @precondition(lambda self: bool(self.model.offers))
    @rule()
    def they_rush_for_the_last_seats(self) -> None:
        """Who shops holds one, and as many seats are left as buyers ask, less one."""
        for buyer in list(self.model.active):
            self.holds_a_seat(buyer)
        self._change(slots=8, stock=self.model.taken + len(self.model.offers) - 1)
        for buyer in list(self.model.offers):
            self.claims(buyer)
        self.a_pod_serves_after(3_000)

    @rule(most=st.integers(1, 8))
    def some_present_their_first_receipt(self, most: int) -> None:
        for buyer, receipts in list(self.receipts.items())[:most]:
            if self.model.places.get(buyer) != receipts[0][0]:
                self._joins(buyer, receipts[0], is_new_welcome=False)

    @rule(buyer=buyers)
    def leaves(self, buyer: BuyerId) -> None:
        self.model.leave(buyer)
        self._run(self.real.scene.leave(buyer))

    @rule(buyer=buyers)
    def is_heard_of(self, buyer: BuyerId) -> None:
        self.model.beat(buyer)
        self._run(self.real.scene.beat(buyer))

    @rule(buyer=buyers)
    def finishes_shopping(self, buyer: BuyerId) -> None:
        self.model.active.pop(buyer, None)
        self._run(self.real.end_session(buyer))

    @rule(buyer=buyers)
    def holds_a_seat(self, buyer: BuyerId) -> None:
        if self.model.is_shopping(buyer) and self.model.taken < self.model.terms.stock:
            self.model.taken += 1
            self.model.holding[buyer] = self.model.now + 15_000
            self._run(self.real.tell_seats())

    @rule(buyer=buyers, is_bought=st.booleans())
    def gives_the_seat_back_or_buys_it(self, buyer: BuyerId, is_bought: bool) -> None:
        if self.model.holding.pop(buyer, None) is not None:
            self.model.taken -= not is_bought
            self._run(self.real.tell_seats())

    # --- What pods and time do

    @rule(ms=st.sampled_from([500, 1_500, 4_000, 11_000]))
    def time_passes(self, ms: int) -> None:
        self.model.now += ms
        self._run(self.real.set_clock())

    @rule(ms=st.sampled_from([0, 500, 1_000, 2_000, 3_000]))
    def a_pod_serves_after(self, ms: int) -> None:
        self.time_passes(ms)
        self.a_pod_serves()

    @rule(rounds=st.integers(1, 4), first_to_come=st.integers(0, 2))
    def the_line_moves_on(self, rounds: int, first_to_come: int) -> None:
        """All are there; of those who are offered a slot, the earliest do not come."""
        for number in range(rounds):
            self._all_are_heard_of()
            self.a_pod_serves_after(3_000)
            if self.model.entries is not None and self.model.order is None:
                self.the_order_is_drawn(bytes([number, first_to_come]))
            for buyer in list(self.model.offers)[first_to_come:]:
                self.claims(buyer)

    @rule()
    def those_who_are_late_ask_at_once(self) -> None:
        """Offers lapse, or count as no-shows already; then all ask, whoever is last first."""
        self._all_are_heard_of()
        self.time_passes(9_900)
        self._all_are_heard_of()
        self.a_pod_serves_after(3_000)
        for buyer in reversed(BUYERS):
            if not {buyer} & (self.model.waiting | self.model.claimed.keys()):
                self.claims(buyer)
        self.a_pod_serves()

    def _all_are_heard_of(self) -> None:
        for buyer in BUYERS:
            self.is_heard_of(buyer)

    @rule()
    def a_pod_serves(self) -> None:
        waiting, returning = set(self.model.waiting), set(self.model.returning)
        served = self._run(self.real.serve())
        assert served.offered == self.model.serve()
        assert served.horizon == self.model.horizon
        # I8: nobody is offered a slot before somebody who was in line for it with an earlier place.
        for left, before in ((self.model.waiting, waiting), (self.model.returning, returning)):
            offered = {self._place(buyer) for buyer in before - left}
            assert not offered or max(offered) < min(map(self._place, left), default=1 << 60)
        assert waiting == self.model.waiting or not self.model.returning

    @rule()
    def ghosts_are_swept(self) -> None:
        assert self._run(self.real.sweep()) == self.model.sweep()

    @precondition(lambda self: self.model.entries is not None and self.model.order is None)
    @rule(key=st.binary(min_size=4, max_size=4))
    def the_order_is_drawn(self, key: bytes) -> None:
        self.model.order = Draw(self.model.entries or 0, key)
        self._run(self.real.show_draw())
        self.the_marks_are_raised()

    @rule(seq=st.sampled_from([0, 1, BLOCK]), serving=st.sampled_from([0, 1, BLOCK]))
    def the_marks_are_raised(self, seq: int = BLOCK, serving: int = BLOCK) -> None:
        """The mark of the horizon is never above that of the numbers, and stays 0 until the order is drawn."""
        self.model.seq_limit += seq
        if self.model.order is not None or not self.model.terms.draw_at:
            self.model.serving_limit = min(self.model.serving_limit + serving, self.model.seq_limit)
        self._run(self.real.raise_marks())

    @rule(ms=st.sampled_from([60_000, 3_600_000]))
    def the_clock_jumps_ahead(self, ms: int) -> None:
        self.time_passes(ms)

    @rule(anew=st.integers(0, 2), back=st.integers(0, 8))
    def redis_is_lost_and_rebuilt(self, anew: int, back: int) -> None:
        """Right after it some join anew, some present their receipts, and a pod serves."""
        living = len(self.model.waiting) + len(self.model.returning)
        self.model.be_lost()
        self._run(self.real.be_rebuilt(living))
        for buyer in BUYERS[:anew]:
            self.joins(buyer)
        self.some_present_their_first_receipt(back)
        self.a_pod_serves_after(2_000)

    # --- What the organiser does

    @rule(
        change=st.sampled_from(
            [
                {"is_paused": True},
                {"takes_new": False},
                *({"slots": slots} for slots in (1, 2, 4)),
                *({"per_minute": per_minute} for per_minute in (1, 20, 600)),
            ]
        )
    )
    def organiser_changes_something(self, change: dict[str, Any]) -> None:
        self._change(**change)

    @precondition(lambda self: self.model.terms.is_paused or not self.model.terms.takes_new)
    @rule()
    def organiser_opens_all_doors(self) -> None:
        self._change(is_paused=False, takes_new=True)

    @rule(rate=st.sampled_from([None, 5, 60]))
    def adaptive_admission_sets_the_rate(self, rate: int | None) -> None:
        self.model.rate = rate
        self._run(self.real.set_rate())

    # --- What must hold

    @invariant()
    def redis_is_as_the_model(self) -> None:
        model, (state, sets) = self.model, self._run(self.real.look())
        waiting, returning, alive, offers, active = sets
        assert waiting == {buyer: model.places[buyer] for buyer in model.waiting}
        assert returning == {buyer: self._place(buyer) for buyer in model.returning}
        assert (alive, offers, active) == (model.alive, model.offers, model.active)
        assert (state.horizon, state.entries) == (model.horizon, model.entries)
        assert state.waiting == len(model.waiting) + len(model.returning)
        assert bits_of(state.living) == {model.places[buyer] for buyer in model.waiting | model.returning}

    @invariant()
    def no_place_admits_twice_and_nobody_is_admitted_twice(self) -> None:
        assert (
            len({buyer for buyer, _ in self.admitted}) == len({seq for _, seq in self.admitted}) == len(self.admitted)
        )

    @invariant()
    def no_number_is_given_out_twice(self) -> None:
        owners = {(seq, buyer) for buyer, receipts in self.receipts.items() for seq, _ in receipts}
        assert len({seq for seq, _ in owners}) == len(owners)

    @invariant()
    def the_horizon_never_goes_back(self) -> None:
        assert self.model.horizon >= self.horizon
        self.horizon = self.model.horizon

    @invariant()
    def nobody_waits_before_the_horizon_or_goes_first_beyond_it(self) -> None:
        assert all(self._place(buyer) > self.model.horizon for buyer in self.model.waiting)
        assert all(self._place(buyer) <= self.model.horizon for buyer in self.model.returning)

    def _place(self, buyer: BuyerId) -> int:
        return self.model.place(self.model.places[buyer])

    def teardown(self) -> None:
        self._run(self.real.end())
        self._runner.close()


def test_the_line_does_what_the_model_does(redis_url: str) -> None:
    run_state_machine_as_test(
        partial(LineMachine, redis_url),  # type: ignore[arg-type]  # any callable that makes a machine
        settings=settings(
            max_examples=150,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
