"""Conditions: what they say, when they turn, and what people are told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tests.unit.operator.events import CLOSES, OPENS, make_event, make_policy

from tiketi_operator.sale import compile_sale
from tiketi_operator.status import (
    FALSE,
    TRUE,
    UNKNOWN,
    Fact,
    Facts,
    compose,
    document,
    is_settled,
    is_written,
    notices,
    published,
    unknown,
    utc_text,
)
from tiketi_runtime.contracts.phase import phase_at
from tiketi_runtime.contracts.sale_sheet import Admission, SaleContent
from tiketi_runtime.contracts.ticket_event import TicketEvent
from tiketi_runtime.contracts.ticket_event_status import Condition, Draw, DrawTrust, TicketEventStatus

EVENT = make_event(capacity={"lane": "Shared"}, generation=3)
SALE = compile_sale(EVENT, make_policy())
LOTTERY = compile_sale(EVENT, make_policy(queueingMethod="lottery", prequeue={}))
PROMISED = Draw(line="public", commitment="ab" * 32, draw_at=OPENS - timedelta(seconds=30), trust=DrawTrust.OPERATOR)
HELD = PROMISED.model_copy(
    update={"entries": 7, "root": "cd" * 32, "secret": "01" * 32, "drawn_at": OPENS - timedelta(seconds=29)}
)
FINE = Fact(TRUE, "Fine", "It is so.")
GOOD = Facts(FINE, FINE, FINE, FINE, replicas=2)
BAD = Fact(FALSE, "Broken", "It is not so. Mend it.")
BUT_FOR = {
    "queue": replace(GOOD, queue=BAD),
    "capacity": replace(GOOD, capacity=BAD),
    "routing": replace(GOOD, routing=BAD),
    "limits": replace(GOOD, limits=BAD),
}
"""All is good but for one part."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SCHEDULED, DURING = OPENS - timedelta(days=1), OPENS + timedelta(minutes=1)


def status_of(
    facts: Facts,
    now: datetime,
    changed_at: datetime = LONG_AGO,
    event: TicketEvent = EVENT,
    sale: SaleContent | None = SALE,
) -> TicketEventStatus:
    return compose(
        event,
        sale,
        facts,
        phase=phase_at(SALE, now),
        now=now,
        changed_at=changed_at,
        settling=timedelta(seconds=30),
    )


def condition(status: TicketEventStatus, kind: str) -> Condition:
    return next(found for found in status.conditions if found.type == kind)


def seen(status: TicketEventStatus) -> dict[str, Any]:
    return {"status": document(status)}


def test_every_condition_is_there_from_the_first_visit_on() -> None:
    status = status_of(Facts.without_sale(unknown("NoSale", "none"), BAD), SCHEDULED)
    assert [found.type for found in status.conditions] == [
        "Ready",
        "Reconciling",
        "Stalled",
        "QueueReady",
        "CapacityReady",
        "RoutingReady",
        "LimitsEnforced",
        "Armed",
        "InventoryConsistent",
    ]
    assert {found.observed_generation for found in status.conditions} == {3}


def test_an_event_that_waits_for_its_time_is_ready() -> None:
    status = status_of(replace(GOOD, capacity=unknown("Asleep", "The lane sleeps.")), SCHEDULED)
    assert condition(status, "Ready").status is TRUE
    assert condition(status, "Armed").status is UNKNOWN
    assert "2027-03-01T11:00:00Z" in condition(status, "Ready").message


@pytest.mark.parametrize("part", BUT_FOR)
def test_what_is_wrong_now_makes_the_event_not_ready_and_says_how_to_mend_it(part: str) -> None:
    status = status_of(BUT_FOR[part], DURING)
    assert condition(status, "Ready").status is FALSE
    assert "Mend it." in condition(status, "Ready").message
    assert condition(status, "Reconciling").status is FALSE


@pytest.mark.parametrize(
    ("part", "armed"), [("queue", FALSE), ("capacity", FALSE), ("routing", FALSE), ("limits", TRUE)]
)
def test_armed_means_queue_capacity_and_route(part: str, armed: object) -> None:
    assert condition(status_of(BUT_FOR[part], DURING), "Armed").status is armed


def test_armed_holds_from_arming_to_closing() -> None:
    assert condition(status_of(GOOD, SALE.arm_at - timedelta(seconds=1)), "Armed").status is UNKNOWN
    assert condition(status_of(GOOD, SALE.arm_at), "Armed").status is TRUE
    assert condition(status_of(GOOD, CLOSES), "Armed").status is UNKNOWN


def test_what_was_just_asked_for_is_given_time() -> None:
    facts = replace(GOOD, queue=BAD)
    young = status_of(facts, DURING, changed_at=DURING - timedelta(seconds=29))
    assert condition(young, "QueueReady").status is UNKNOWN
    assert condition(young, "Ready").status is UNKNOWN
    assert condition(young, "Reconciling").status is TRUE
    assert condition(young, "Armed").status is UNKNOWN
    old = status_of(facts, DURING, changed_at=DURING - timedelta(seconds=30))
    assert condition(old, "QueueReady").status is FALSE


def test_what_time_cannot_mend_is_wrong_at_once() -> None:
    status = status_of(replace(GOOD, capacity=replace(BAD, settles=False)), DURING, changed_at=DURING)
    assert condition(status, "CapacityReady").status is FALSE


def test_an_obstacle_stalls_the_event() -> None:
    obstacle = Fact(TRUE, "QueuePolicyNotFound", "There is none.")
    status = status_of(replace(GOOD, obstacle=obstacle), DURING)
    assert (condition(status, "Stalled").status, condition(status, "Stalled").reason) == (TRUE, "QueuePolicyNotFound")
    assert (condition(status, "Ready").status, condition(status, "Ready").reason) == (FALSE, "QueuePolicyNotFound")


def test_a_refused_deletion_does_not_make_the_sale_look_broken() -> None:
    status = status_of(replace(GOOD, refusal=Fact(TRUE, "DeletionRefused", "Buyers are in it.")), DURING)
    assert condition(status, "Stalled").reason == "DeletionRefused"
    assert condition(status, "Ready").status is TRUE


def test_ready_says_why_an_event_that_is_to_be_deleted_is_still_there() -> None:
    refusal = Fact(TRUE, "DeletionRefused", "Buyers are in it.")
    ready = condition(status_of(replace(GOOD, refusal=refusal), DURING), "Ready")
    assert ready.reason == "DeletionRefused"
    assert "The sale closes at 2027-03-01T15:00:00Z." in ready.message
    assert "Buyers are in it." in ready.message
    assert condition(status_of(replace(GOOD, queue=BAD, refusal=refusal), DURING), "Ready").reason == "Broken"


@pytest.mark.parametrize("now", [SCHEDULED, DURING])
@pytest.mark.parametrize(("admission", "word"), [("Paused", "paused"), ("Drain", "draining")])
def test_ready_says_that_the_organiser_holds_the_door(now: datetime, admission: str, word: str) -> None:
    """``kubectl get`` shows this message: else a pause would look as if nothing were the matter."""
    sale = SALE.model_copy(update={"admission": Admission(admission)})
    ready = condition(status_of(GOOD, now, sale=sale), "Ready")
    assert ready.status is TRUE
    assert ready.message.startswith(f"Admission is {word}: ")
    assert "The " in ready.message
    assert " at 2027-03-01T" in ready.message


def test_a_sale_that_is_over_is_not_told_to_be_paused() -> None:
    sale = SALE.model_copy(update={"admission": Admission.PAUSED})
    assert condition(status_of(GOOD, CLOSES, sale=sale), "Ready").message == "The sale is closed."


def test_a_condition_keeps_its_time_until_it_turns() -> None:
    first = status_of(GOOD, SCHEDULED)
    event = make_event(capacity={"lane": "Shared"}, generation=4, status=document(first))
    later = SCHEDULED + timedelta(hours=1)
    same = status_of(replace(GOOD, queue=Fact(TRUE, "Other", "Other words.")), later, event=event)
    assert condition(same, "QueueReady").last_transition_time == condition(first, "QueueReady").last_transition_time
    assert condition(same, "QueueReady").observed_generation == 4
    turned = status_of(replace(GOOD, queue=BAD), later, event=event)
    assert condition(turned, "QueueReady").last_transition_time == later


def test_a_status_that_is_there_already_is_not_written_again() -> None:
    first = status_of(GOOD, SCHEDULED)
    body = {"status": {**document(first), "sales": {"sold": 3}, "operator": {"lastHandled": "x"}}}
    event = make_event(capacity={"lane": "Shared"}, generation=3, status=body["status"])
    again = document(status_of(GOOD, SCHEDULED + timedelta(minutes=5), event=event))
    assert is_written(body, again)
    assert not is_written(body, {**again, "replicas": 9})
    assert not is_written({}, again)


def test_the_operator_never_writes_what_is_stats() -> None:
    event = make_event(status={"sales": {"sold": 3}})
    written = document(status_of(GOOD, SCHEDULED, event=event))
    assert set(written) == {"phase", "observedGeneration", "conditions", "timeline", "draws", "replicas"}


def test_the_timeline_is_in_utc_without_what_does_not_happen() -> None:
    assert document(status_of(GOOD, SCHEDULED))["timeline"] == {
        "armAt": "2027-03-01T10:45:00Z",
        "opensAt": "2027-03-01T11:00:00Z",
        "closesAt": "2027-03-01T15:00:00Z",
    }


def test_the_timeline_has_the_presales_in_utc() -> None:
    opens = (OPENS - timedelta(hours=2)).astimezone(timezone(timedelta(hours=9)))
    presale = {"name": "fans", "opensAt": opens, "closesAt": OPENS}
    event = make_event(sale={"presales": [presale]})
    expected = [{"name": "fans", "opensAt": "2027-03-01T09:00:00Z", "closesAt": "2027-03-01T11:00:00Z"}]
    for sale in (compile_sale(event, make_policy()), None):
        assert document(status_of(GOOD, SCHEDULED, event=event, sale=sale))["timeline"]["presales"] == expected


def test_what_cannot_be_carried_out_does_not_enter_the_timeline() -> None:
    in_effect = document(status_of(GOOD, SCHEDULED))["timeline"]
    postponed = {"opensAt": OPENS + timedelta(hours=1)}
    known = make_event(sale=postponed, status={"timeline": in_effect})
    assert document(status_of(GOOD, SCHEDULED, event=known, sale=None))["timeline"] == in_effect


def test_an_event_that_was_never_carried_out_shows_what_is_asked_for() -> None:
    first = document(status_of(GOOD, SCHEDULED, sale=None))["timeline"]
    assert first == {"opensAt": "2027-03-01T11:00:00Z", "closesAt": "2027-03-01T15:00:00Z"}
    postponed = make_event(sale={"opensAt": OPENS + timedelta(hours=1)}, status={"timeline": first})
    shown = document(status_of(GOOD, SCHEDULED, event=postponed, sale=None))["timeline"]
    assert shown["opensAt"] == "2027-03-01T12:00:00Z"


def told(before: TicketEventStatus, after: TicketEventStatus) -> list[tuple[str, bool]]:
    """Owner and weight of each thing that people are told, but for the phase."""
    found = notices(before, after)
    return [(note.message.partition(" is ")[0], note.is_warning) for note in found if note.reason != after.phase]


def test_people_are_told_of_each_turn_and_of_nothing_else() -> None:
    first = status_of(GOOD, SCHEDULED)
    reasons = [(notice.reason, notice.is_warning) for notice in notices(TicketEventStatus(), first)]
    assert ("Scheduled", False) in reasons
    assert not any(is_warning for _, is_warning in reasons)
    assert notices(first, status_of(GOOD, SCHEDULED + timedelta(minutes=1))) == []
    broken = notices(first, status_of(replace(GOOD, queue=BAD), SCHEDULED))
    assert [(notice.reason, notice.is_warning) for notice in broken] == [("Broken", True)]
    opened = notices(first, status_of(GOOD, DURING))
    assert [notice.message for notice in opened if notice.reason == "OnSale"] == ["The sale is OnSale, was Scheduled."]


OBSTACLE = Fact(TRUE, "QueuePolicyNotFound", "There is none.")
REFUSAL = Fact(TRUE, "DeletionRefused", "Buyers are in it.")
NO_GATEWAY = Fact(FALSE, "GatewayUnreachable", "It does not answer.")
NO_EVENT = Fact(FALSE, "WaitingForQueue", "The services do not know it yet.")


@pytest.mark.parametrize(
    ("facts", "owner"),
    [
        (replace(GOOD, obstacle=OBSTACLE), "Stalled"),
        (replace(GOOD, refusal=REFUSAL), "Stalled"),
        (replace(GOOD, queue=BAD), "QueueReady"),
        (replace(GOOD, capacity=BAD), "CapacityReady"),
        (replace(GOOD, routing=BAD), "RoutingReady"),
        (replace(GOOD, limits=BAD), "LimitsEnforced"),
        (replace(GOOD, routing=NO_GATEWAY, limits=NO_GATEWAY), "RoutingReady"),
        (replace(GOOD, queue=BAD, routing=NO_EVENT, limits=BAD), "QueueReady"),
    ],
)
def test_one_problem_is_told_once_by_the_condition_it_belongs_to(facts: Facts, owner: str) -> None:
    good, bad = status_of(GOOD, DURING), status_of(facts, DURING)
    assert told(good, bad) == [(owner, True)]
    assert told(bad, bad) == []
    assert [is_warning for _, is_warning in told(bad, good)].count(True) == 0


def test_two_problems_are_told_apart() -> None:
    bad = status_of(replace(GOOD, queue=BAD, routing=NO_GATEWAY, obstacle=OBSTACLE), DURING)
    assert told(status_of(GOOD, DURING), bad) == [("Stalled", True), ("QueueReady", True), ("RoutingReady", True)]


def test_another_obstacle_is_another_problem() -> None:
    one, other = (status_of(replace(GOOD, obstacle=Fact(TRUE, why, "No.")), DURING) for why in ("One", "Other"))
    assert [notice.reason for notice in notices(one, other)] == ["Other"]


def test_an_obstacle_that_is_gone_is_told_by_ready_and_a_deletion_that_goes_on_by_stalled() -> None:
    good = status_of(GOOD, DURING)
    assert told(status_of(replace(GOOD, obstacle=OBSTACLE), DURING), good) == [("Ready", False)]
    assert told(status_of(replace(GOOD, refusal=REFUSAL), DURING), good) == [("Stalled", False)]


def test_what_was_wrong_before_is_told_again_when_the_event_should_be_armed() -> None:
    facts = replace(GOOD, capacity=replace(BAD, settles=False))
    assert told(status_of(facts, SCHEDULED), status_of(facts, SALE.arm_at)) == [("Armed", True)]


def test_what_is_not_known_yet_is_no_news() -> None:
    settling = status_of(replace(GOOD, queue=BAD), DURING, changed_at=DURING)
    assert told(status_of(GOOD, DURING), settling) == []
    assert told(settling, status_of(replace(GOOD, queue=BAD), DURING)) == [("QueueReady", True)]


def test_a_draw_is_told_of_when_it_is_promised_and_when_it_is_held() -> None:
    nothing, promised, held = (status_of(replace(GOOD, draws=draws), SCHEDULED) for draws in ((), (PROMISED,), (HELD,)))
    [commitment] = notices(nothing, promised)
    assert (commitment.reason, PROMISED.commitment in commitment.message) == ("DrawCommitted", True)
    [drawn] = notices(promised, held)
    assert (drawn.reason, "7 entries" in drawn.message, "cd" * 32 in drawn.message) == ("Drawn", True, True)
    assert notices(held, held) == []
    assert [notice.reason for notice in notices(nothing, held)] == ["DrawCommitted", "Drawn"]


def test_a_commitment_that_changed_is_a_warning() -> None:
    other = PROMISED.model_copy(update={"commitment": "ef" * 32})
    before, after = (status_of(replace(GOOD, draws=(draw,)), SCHEDULED) for draw in (PROMISED, other))
    [warning] = notices(before, after)
    assert (warning.reason, warning.is_warning) == ("CommitmentChanged", True)
    assert "ef" * 32 in warning.message
    assert PROMISED.commitment in warning.message


def test_what_was_published_of_a_draw_is_not_taken_back() -> None:
    assert published(LOTTERY, {"public": HELD}, [PROMISED]) == (HELD,)
    assert published(LOTTERY, {}, [PROMISED]) == (PROMISED,)
    assert published(LOTTERY, {}, [HELD]) == (HELD,)


def test_a_draw_that_will_not_be_held_is_not_promised_any_more() -> None:
    assert published(SALE, {"public": PROMISED}, [PROMISED]) == ()
    assert published(SALE, {}, [HELD]) == (HELD,)


def test_a_draw_is_shown_as_it_is_stored() -> None:
    status = status_of(replace(GOOD, draws=(HELD,)), SCHEDULED)
    [written] = document(status)["draws"]
    assert written == {
        "line": "public",
        "commitment": "ab" * 32,
        "drawAt": "2027-03-01T10:59:30Z",
        "entries": 7,
        "root": "cd" * 32,
        "secret": "01" * 32,
        "trust": "Operator",
        "drawnAt": "2027-03-01T10:59:31Z",
    }
    event = make_event(status={"draws": [written]})
    assert event.status.draws == (HELD,)


def test_only_an_event_that_waits_for_services_is_looked_at_more_often() -> None:
    assert is_settled(status_of(GOOD, DURING))
    assert is_settled(status_of(replace(GOOD, obstacle=Fact(TRUE, "No", "No.")), DURING))
    assert not is_settled(status_of(replace(GOOD, queue=BAD), DURING))
    assert not is_settled(status_of(replace(GOOD, queue=BAD), DURING, changed_at=DURING))


def test_times_are_written_as_kubernetes_writes_them() -> None:
    moment = datetime.fromisoformat("2027-03-01T20:00:00.5+09:00")
    assert utc_text(moment) == "2027-03-01T11:00:00Z"
