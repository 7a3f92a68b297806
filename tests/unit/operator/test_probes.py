"""What is found in the data plane, and what it is taken for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.operator.events import OPENS, SETTINGS, make_event, make_policy, ready

from tiketi_operator.plan import Observed, Plan, plan
from tiketi_operator.probes import (
    Answer,
    lane_capacity_fact,
    limits_fact,
    queue_fact,
    routing_fact,
    shared_capacity_fact,
)
from tiketi_operator.queue_setup import Provisioned
from tiketi_operator.sale import compile_sale
from tiketi_operator.status import FALSE, TRUE, UNKNOWN, Fact
from tiketi_runtime.contracts.sale_sheet import RateLimit, RateLimits
from tiketi_runtime.contracts.ticket_event_status import Draw, DrawTrust

EVENT = make_event()
ADOPTED = Fact(TRUE, "Adopted", "")
SERVED = Provisioned(version=1_700_000_000_000, adopted=1_700_000_000_000, is_begun_here=True, now=OPENS)
SALE = compile_sale(EVENT, make_policy())
DRAWN_SALE = compile_sale(EVENT, make_policy(queueingMethod="lottery", prequeue={}))
DRAW = Draw(line="public", commitment="ab" * 32, draw_at=OPENS - timedelta(seconds=30), trust=DrawTrust.OPERATOR)
LIMITS = RateLimits(per_buyer=RateLimit(requests=60, per=timedelta(seconds=10)))


def planned(now: datetime = OPENS, observed: Observed | None = None) -> Plan:
    return plan(EVENT, compile_sale(EVENT, make_policy()), now, observed or ready(EVENT), SETTINGS)


def test_the_queue_is_ready_when_the_services_have_this_version() -> None:
    assert queue_fact(SERVED, SALE).status is TRUE
    assert queue_fact(replace(SERVED, adopted=1_600_000_000_000), SALE).status is FALSE
    assert SERVED.since == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize("adopted", [1_600_000_000_000, 1_700_000_000_000])
def test_a_line_that_redis_lost_is_not_ready_whatever_version_is_served(adopted: int) -> None:
    fact = queue_fact(replace(SERVED, adopted=adopted, is_begun_here=False), SALE)
    assert (fact.status, fact.reason, fact.settles) == (FALSE, "Recovering", False)
    assert "503" in fact.message
    assert "keeps every place" in fact.message


def test_a_line_that_was_never_begun_is_not_lost() -> None:
    assert queue_fact(replace(SERVED, adopted=0, is_begun_here=False), SALE).reason == "NotAdopted"


def test_a_line_to_be_drawn_is_not_ready_before_its_commitment_is_public() -> None:
    served = replace(SERVED, now=OPENS - timedelta(hours=1))
    fact = queue_fact(served, DRAWN_SALE)
    assert (fact.status, fact.reason, fact.settles) == (FALSE, "DrawNotCommitted", True)
    assert "public" in fact.message
    assert queue_fact(served, DRAWN_SALE, [DRAW]).status is TRUE


@pytest.mark.parametrize(
    ("now", "drawn_at", "reason"),
    [
        (OPENS - timedelta(seconds=1), None, "Adopted"),
        (OPENS, None, "NotDrawn"),
        (OPENS, OPENS - timedelta(seconds=20), "Adopted"),
    ],
)
def test_a_line_that_opens_without_its_draw_is_told_of(now: datetime, drawn_at: datetime | None, reason: str) -> None:
    draw = DRAW.model_copy(update={"drawn_at": drawn_at})
    assert queue_fact(replace(SERVED, now=now), DRAWN_SALE, [draw]).reason == reason


@pytest.mark.parametrize(
    ("now", "pods", "nodes", "status", "reason"),
    [
        (OPENS, 4, True, TRUE, "PodsReady"),
        (OPENS, 3, True, FALSE, "TooFewPods"),
        (OPENS, 0, False, FALSE, "NoNodes"),
        (OPENS - timedelta(days=1), 0, True, UNKNOWN, "Asleep"),
        (OPENS - timedelta(days=1), 0, False, FALSE, "NoNodes"),
    ],
)
def test_a_lane_has_its_peak_once_armed(now: datetime, pods: int, nodes: bool, status: object, reason: str) -> None:
    fact = lane_capacity_fact(EVENT, planned(now), pods, nodes=nodes)
    assert (fact.status, fact.reason) == (status, reason)


def test_a_cluster_without_nodes_is_told_of_with_its_mend() -> None:
    fact = lane_capacity_fact(EVENT, planned(), 0, nodes=False)
    assert "spec.capacity.lane" in fact.message
    assert "Shared" in fact.message


def test_a_lane_without_a_service_to_copy_is_told_of() -> None:
    assert lane_capacity_fact(EVENT, planned(observed=Observed()), 0, nodes=True).reason == "NoTicketService"


def test_processes_started_by_hand_count_where_there_are_no_nodes() -> None:
    assert shared_capacity_fact(1, 7, nodes=False).status is TRUE
    assert shared_capacity_fact(0, 7, nodes=False).status is FALSE
    assert shared_capacity_fact(6, 7, nodes=True).status is FALSE
    assert shared_capacity_fact(7, 7, nodes=True).status is TRUE


@pytest.mark.parametrize(
    ("answer", "queue", "status", "reason"),
    [
        (Answer(200, EVENT.id), ADOPTED, TRUE, "Answers"),
        (Answer(429), ADOPTED, TRUE, "Limited"),
        (Answer(200, "demo/other"), ADOPTED, FALSE, "WrongAnswer"),
        (Answer(404), ADOPTED, FALSE, "WrongAnswer"),
        (Answer(404), Fact(FALSE, "NotAdopted", ""), FALSE, "WaitingForQueue"),
        (Answer(503), ADOPTED, FALSE, "WrongAnswer"),
        (Answer(0, fault="refused"), ADOPTED, FALSE, "GatewayUnreachable"),
    ],
)
def test_the_route_is_ready_when_a_buyer_gets_the_event(
    answer: Answer, queue: Fact, status: object, reason: str
) -> None:
    fact = routing_fact(answer, EVENT.id, queue)
    assert (fact.status, fact.reason) == (status, reason)


@pytest.mark.parametrize(("limit", "status"), [(60, TRUE), (61, FALSE), (None, FALSE)])
def test_limits_are_enforced_when_the_gateway_says_so(limit: int | None, status: object) -> None:
    assert limits_fact(Answer(200, EVENT.id, limit), LIMITS).status is status


def test_a_policy_without_limits_needs_none() -> None:
    fact = limits_fact(Answer(200, EVENT.id), RateLimits())
    assert (fact.status, fact.due) == (UNKNOWN, False)
