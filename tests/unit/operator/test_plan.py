"""The plan over time. Every property holds for any schedule, at any instant."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.events import CLOSES, OPENS, SETTINGS, TEMPLATE, make_event, make_policy, ready

from tiketi_operator.manifests.metadata import EVENT_NAME, EVENT_NAMESPACE, Manifest, child_labels, child_name
from tiketi_operator.phase import Stage, asleep_at, instants, next_instant, stage_at
from tiketi_operator.plan import ChildKey, Observed, Plan, SharedNeed, key_of, plan, shared_floor
from tiketi_operator.sale import compile_sale
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.phase import phase_at
from tiketi_runtime.contracts.sale_sheet import Phase, SaleContent
from tiketi_runtime.contracts.ticket_event import TicketEvent

ORDER = [Phase.SCHEDULED, Phase.ARMED, Phase.PREQUEUE, Phase.ON_SALE, Phase.CLOSED]
STAGES = [Stage.ASLEEP, Stage.ARMED, Stage.WINDING_DOWN, Stage.ASLEEP]
seconds = st.integers(min_value=0, max_value=24 * 3600).map(lambda value: timedelta(seconds=value))
lanes = st.sampled_from(["Dedicated", "Shared"])
Case = tuple[TicketEvent, SaleContent]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An event of either lane with any lead times, compiled."""
    minimum = draw(st.integers(1, 5))
    peak = draw(st.integers(minimum, 30))
    capacity: dict[str, Any] = {
        "lane": draw(lanes),
        "minReplicas": minimum,
        "peakReplicas": peak,
        "maxReplicas": draw(st.integers(peak, 50)),
        "prewarmLeadTime": draw(seconds),
    }
    opens_before = draw(st.none() | seconds.filter(bool))
    policy = make_policy(**({} if opens_before is None else {"prequeue": {"opensBefore": opens_before}}))
    event = make_event(capacity=capacity)
    return event, compile_sale(event, policy)


moments = st.integers(-26 * 3600, 8 * 3600).map(lambda value: OPENS + timedelta(seconds=value))


def at(planned: Plan, kind: str) -> Manifest:
    found = [manifest for manifest in planned.children if manifest["kind"] == kind]
    assert len(found) == 1, kind
    return found[0]


@given(cases(), moments, moments)
def test_phases_and_stages_never_go_back(case: Case, one: datetime, other: datetime) -> None:
    _, sale = case
    earlier, later = sorted([one, other])
    assert ORDER.index(phase_at(sale, earlier)) <= ORDER.index(phase_at(sale, later))
    walked = [stage_at(sale, moment) for moment in (earlier, later)]
    assert any(walked == [STAGES[i], STAGES[j]] for i in range(4) for j in range(i, 4))


@given(cases(), moments)
def test_nothing_changes_between_two_instants_of_the_timeline(case: Case, moment: datetime) -> None:
    event, sale = case
    following = next_instant(sale, moment)
    just_before = (following or moment + timedelta(days=1)) - timedelta(microseconds=1)
    observed = ready(event)
    assert plan(event, sale, moment, observed, SETTINGS) == plan(event, sale, just_before, observed, SETTINGS)
    assert phase_at(sale, moment) == phase_at(sale, just_before)


@given(cases(), moments)
def test_every_child_is_the_platform_s_labelled_and_without_owner(case: Case, moment: datetime) -> None:
    event, sale = case
    planned = plan(event, sale, moment, ready(event), SETTINGS)
    for manifest in planned.children:
        metadata = manifest["metadata"]
        assert metadata["namespace"] == SETTINGS.namespace
        assert metadata["labels"] == child_labels(event.id)
        assert "ownerReferences" not in metadata
        assert len(metadata["name"]) <= 63
    for manifest in planned.shared:
        assert not {EVENT_NAME, EVENT_NAMESPACE} & manifest["metadata"]["labels"].keys()


@given(cases(), moments, moments)
def test_an_event_has_the_same_objects_all_its_life(case: Case, one: datetime, other: datetime) -> None:
    event, sale = case
    keys = [plan(event, sale, moment, ready(event), SETTINGS).identities for moment in (one, other)]
    assert keys[0] == keys[1]


@given(cases(), moments, st.integers(0, 40))
def test_carrying_out_a_plan_leaves_nothing_to_do(case: Case, moment: datetime, replicas: int) -> None:
    """What an operator sees after a restart at any instant gives the same plan: it wants nothing that is not there."""
    event, sale = case
    first = plan(event, sale, moment, Observed(ticket_template=TEMPLATE, lane_replicas=replicas), SETTINGS)
    wanted = [m["spec"]["replicas"] for m in first.children if m["kind"] == "Deployment"]
    left = Observed(ticket_template=TEMPLATE, lane_replicas=wanted[0] if wanted else replicas)
    second = plan(event, sale, moment, left, SETTINGS)
    assert second.identities == first.identities
    for manifest in second.children:
        assert manifest in first.children
    assert second.shared == first.shared


@given(cases(), moments)
def test_while_armed_the_floor_is_the_peak_and_nothing_shrinks(case: Case, moment: datetime) -> None:
    event, sale = case
    planned = plan(event, sale, moment, ready(event), SETTINGS)
    is_armed = sale.arm_at <= moment < sale.closes_at
    if event.spec.capacity.lane == "Dedicated":
        autoscaler = at(planned, "HorizontalPodAutoscaler")["spec"]
        expected = event.spec.capacity.peak_replicas if is_armed else event.spec.capacity.min_replicas
    else:
        autoscaler = planned.shared[0]["spec"]
        expected = max(SETTINGS.shared_min_replicas, event.spec.capacity.peak_replicas if is_armed else 0)
    assert autoscaler["minReplicas"] == expected
    assert (autoscaler["behavior"]["scaleDown"]["selectPolicy"] == "Disabled") is is_armed
    assert autoscaler["minReplicas"] <= autoscaler["maxReplicas"]


@pytest.mark.parametrize(
    ("moment", "there", "expected"),
    [
        (OPENS - timedelta(days=1), None, 0),
        (OPENS - timedelta(days=1), 5, 0),
        (OPENS - timedelta(minutes=15), None, 4),
        (OPENS - timedelta(minutes=15), 0, 4),
        (OPENS, 0, 4),
        (OPENS, 4, None),
        (OPENS, 9, None),
        (CLOSES, 9, None),
        (CLOSES, 0, 0),
        (CLOSES + timedelta(days=1), 9, 0),
    ],
)
def test_a_lane_is_woken_once_then_left_to_its_autoscaler_then_put_to_sleep(
    moment: datetime, there: int | None, expected: int | None
) -> None:
    event = make_event()
    observed = Observed(ticket_template=TEMPLATE, lane_replicas=there)
    planned = plan(event, compile_sale(event, make_policy()), moment, observed, SETTINGS)
    found = [manifest["spec"]["replicas"] for manifest in planned.children if manifest["kind"] == "Deployment"]
    assert found == ([] if expected is None else [expected])
    assert ChildKey("apps/v1", "Deployment", child_name(event.id)) in planned.identities


@pytest.mark.parametrize(
    ("ready_pods", "on_lane", "leads_to_lane"),
    [(0, False, False), (1, False, False), (2, False, True), (1, True, True), (0, True, False)],
)
def test_the_route_follows_the_lane_that_is_really_there(ready_pods: int, on_lane: bool, leads_to_lane: bool) -> None:
    event = make_event(capacity={"minReplicas": 2})
    observed = Observed(ticket_template=TEMPLATE, lane_replicas=4, lane_ready=ready_pods, on_lane=on_lane)
    planned = plan(event, compile_sale(event, make_policy()), OPENS, observed, SETTINGS)
    assert planned.destination == (child_name(event.id) if leads_to_lane else "ticket")
    hosts = {rule["route"][0]["destination"]["host"] for rule in at(planned, "VirtualService")["spec"]["http"]}
    assert hosts == {f"{planned.destination}.tiketi-system.svc.cluster.local"}


def test_a_sleeping_event_is_answered_by_the_shared_service() -> None:
    event = make_event()
    planned = plan(event, compile_sale(event, make_policy()), OPENS - timedelta(days=1), ready(event), SETTINGS)
    assert planned.destination == "ticket"


def test_a_lane_cannot_be_planned_without_the_service_it_copies() -> None:
    event = make_event()
    planned = plan(event, compile_sale(event, make_policy()), OPENS, Observed(), SETTINGS)
    assert {manifest["kind"] for manifest in planned.children} == {"VirtualService", "EnvoyFilter"}
    assert not planned.has_lane


def test_a_lane_that_is_there_outlives_the_service_it_was_copied_from() -> None:
    event = make_event()
    sale = compile_sale(event, make_policy())
    planned = plan(event, sale, OPENS, ready(event), SETTINGS)
    blind = plan(event, sale, OPENS, Observed(lane_replicas=4, lane_ready=4), SETTINGS)
    assert planned.identities <= blind.identities


def test_a_shared_event_has_no_lane() -> None:
    event = make_event(capacity={"lane": "Shared"})
    planned = plan(event, compile_sale(event, make_policy()), OPENS, Observed(), SETTINGS)
    assert {key.kind for key in planned.identities} == {"VirtualService", "EnvoyFilter"}


def need(name: str, replicas: int, opens: timedelta = timedelta(0)) -> SharedNeed:
    return SharedNeed(event_id("demo", name), OPENS + opens, OPENS + opens + timedelta(hours=1), replicas)


def test_armed_events_of_the_shared_service_add_up() -> None:
    needs = [need("a", 3), need("b", 4), need("later", 50, timedelta(hours=2))]
    assert shared_floor(needs, OPENS, SETTINGS) == 7
    assert shared_floor(needs, OPENS - timedelta(seconds=1), SETTINGS) == SETTINGS.shared_min_replicas


def test_an_event_counts_with_what_it_asks_for_now_not_with_what_was_indexed() -> None:
    event = make_event("a", capacity={"lane": "Shared", "peakReplicas": 6})
    observed = Observed(shared_needs=(need("a", 3), need("b", 4)))
    planned = plan(event, compile_sale(event, make_policy()), OPENS, observed, SETTINGS)
    assert planned.floor == 10
    assert planned.shared[0]["spec"]["minReplicas"] == 10


def test_a_lane_sleeps_only_when_the_last_buyer_had_time_to_pay() -> None:
    event = make_event(sale={"holdDuration": "10m"})
    sale = compile_sale(event, make_policy(sessionDuration="15m"))
    assert asleep_at(sale) == CLOSES + timedelta(minutes=25)
    assert stage_at(sale, asleep_at(sale)) is Stage.ASLEEP
    assert instants(sale)[-1] == asleep_at(sale)


names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
namespaces = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@given(namespaces, names)
def test_a_child_s_name_is_a_dns_label(namespace: str, name: str) -> None:
    found = child_name(event_id(namespace, name))
    assert len(found) <= 63
    assert found[0].isalpha()
    assert found[-1].isalnum()
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_events_whose_names_run_together_do_not_share_children() -> None:
    assert child_name(event_id("a-b", "c")) != child_name(event_id("a", "b-c"))


def test_keys_tell_kinds_of_one_name_apart() -> None:
    event = make_event()
    planned = plan(event, compile_sale(event, make_policy()), OPENS - timedelta(days=1), ready(event), SETTINGS)
    assert len({key_of(manifest) for manifest in planned.children}) == len(planned.children) == 7
