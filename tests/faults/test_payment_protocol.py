"""Whatever buyers, ticket, the vendor and crashes do, in any order: payment does what the model does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.faults.checks import VENDOR_FORGETS
from tests.faults.protocol import BAD, GOOD, End, Mishap, ModelAttempt, ModelOrder, new_order_id, open_real, run_both
from tests.integration.conftest import MakeDatabase
from tests.invariants import PAYMENT

from tiketi_local.toss.payment import Status

T = TypeVar("T")
AMOUNT = 50_000
_ENDS = {
    "READY": End.READY,
    "CONFIRMING": End.UNDER_WAY,
    "UNKNOWN": End.UNDER_WAY,
    "DONE": End.PAID,
    "REFUSED": End.REFUSED,
}
mishaps = st.sampled_from(Mishap)
picks = st.integers(min_value=0, max_value=1_000)


class PaymentMachine(RuleBasedStateMachine):
    """I2, I3 and I6 after every step; at the end nothing is left open and the vendor keeps what was sold."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.real = self._run(self._stack.enter_async_context(open_real(url)))
        self.orders: list[ModelOrder] = []
        self.heard: dict[str, str] = {}
        """The first final answer to the confirm of an attempt: it is the answer for ever."""

    def _run(self, what: Awaitable[T]) -> T:
        async def wait() -> T:
            return await what

        return self._runner.run(wait())

    def _order(self, pick: int) -> ModelOrder:
        return self.orders[pick % len(self.orders)]

    def _attempt(self, pick: int) -> tuple[ModelOrder, ModelAttempt]:
        known = [(order, attempt) for order in self.orders for attempt in order.attempts if attempt.keys]
        return known[pick % len(known)]

    def has_order(self) -> bool:
        return bool(self.orders)

    def has_authenticated(self) -> bool:
        return any(attempt.keys for order in self.orders for attempt in order.attempts)

    # --- Orders

    @precondition(lambda self: len(self.orders) < 4)
    @rule()
    def place_an_order(self) -> None:
        self.orders.append(ModelOrder(self._run(self.real.place(AMOUNT))))

    @precondition(has_order)
    @rule(pick=picks)
    def time_to_pay_passes(self, pick: int) -> None:
        order = self._order(pick)
        order.is_overdue = True
        self._run(self.real.let_time_to_pay_pass(order.order))

    @precondition(has_order)
    @rule(pick=picks)
    def close(self, pick: int) -> None:
        order = self._order(pick)
        status, outcome = self._run(self.real.cashier.close(order.order.order_id))
        assert status == order.close()
        assert (outcome is not None) == order.is_paid

    @rule()
    def close_an_order_nobody_told_of(self) -> None:
        unseen = new_order_id()
        assert [self._run(self.real.cashier.close(unseen))[0] for _ in range(2)] == ["CLOSED", "CLOSED"]

    # --- Attempts

    @precondition(has_order)
    @rule(pick=picks, card=st.sampled_from([GOOD, GOOD, BAD]), windows=st.integers(1, 2))
    def open_attempt_and_authenticate(self, pick: int, card: str, windows: int) -> None:
        order = self._order(pick)
        answer = self._run(self.real.open_attempt(order.order))
        if why := order.why_not_payable():
            assert answer == why
            return
        keys = [self.real.authenticate(answer, AMOUNT, card) for _ in range(windows)]
        order.attempts.append(ModelAttempt(answer, keys))

    @precondition(has_authenticated)
    @rule(pick=picks, other=picks, mishap=mishaps)
    def confirm(self, pick: int, other: int, mishap: Mishap) -> None:
        order, attempt = self._attempt(pick)
        key = attempt.keys[other % len(attempt.keys)]
        expected = self._confirmed(order, attempt, key, mishap)
        self.real.break_next(mishap)
        answer = self._run(self.real.confirm(attempt.vendor_order, key, AMOUNT))
        self.real.break_next(Mishap.NONE)
        self._hear(attempt, key, answer, expected)

    @precondition(has_authenticated)
    @rule(pick=picks, mishap=mishaps, times=st.integers(2, 5))
    def confirm_many_times_at_once(self, pick: int, mishap: Mishap, times: int) -> None:
        order, attempt = self._attempt(pick)
        key = attempt.keys[0]
        expected = self._confirmed(order, attempt, key, mishap)
        self.real.break_next(mishap)
        answers = run_both(self._runner, *(self.real.confirm(attempt.vendor_order, key, AMOUNT) for _ in range(times)))
        self.real.break_next(Mishap.NONE)
        assert set(answers) <= {expected, "unknown"}, (answers, expected)
        assert expected in answers

    @precondition(has_authenticated)
    @rule(pick=picks, charged=st.booleans())
    def die_while_confirming(self, pick: int, charged: bool) -> None:
        order, attempt = self._attempt(pick)
        may = attempt.end is End.READY and not order.why_not_payable()
        if order.under_way:  # the unique index says so by an error that the routes translate
            return
        assert (
            self._run(self.real.die_while_confirming(attempt.vendor_order, attempt.keys[0], AMOUNT, charged=charged))
            == may
        )
        if may:
            attempt.end, attempt.bound = End.UNDER_WAY, attempt.keys[0]

    def _confirmed(self, order: ModelOrder, attempt: ModelAttempt, key: str, mishap: Mishap) -> str:
        """What the model says a buyer hears; it moves on."""
        if attempt.end is not End.READY:
            if key != attempt.bound:
                return "payment-key-differs"
            return "unknown" if attempt.end is End.UNDER_WAY else attempt.end.value
        if why := order.why_not_payable():
            return why
        attempt.bound = key
        attempt.end = End.UNDER_WAY
        if mishap is Mishap.NONE:
            attempt.end = self._vendors_word(key)
        return "unknown" if attempt.end is End.UNDER_WAY else attempt.end.value

    def _vendors_word(self, key: str) -> End:
        """How a confirm that arrives, or a look that is answered, ends an attempt."""
        payment = self.real.vendor.simulator.vendor.look_up(key, self.real.vendor.clock())
        if payment.status is Status.IN_PROGRESS:
            return End.REFUSED if payment.card_number == BAD else End.PAID
        return End.PAID if payment.status is Status.DONE else End.REFUSED

    def _hear(self, attempt: ModelAttempt, key: str, answer: str, expected: str) -> None:
        assert answer == expected
        if answer in ("paid", "payment-refused") and key == attempt.bound:
            assert self.heard.setdefault(attempt.vendor_order, answer) == answer

    # --- What ends the unknown

    @rule(mishap=mishaps, looks=st.booleans())
    def resolve(self, mishap: Mishap, looks: bool) -> None:
        """``looks``: whether look-ups are answered."""
        decided: dict[str, End] = {}
        for order in self.orders:
            attempt = order.under_way
            if looks and attempt is not None and self.real.status(attempt.bound) is not Status.IN_PROGRESS:
                decided[attempt.vendor_order] = self._vendors_word(attempt.bound)
        self.real.break_next(mishap, **({} if looks else {"failLookUps": -1}))
        self._run(self.real.resolve())
        self.real.break_next(Mishap.NONE)
        self._follow_the_rows()
        for order in self.orders:
            for attempt in order.attempts:
                assert attempt.end is decided.get(attempt.vendor_order, attempt.end)

    def _follow_the_rows(self) -> None:
        """Whether a repeated call has decided depends on which answer the vendor kept: there the rows tell, and only
        that something under way has ended. The ledger is compared after each step.
        """
        rows = self._run(self.real.pool.fetch("SELECT vendor_order_id, state FROM attempts"))
        states = {row["vendor_order_id"]: _ENDS[row["state"]] for row in rows}
        for order in self.orders:
            for attempt in order.attempts:
                if attempt.end is End.UNDER_WAY:
                    attempt.end = states[attempt.vendor_order]
                assert states[attempt.vendor_order] is attempt.end

    @precondition(has_authenticated)
    @rule(pick=picks, number=st.integers(1, 5))
    def hear_a_webhook(self, pick: int, number: int) -> None:
        """Early, late, doubled (few numbers), about anything: it can only make known what is so."""
        _, attempt = self._attempt(pick)
        self._run(self.real.hear_webhook(number, attempt.vendor_order))
        self._follow_the_rows()

    @rule()
    def the_vendor_ends_what_was_not_confirmed(self) -> None:
        self.real.vendor.clock.forward(VENDOR_FORGETS)

    @rule(mishap=mishaps)
    def give_money_back(self, mishap: Mishap) -> None:
        self.real.break_next(mishap)
        self._run(self.real.give_back())
        self.real.break_next(Mishap.NONE)

    # --- What must be so

    @invariant()
    def the_rows_agree(self) -> None:
        """I2 by the rows; I6: while an answer is unknown its order is open, and it is the only one."""
        for name, query in PAYMENT.items():
            assert self._run(self.real.pool.fetch(query)) == [], name
        wrong = self._run(
            self.real.pool.fetch(
                "SELECT order_id FROM attempts JOIN orders USING (order_id)"
                " WHERE attempts.state IN ('CONFIRMING', 'UNKNOWN')"
                " GROUP BY order_id, orders.state HAVING count(*) > 1 OR orders.state <> 'OPEN'"
            )
        )
        assert wrong == []

    @invariant()
    def every_charge_has_a_reason(self) -> None:
        """I2 by the vendor's ledger: charged is sold, or goes back, or is about to be found out."""
        rows = self._run(
            self.real.pool.fetch(
                "SELECT a.vendor_order_id, a.state, x.amount AS sold, c.state AS back FROM attempts a"
                " LEFT JOIN outcomes x USING (attempt_id) LEFT JOIN cancellations c USING (attempt_id)"
            )
        )
        attempts = {row["vendor_order_id"]: row for row in rows}
        for vendor_order, payments in self.real.at_vendor().items():
            kept = sum(payment.charged - payment.cancelled for payment in payments)
            attempt = attempts[vendor_order]
            if attempt["state"] not in ("CONFIRMING", "UNKNOWN") and attempt["back"] != "REQUESTED":
                assert kept == (attempt["sold"] or 0), (vendor_order, kept, dict(attempt))

    def teardown(self) -> None:
        try:
            self.the_vendor_ends_what_was_not_confirmed()
            for _ in range(2):
                self._run(self.real.resolve())
                self._run(self.real.give_back())
            left = "SELECT (SELECT count(*) FROM attempts WHERE state IN ('CONFIRMING', 'UNKNOWN'))"
            left += " + (SELECT count(*) FROM cancellations WHERE state = 'REQUESTED')"
            assert self._run(self.real.pool.fetchval(left)) == 0
            self.every_charge_has_a_reason()
        finally:
            self._run(self._stack.aclose())
            self._runner.close()


@pytest.fixture(scope="module")
async def url(database: MakeDatabase) -> str:
    return await database("payment")


def test_payment_does_what_the_model_does(url: str) -> None:
    """TIKETI_EXAMPLES=1000 for a long run."""
    run_state_machine_as_test(
        lambda: PaymentMachine(url),  # type: ignore[arg-type] # a factory will do
        settings=settings(
            max_examples=int(os.environ.get("TIKETI_EXAMPLES", "25")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
