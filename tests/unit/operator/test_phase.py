"""The phase that is shown: what the clock says, unless buyers cannot come in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.events import CLOSES, OPENS, make_event, make_policy

from tiketi_operator.phase import phase_without_sale
from tiketi_operator.reconcile import Case
from tiketi_operator.sale import compile_sale
from tiketi_operator.status import FALSE, TRUE, Fact, Facts, compose, notices, unknown
from tiketi_runtime.contracts.sale_sheet import Phase
from tiketi_runtime.contracts.ticket_event import TicketEvent
from tiketi_runtime.contracts.ticket_event_status import AuditReport, Sales, TicketEventStatus

EVENT = make_event(capacity={"lane": "Shared"})
SALE = compile_sale(EVENT, make_policy())
FINE, BAD = Fact(TRUE, "Fine", "It is so."), Fact(FALSE, "NotAdopted", "Nobody has the sheet.")
GOOD = Facts(FINE, FINE, FINE, FINE, replicas=2)
UNSERVED = {
    "queue": replace(GOOD, queue=BAD),
    "routing": replace(GOOD, routing=BAD),
    "no pod": replace(GOOD, capacity=BAD, replicas=0),
}
NOTHING = Facts.without_sale(unknown("NoSale", "There is no sale sheet."), Fact(TRUE, "PolicyNotFound", "Create it."))
DURING = OPENS + timedelta(minutes=1)


def known_as(phase: Phase | None, **sales: Any) -> TicketEvent:
    return EVENT.model_copy(update={"status": TicketEventStatus(phase=phase, sales=Sales(**sales))})


@pytest.mark.parametrize("missing", UNSERVED)
@pytest.mark.parametrize("before", [None, Phase.SCHEDULED, Phase.ARMED, Phase.PREQUEUE, Phase.DELAYED])
def test_a_sale_that_could_not_begin_is_delayed_until_it_does(missing: str, before: Phase | None) -> None:
    case = Case(known_as(before), DURING, FINE, SALE)
    assert case.phase(UNSERVED[missing]) is Phase.DELAYED
    assert case.phase(GOOD) is Phase.ON_SALE


@pytest.mark.parametrize("before", [Phase.ON_SALE, Phase.PRESALE, Phase.PAUSED])
def test_no_fault_takes_a_sale_back_that_has_begun(before: Phase) -> None:
    assert Case(known_as(before), DURING, FINE, SALE).phase(UNSERVED["queue"]) is Phase.ON_SALE


@pytest.mark.parametrize("sales", [{"active": 1}, {"held": 1}, {"sold": 1}])
def test_a_sale_with_buyers_in_it_is_on_sale(sales: dict[str, int]) -> None:
    assert Case(known_as(Phase.ARMED, **sales), DURING, FINE, SALE).phase(UNSERVED["no pod"]) is Phase.ON_SALE


@pytest.mark.parametrize(
    ("now", "phase"),
    [
        (OPENS - timedelta(days=1), Phase.SCHEDULED),
        (OPENS - timedelta(seconds=1), Phase.ARMED),
        (CLOSES, Phase.CLOSED),
    ],
)
def test_before_and_after_the_sale_the_clock_alone_counts(now: Any, phase: Phase) -> None:
    assert Case(known_as(None), now, FINE, SALE).phase(UNSERVED["queue"]) is phase


@pytest.mark.parametrize(
    ("now", "before", "phase"),
    [
        (OPENS - timedelta(seconds=1), None, Phase.SCHEDULED),
        (OPENS - timedelta(seconds=1), Phase.ARMED, Phase.ARMED),
        (OPENS - timedelta(seconds=1), Phase.DELAYED, Phase.SCHEDULED),  # it was postponed
        (OPENS, None, Phase.DELAYED),
        (OPENS, Phase.SCHEDULED, Phase.DELAYED),
        (OPENS, Phase.PREQUEUE, Phase.DELAYED),
        (OPENS, Phase.ON_SALE, Phase.ON_SALE),  # nobody can tell that it is not
        (CLOSES, Phase.DELAYED, Phase.CLOSED),
    ],
)
def test_what_cannot_be_compiled_is_delayed_from_its_opening_on(now: Any, before: Phase | None, phase: Phase) -> None:
    assert phase_without_sale(EVENT.spec.sale, before, now) is phase
    assert Case(known_as(before), now, FINE).phase(NOTHING) is phase


def test_ready_says_since_when_it_is_late_and_what_is_missing() -> None:
    old = known_as(Phase.SCHEDULED)
    status = compose(
        old, None, NOTHING, phase=Phase.DELAYED, now=DURING, changed_at=OPENS, settling=timedelta(seconds=30)
    )
    ready = next(found for found in status.conditions if found.type == "Ready")
    assert (ready.status, ready.reason) == (FALSE, "PolicyNotFound")
    assert ready.message.startswith("Not on sale yet (opensAt ")
    assert ready.message.endswith("Create it.")
    assert ("Delayed", True) in [(note.reason, note.is_warning) for note in notices(old.status, status)]


@pytest.mark.parametrize("sale", [SALE, None])
def test_a_cancelled_event_is_shown_as_one(sale: Any) -> None:
    audit = {"completed_at": DURING, "stopped": True}
    cancelled = known_as(Phase.ON_SALE, audit=AuditReport(**audit, message="cancelled by olga"))
    assert Case(cancelled, DURING, FINE, sale).phase(GOOD) is Phase.CANCELLED
    stopped = known_as(Phase.ON_SALE, audit=AuditReport(**audit))
    assert Case(stopped, DURING, FINE, sale).phase(GOOD) is Phase.ON_SALE
