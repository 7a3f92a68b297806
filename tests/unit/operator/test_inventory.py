"""InventoryConsistent: what the auditor found, in the words of a condition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.unit.operator.events import OPENS, make_event, make_policy

from tiketi_operator.handlers import _has_new_verdict
from tiketi_operator.sale import compile_sale
from tiketi_operator.status import AUDIT_STALE, FALSE, TRUE, UNKNOWN, Fact, Facts, compose, inventory_fact, notices
from tiketi_runtime.contracts.phase import phase_at
from tiketi_runtime.contracts.ticket_event_status import AuditReport, Condition, Sales, TicketEventStatus

EVENT = make_event(capacity={"lane": "Shared"}, generation=3)
SALE = compile_sale(EVENT, make_policy())
NOW = OPENS + timedelta(minutes=1)
CLEAN = AuditReport(completed_at=NOW - timedelta(minutes=1), orders=7, under_way=2)
WRONG = CLEAN.model_copy(update={"mismatches": 1, "stopped": True, "message": "two-tickets, order 7: seat A-01-01"})
FINE = Fact(TRUE, "Fine", "It is so.")


def status_of(audit: AuditReport | None, before: TicketEventStatus | None = None) -> TicketEventStatus:
    status = (before or TicketEventStatus()).model_copy(update={"sales": Sales(audit=audit)})
    return compose(
        EVENT.model_copy(update={"status": status}),
        SALE,
        Facts(FINE, FINE, FINE, FINE),
        phase=phase_at(SALE, NOW),
        now=NOW,
        changed_at=datetime(2020, 1, 1, tzinfo=UTC),
        settling=timedelta(seconds=30),
    )


def condition(status: TicketEventStatus, name: str) -> Condition:
    return next(each for each in status.conditions if each.type == name)


def test_nothing_is_said_before_all_orders_were_compared() -> None:
    assert condition(status_of(None), "InventoryConsistent").reason == "NotAudited"
    assert condition(status_of(None), "Ready").status is TRUE


def test_a_sale_whose_books_agree_is_consistent_and_ready_whatever_is_under_way() -> None:
    status = status_of(CLEAN)
    assert condition(status, "InventoryConsistent").status is TRUE
    assert condition(status, "Ready").status is TRUE


def test_a_mismatch_is_told_with_its_facts_and_the_mend_and_the_event_is_not_ready() -> None:
    status = status_of(WRONG)
    found = condition(status, "InventoryConsistent")
    assert (found.status, found.reason) == (FALSE, "Mismatch")
    assert "seat A-01-01" in found.message
    assert "docs/runbook-audit.md" in found.message
    assert condition(status, "Ready").status is FALSE


def test_a_sale_that_is_stopped_still_is_not_consistent_until_somebody_resumes_it() -> None:
    fact = inventory_fact(CLEAN.model_copy(update={"stopped": True}), NOW)
    assert (fact.status, fact.reason) == (FALSE, "Stopped")


def test_of_a_cancelled_event_the_organiser_is_told_that_and_not_to_resume_it() -> None:
    told = {"stopped": True, "message": "The event was cancelled by olga: nothing is sold any more"}
    fact = inventory_fact(CLEAN.model_copy(update=told), NOW)
    assert (fact.status, fact.reason) == (FALSE, "EventCancelled")
    assert "cancelled by olga" in fact.message
    assert "docs/refunds.md" in fact.message
    assert "resume" not in fact.message


def test_an_old_audit_says_nothing_about_now_but_a_mismatch_does_not_age() -> None:
    late = NOW + AUDIT_STALE
    assert inventory_fact(CLEAN, late).status is UNKNOWN
    assert not inventory_fact(CLEAN, late).due
    assert inventory_fact(WRONG, late).status is FALSE


def test_what_somebody_accepted_is_said() -> None:
    fact = inventory_fact(CLEAN.model_copy(update={"accepted": 2}), NOW)
    assert fact.status is TRUE
    assert "2 mismatches were accepted" in fact.message


def test_a_mismatch_is_one_warning() -> None:
    before = status_of(CLEAN)
    told = notices(before, status_of(WRONG, before))
    assert [(notice.reason, notice.is_warning) for notice in told] == [("Mismatch", True)]


def test_the_operator_wakes_for_a_new_verdict_only() -> None:
    consistent = [{"type": "InventoryConsistent", "status": "True"}]
    inconsistent = [{"type": "InventoryConsistent", "status": "False"}]

    def wakes(audit: dict[str, object] | None, conditions: list[dict[str, str]]) -> bool:
        status = {"sales": {} if audit is None else {"audit": audit}, "conditions": conditions}
        return _has_new_verdict(status=status)  # type: ignore[arg-type]

    assert wakes({"mismatches": 1}, consistent)
    assert wakes({"mismatches": 0, "stopped": False}, inconsistent)
    assert not wakes({"mismatches": 1}, inconsistent)
    assert not wakes({"mismatches": 0}, consistent)
    assert not wakes(None, inconsistent)
