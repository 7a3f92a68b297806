"""What the auditor makes of an order: nothing that a delay explains is a mismatch, and nothing else is overlooked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_services.stats.audit import (
    CLOSED,
    OPEN,
    PAID,
    REFUNDED,
    Delivery,
    Finding,
    PaymentSide,
    RefundRow,
    Stop,
    StraySeat,
    Suspicions,
    TicketRow,
    TicketSide,
    accepted,
    cancelled,
    facts_of,
    judge,
    stopped,
    stray,
)

NOW = datetime(2027, 3, 1, 11, tzinfo=UTC)
ORDER = UUID(int=7)
EVENT = "demo/first-sale"
SEATS, PRICES = ("A-01-01", "A-01-02"), (100, 150)
NEVER = Delivery()

OPEN_TICKET = TicketSide(
    order=ORDER,
    event=EVENT,
    buyer="anna",
    state=OPEN,
    amount=250,
    currency="KRW",
    payment_key=None,
    pay_by=NOW + timedelta(minutes=10),
    ended_at=None,
    read_at=NOW,
    seats=SEATS,
    prices=PRICES,
    kept=("PLACED", "PLACED"),
    valid=(0, 0),
    tickets=(),
)
PAID_TICKET = replace(
    OPEN_TICKET,
    state=PAID,
    payment_key="pk",
    ended_at=NOW,
    kept=("SOLD", "SOLD"),
    valid=(1, 1),
    tickets=(TicketRow("A-01-01", "ISSUED", 100), TicketRow("A-01-02", "USED", 150)),
)
CLOSED_TICKET = replace(OPEN_TICKET, state=CLOSED, ended_at=NOW, kept=(None, None))
OPEN_PAYMENT = PaymentSide(ORDER, OPEN, EVENT, "anna", 250, "KRW")
PAID_PAYMENT = replace(OPEN_PAYMENT, state=PAID, paid_amount=250, paid_currency="KRW", payment_key="pk", paid_at=NOW)
CLOSED_PAYMENT = replace(OPEN_PAYMENT, state=CLOSED)
CLOSED_UNSEEN = PaymentSide(ORDER, CLOSED)
ONE, ALL = (
    RefundRow(UUID(int=number), price, "REQUESTED", NOW) for number, price in enumerate((PRICES[1], sum(PRICES)))
)
FIRST = RefundRow(UUID(int=9), PRICES[0], "REQUESTED", NOW)
DONE_ONE, DONE_ALL = (replace(each, state="DONE") for each in (ONE, ALL))
LATE = NOW + timedelta(minutes=31)
ONE_BACK = replace(
    PAID_TICKET,
    refunds=(ONE,),
    kept=("SOLD", None),
    tickets=(TicketRow("A-01-01", "ISSUED", 100), TicketRow("A-01-02", "VOID", 150)),
)
ALL_BACK = replace(
    PAID_TICKET,
    refunds=(ALL,),
    kept=(None, None),
    valid=(0, 1),
    tickets=(TicketRow("A-01-01", "VOID", 100), TicketRow("A-01-02", "VOID", 150)),
)


def kinds(ticket: TicketSide | None, payment: PaymentSide | None, delivery: Delivery = NEVER) -> list[str]:
    return [finding.kind for finding in judge(ticket, payment, delivery).findings]


def worked(*, minutes: int, since: datetime) -> Delivery:
    due = [since + timedelta(minutes=1 + minute) for minute in range(minutes)]
    return NEVER.seen(replace(CLOSED_TICKET, pay_by=at, ended_at=at + timedelta(seconds=2)) for at in due)


@pytest.mark.parametrize(
    ("ticket", "payment", "lags"),
    [
        (OPEN_TICKET, None, ("untold",)),
        (OPEN_TICKET, OPEN_PAYMENT, ()),
        (replace(OPEN_TICKET, pay_by=NOW - timedelta(hours=5)), OPEN_PAYMENT, ("overdue",)),
        (OPEN_TICKET, replace(OPEN_PAYMENT, under_way=1), ("confirming",)),
        (OPEN_TICKET, PAID_PAYMENT, ("settling",)),
        (OPEN_TICKET, replace(PAID_PAYMENT, going_back=1), ("settling", "going-back")),
        (OPEN_TICKET, CLOSED_PAYMENT, ("closing",)),
        (OPEN_TICKET, CLOSED_UNSEEN, ("closing",)),
        (PAID_TICKET, PAID_PAYMENT, ()),
        (CLOSED_TICKET, CLOSED_PAYMENT, ()),
        (CLOSED_TICKET, CLOSED_UNSEEN, ()),
        (CLOSED_TICKET, replace(CLOSED_PAYMENT, going_back=1), ("going-back",)),
        (replace(CLOSED_TICKET, valid=(1, 1)), CLOSED_PAYMENT, ()),  # sold to the next
        (ONE_BACK, PAID_PAYMENT, ("refunding",)),
        (ONE_BACK, replace(PAID_PAYMENT, last_refund_at=NOW + timedelta(minutes=30)), ("refunding",)),
        (ONE_BACK, replace(PAID_PAYMENT, refunds=(ONE,), last_refund_at=LATE, read_at=LATE), ("refunding",)),
        (ONE_BACK, replace(PAID_PAYMENT, refunds=(DONE_ONE,)), ("refunding",)),
        (replace(ONE_BACK, refunds=(DONE_ONE,)), replace(PAID_PAYMENT, refunds=(DONE_ONE,)), ()),
        (PAID_TICKET, replace(PAID_PAYMENT, refunds=(ONE,), read_at=NOW + timedelta(minutes=30)), ()),
        (replace(ONE_BACK, kept=("SOLD", "SOLD"), valid=(1, 0)), PAID_PAYMENT, ("freeing", "refunding")),
        (ALL_BACK, PAID_PAYMENT, ("refunding",)),
        (ALL_BACK, replace(PAID_PAYMENT, state=REFUNDED, refunds=(DONE_ALL,)), ("refunding",)),
        (
            replace(ALL_BACK, state=REFUNDED, refunds=(DONE_ALL,)),
            replace(PAID_PAYMENT, state=REFUNDED, refunds=(DONE_ALL,)),
            (),
        ),
        (None, CLOSED_UNSEEN, ("unknown-order",)),
        (None, OPEN_PAYMENT, ("unknown-order",)),
    ],
)
def test_what_is_under_way_is_lag(
    ticket: TicketSide | None, payment: PaymentSide | None, lags: tuple[str, ...]
) -> None:
    judgement = judge(ticket, payment, NEVER)
    assert judgement.findings == ()
    assert judgement.lags == lags


def without(row: TicketSide, **changes: Any) -> TicketSide:
    return replace(row, **changes)


@pytest.mark.parametrize(
    ("ticket", "payment", "kind"),
    [
        (without(CLOSED_TICKET, kept=("SOLD", None)), CLOSED_PAYMENT, "closed-with-seat"),
        (without(CLOSED_TICKET, tickets=PAID_TICKET.tickets), CLOSED_PAYMENT, "ticket-unpaid"),
        (without(OPEN_TICKET, tickets=PAID_TICKET.tickets), OPEN_PAYMENT, "ticket-unpaid"),
        (without(OPEN_TICKET, kept=("PLACED", None)), OPEN_PAYMENT, "open-without-seat"),
        (without(OPEN_TICKET, kept=("PLACED", "SOLD")), OPEN_PAYMENT, "open-without-seat"),
        (without(PAID_TICKET, kept=("SOLD", None)), PAID_PAYMENT, "paid-without-seat"),
        (without(PAID_TICKET, kept=("SOLD", "PLACED")), PAID_PAYMENT, "paid-without-seat"),
        (without(PAID_TICKET, tickets=PAID_TICKET.tickets[:1], valid=(1, 0)), PAID_PAYMENT, "paid-without-ticket"),
        (without(PAID_TICKET, valid=(1, 2)), PAID_PAYMENT, "two-tickets"),
        (without(PAID_TICKET, amount=251), PAID_PAYMENT, "amounts-differ"),
        (without(PAID_TICKET, prices=(100,), amount=100), PAID_PAYMENT, "amounts-differ"),
        (PAID_TICKET, replace(PAID_PAYMENT, paid_amount=249), "amounts-differ"),
        (OPEN_TICKET, replace(OPEN_PAYMENT, amount=1), "amounts-differ"),
        (OPEN_TICKET, replace(OPEN_PAYMENT, buyer="boris"), "amounts-differ"),
        (PAID_TICKET, replace(PAID_PAYMENT, payment_key="other"), "payment-differs"),
        (PAID_TICKET, OPEN_PAYMENT, "paid-without-outcome"),
        (PAID_TICKET, CLOSED_PAYMENT, "paid-without-outcome"),
        (PAID_TICKET, None, "unknown-to-payment"),
        (CLOSED_TICKET, None, "unknown-to-payment"),
        (CLOSED_TICKET, OPEN_PAYMENT, "closed-but-payable"),
        (CLOSED_TICKET, PAID_PAYMENT, "closed-but-paid"),
        (PAID_TICKET, replace(PAID_PAYMENT, state=REFUNDED), "ticket-refunded"),
        (without(PAID_TICKET, state=REFUNDED), replace(PAID_PAYMENT, state=REFUNDED), "ticket-refunded"),
        (without(ONE_BACK, refunds=()), PAID_PAYMENT, "void-without-refund"),
        (without(ONE_BACK, refunds=(replace(ONE, amount=149),)), PAID_PAYMENT, "void-without-refund"),
        (without(PAID_TICKET, refunds=(ONE,)), PAID_PAYMENT, "void-without-refund"),
        (ONE_BACK, replace(PAID_PAYMENT, last_refund_at=LATE), "refund-lost"),
        (without(ONE_BACK, refunds=(DONE_ONE,)), PAID_PAYMENT, "refund-lost"),
        (without(ONE_BACK, refunds=(DONE_ONE,)), replace(PAID_PAYMENT, refunds=(ONE,)), "refund-differs"),
        (ONE_BACK, replace(PAID_PAYMENT, refunds=(replace(ONE, amount=149),)), "refund-differs"),
        (PAID_TICKET, replace(PAID_PAYMENT, refunds=(ONE,), read_at=LATE), "refund-unasked"),
        (None, PAID_PAYMENT, "charged-without-order"),
        (OPEN_TICKET, replace(OPEN_PAYMENT, lost=1), "charged-and-lost"),
        (OPEN_TICKET, replace(OPEN_PAYMENT, state=PAID), "outcome-differs"),
        (OPEN_TICKET, replace(PAID_PAYMENT, state=CLOSED), "outcome-differs"),
    ],
)
def test_what_cannot_be_is_a_mismatch(ticket: TicketSide | None, payment: PaymentSide | None, kind: str) -> None:
    assert kind in kinds(ticket, payment)


def test_a_paid_order_that_ticket_has_not_settled_is_lag_for_as_long_as_either_is_away() -> None:
    late = replace(OPEN_TICKET, pay_by=NOW - timedelta(days=3), read_at=NOW)
    assert kinds(late, PAID_PAYMENT) == []
    assert kinds(late, PAID_PAYMENT, worked(minutes=9, since=NOW)) == []
    before = worked(minutes=30, since=NOW - timedelta(hours=1))
    assert kinds(late, PAID_PAYMENT, before) == []


def test_a_paid_order_is_lost_when_ticket_has_heard_payment_about_others_again_and_again() -> None:
    late = replace(OPEN_TICKET, pay_by=NOW - timedelta(minutes=1))
    assert kinds(late, PAID_PAYMENT, worked(minutes=11, since=NOW)) == ["paid-not-settled"]


def test_while_a_backlog_of_closings_drains_no_order_behind_it_is_lost() -> None:
    """Ticket was away for a day; what was due meanwhile is closed now, a few orders a second."""
    behind = replace(OPEN_TICKET, pay_by=NOW, read_at=NOW + timedelta(days=1))
    back = NOW + timedelta(days=1)
    due = [NOW + timedelta(minutes=each) for each in range(-600, 600, 5)]
    drained = [
        replace(CLOSED_TICKET, pay_by=at, ended_at=back + timedelta(minutes=each / 8)) for each, at in enumerate(due)
    ]
    assert kinds(behind, PAID_PAYMENT, NEVER.seen(drained)) == []


LATER = NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"pay_by": LATER, "ended_at": LATER}, True),
        ({"pay_by": LATER, "ended_at": LATER + timedelta(seconds=60)}, True),
        ({"pay_by": LATER, "ended_at": LATER + timedelta(seconds=61)}, False),  # behind a backlog
        ({"pay_by": LATER, "ended_at": LATER - timedelta(seconds=1)}, False),
        ({"pay_by": NOW - timedelta(seconds=1), "ended_at": NOW + timedelta(seconds=30)}, False),  # due before
        ({"pay_by": LATER, "ended_at": LATER, "is_cancelled": True}, False),
        ({"pay_by": LATER, "ended_at": LATER, "state": PAID}, False),
        ({"pay_by": LATER, "ended_at": None, "state": OPEN}, False),
    ],
)
def test_what_shows_that_ticket_has_asked_about_an_order_that_is_due(changes: dict[str, Any], counts: bool) -> None:
    seen = Delivery(enough=1).seen([replace(CLOSED_TICKET, **changes)])
    assert seen.is_overtaken(NOW) is counts


# --- No sequence of steps, and no moment of reading, makes a false alarm


@dataclass
class Model:
    """One order as ticket and payment would have it; each step is one commit of one of them."""

    ticket: TicketSide | None = None
    payment: PaymentSide | None = None
    refunds: set[str] = field(default_factory=set)

    def step(self, name: str) -> None:
        getattr(self, f"_{name}")()

    def _place(self) -> None:
        self.ticket = self.ticket or OPEN_TICKET

    def _learn(self) -> None:
        if self.ticket is not None and (self.payment is None or self.payment.event is None):
            state = OPEN if self.payment is None else self.payment.state
            self.payment = replace(OPEN_PAYMENT, state=state)

    def _confirm(self) -> None:
        if self.payment is not None and self.payment.state == OPEN and not self.payment.under_way:
            self.payment = replace(self.payment, under_way=1)

    def _charge(self) -> None:
        if self.payment is not None and self.payment.under_way and self.payment.state == OPEN:
            self.payment = replace(PAID_PAYMENT, going_back=self.payment.going_back)

    def _refuse(self) -> None:
        if self.payment is not None:
            self.payment = replace(self.payment, under_way=0)

    def _charge_again(self) -> None:
        if self.payment is not None and self.payment.state in (PAID, CLOSED):
            self.payment = replace(self.payment, going_back=self.payment.going_back + 1)

    def _give_back(self) -> None:
        if self.payment is not None:
            self.payment = replace(self.payment, going_back=0)

    def _close_at_payment(self) -> None:
        if self.ticket is None:
            return
        if self.payment is None:
            self.payment = CLOSED_UNSEEN
        elif self.payment.state == OPEN and not self.payment.under_way:
            self.payment = replace(self.payment, state=CLOSED)

    def _hear(self) -> None:
        if self.ticket is not None and self.payment is not None and self.ticket.state == OPEN:
            if self.payment.state == PAID:
                self.ticket = PAID_TICKET
            elif self.payment.state == CLOSED:
                self.ticket = CLOSED_TICKET

    def _void_one(self) -> None:
        if self.ticket is not None and self.ticket.state == PAID and not self.refunds:
            self.ticket, self.refunds = ONE_BACK, {"one"}

    def _void_all(self) -> None:
        if self.ticket is not None and self.ticket.state == PAID and "rest" not in self.refunds:
            rest = (*self.ticket.refunds, FIRST) if self.refunds == {"one"} else (ALL,)
            if self.refunds <= {"one"}:
                self.refunds.add("rest")
                self.ticket = replace(ALL_BACK, refunds=rest)

    def _ask(self) -> None:
        if self.ticket is None or self.payment is None:
            return
        known = {each.refund for each in self.payment.refunds}
        new = (replace(each, state="REQUESTED") for each in self.ticket.refunds if each.refund not in known)
        self.payment = replace(self.payment, refunds=(*self.payment.refunds, *new), last_refund_at=NOW, read_at=NOW)

    def _refund(self) -> None:
        if self.payment is not None and self.payment.refunds:
            done = tuple(replace(each, state="DONE") for each in self.payment.refunds)
            is_all = sum(each.amount for each in done) == sum(PRICES)
            self.payment = replace(self.payment, refunds=done, state=REFUNDED if is_all else self.payment.state)

    def _hear_refunded(self) -> None:
        if self.payment is None or self.ticket is None:
            return
        done = {each.refund for each in self.payment.refunds if each.state == "DONE"}
        refunds = [replace(each, state="DONE") if each.refund in done else each for each in self.ticket.refunds]
        state = REFUNDED if self.payment.state == REFUNDED else self.ticket.state
        self.ticket = replace(self.ticket, refunds=tuple(refunds), state=state)


STEPS = sorted(name.removeprefix("_") for name in vars(Model) if name.startswith("_") and not name.startswith("__"))


@given(st.lists(st.sampled_from(STEPS), max_size=40), st.lists(st.sampled_from(STEPS), max_size=40), st.data())
def test_whatever_happens_before_and_after_each_reading_two_readings_agree_on_no_mismatch(
    before: list[str], between: list[str], data: st.DataObject
) -> None:
    model, suspicions = Model(), Suspicions(timedelta(seconds=30))
    for name in before:
        model.step(name)
    certain: list[Finding] = []
    for now in (0.0, 40.0):
        ticket = model.ticket
        for name in data.draw(st.lists(st.sampled_from(STEPS), max_size=10)):  # between the two databases
            model.step(name)
        if ticket is None and model.payment is None:
            continue
        judgement = judge(ticket, model.payment, NEVER)
        certain = suspicions.weigh([str(ORDER)], judgement.findings, now)
        for name in between:
            model.step(name)
    assert certain == []


@given(st.lists(st.sampled_from(STEPS), max_size=60))
def test_at_one_moment_nothing_is_even_suspected(steps: list[str]) -> None:
    model = Model()
    for name in steps:
        model.step(name)
        if model.ticket is not None or model.payment is not None:
            assert kinds(model.ticket, model.payment) == []


# --- Twice, and what is done about it

FOUND = Finding("two-tickets", EVENT, str(ORDER), "seat A-01-01 has 2 valid tickets")


def test_a_mismatch_counts_when_it_is_found_again_after_a_while() -> None:
    suspicions = Suspicions(timedelta(seconds=30))
    assert suspicions.weigh([FOUND.subject], [FOUND], 0) == []
    assert suspicions.subjects == {FOUND.subject}
    assert suspicions.weigh([FOUND.subject], [FOUND], 29) == []
    assert suspicions.weigh([FOUND.subject], [FOUND], 30) == [FOUND]


def test_what_is_not_found_again_is_forgotten() -> None:
    suspicions = Suspicions(timedelta(seconds=30))
    suspicions.weigh([FOUND.subject], [FOUND], 0)
    assert suspicions.weigh(["something else"], [], 10) == []
    assert suspicions.subjects == {FOUND.subject}
    suspicions.weigh([FOUND.subject], [], 20)
    assert suspicions.subjects == frozenset()
    assert suspicions.weigh([FOUND.subject], [FOUND], 60) == []


def test_the_same_order_with_another_finding_begins_anew() -> None:
    suspicions = Suspicions(timedelta(seconds=30))
    suspicions.weigh([FOUND.subject], [FOUND], 0)
    assert suspicions.weigh([FOUND.subject], [replace(FOUND, kind="paid-without-seat")], 40) == []


def test_the_last_row_of_an_event_says_whether_it_is_stopped() -> None:
    history = [
        Stop(EVENT, "STOP", "auditor", "r", facts_of([FOUND]), NOW),
        Stop("a/b", "STOP", "auditor", "r", [], NOW),
    ]
    assert set(stopped(history)) == {EVENT, "a/b"}
    history.append(Stop(EVENT, "RESUME", "anna", "mended", [], NOW))
    assert set(stopped(history)) == {"a/b"}
    assert accepted(history) == set()
    history.append(Stop(EVENT, "RESUME", "anna", "known", facts_of([FOUND]), NOW))
    assert accepted(history) == {FOUND.key}


def test_a_cancelled_event_is_told_from_one_that_was_stopped() -> None:
    fact = {"kind": "event-cancelled", "subject": "a/b", "told": "cancelled by olga"}
    history = [
        Stop(EVENT, "STOP", "auditor", "r", facts_of([FOUND]), NOW),
        Stop("a/b", "STOP", "olga", "the event is cancelled", [fact], NOW),
        Stop("a/b", "STOP", "auditor", "r", facts_of([FOUND]), NOW),
    ]
    assert {event: stop.by for event, stop in cancelled(history).items()} == {"a/b": "olga"}


def test_a_stray_seat_is_a_finding_of_its_own() -> None:
    finding = stray(StraySeat(EVENT, "A-01-01", ORDER))
    assert finding.event == EVENT
    assert finding.subject == f"{EVENT} A-01-01"
