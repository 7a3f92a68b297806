"""What an organiser and an SRE see of the operator."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.operator.stage import PATIENCE, PLATFORM, Operator, Stage, until, value_of

from tiketi_operator.status import utc_text
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.kubernetes import Manifest

pytestmark = pytest.mark.usefixtures("operator")
HOUR = timedelta(hours=1)


async def sheet_of(stage: Stage, name: str) -> SaleSheet:
    return SaleSheet.model_validate_json(await value_of(stage.redis, EventKeys(event_id(stage.namespace, name)).sheet))


async def test_an_event_is_prepared_and_ready_while_it_waits_for_its_time(stage: Stage) -> None:
    name = await stage.event()
    ready = await stage.until_condition(name, "Ready", "True")
    assert "opens at" in ready["message"]
    status = await stage.status(name)
    assert status["phase"] == "Scheduled"
    assert status["observedGeneration"] == 1
    assert status["replicas"] >= 1
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "QueueReady": "True",
        "CapacityReady": "True",
        "RoutingReady": "True",
        "LimitsEnforced": "True",
        "Armed": "Unknown",
        "InventoryConsistent": "Unknown",
    }
    assert {child["kind"] for child in await stage.children(name)} == {"VirtualService", "EnvoyFilter"}
    assert (await sheet_of(stage, name)).title == name
    assert await stage.redis.sismember(EVENTS, event_id(stage.namespace, name))
    await stage.until_told(name, "Scheduled", "Adopted")


async def test_the_organiser_s_object_carries_nothing_of_the_operator_but_a_finalizer(stage: Stage) -> None:
    name = await stage.event()
    await stage.until_condition(name, "Ready", "True")
    event = await stage.get(name)
    assert event is not None
    assert event["metadata"]["finalizers"] == ["tiketi.dev/finalizer"]
    assert "annotations" not in event["metadata"]
    managers = {entry["manager"]: entry["fieldsV1"] for entry in event["metadata"]["managedFields"]}
    assert set(managers["tiketi-operator"]) == {"f:status"}


async def test_an_event_goes_through_its_phases_by_the_clock(stage: Stage) -> None:
    opens_in = 6.0
    started = datetime.now(UTC)
    capacity = {"lane": "Shared", "minReplicas": 1, "peakReplicas": 5, "maxReplicas": 9, "prewarmLeadTime": "5s"}
    name = await stage.event(opens_in=opens_in, capacity=capacity)
    await stage.until_condition(name, "Armed", "True")
    assert datetime.now(UTC) < started + timedelta(seconds=opens_in)

    async def floor() -> bool:
        shared = await stage.cluster.get("autoscaling/v2", "HorizontalPodAutoscaler", "ticket", PLATFORM)
        return shared is not None and shared["spec"]["minReplicas"] >= 5

    await until(floor, "the shared service's floor is raised")
    await stage.until_phase(name, "OnSale")
    assert datetime.now(UTC) - started < timedelta(seconds=opens_in + PATIENCE)
    await stage.until_told(name, "Scheduled", "Armed", "OnSale")


def written(found: Manifest) -> str:
    """Changes when the object is written: by anybody or, where others keep the status, by the operator."""
    if found["kind"] != "HorizontalPodAutoscaler":
        return str(found["metadata"]["resourceVersion"])
    return str([entry for entry in found["metadata"]["managedFields"] if entry["manager"] == "tiketi-operator"])


async def test_a_restart_changes_nothing(stage: Stage, operator: Operator) -> None:
    calm = await stage.event()
    lane = {"lane": "Dedicated", "minReplicas": 1, "peakReplicas": 2, "maxReplicas": 4}
    dedicated = await stage.event(capacity=lane)
    await stage.until_condition(calm, "Ready", "True")
    await stage.until_condition(dedicated, "QueueReady", "True")

    async def versions() -> dict[tuple[str, str], str]:
        objects = [await stage.get(calm), await stage.get(dedicated)]
        objects += [*await stage.children(calm), *await stage.children(dedicated), *await stage.shared()]
        return {(o["kind"], o["metadata"]["name"]): written(o) for o in objects if o is not None}

    async def settled() -> dict[tuple[str, str], str]:
        found = await versions()
        await asyncio.sleep(2)
        return found if found == await versions() else {}

    before: dict[tuple[str, str], str] = await until(settled, "the operator has no more to write")
    sheet, told = await sheet_of(stage, calm), await stage.told(calm)
    await operator.stop()
    await operator.start()
    await asyncio.sleep(4)
    assert await versions() == before
    assert await sheet_of(stage, calm) == sheet
    assert await stage.told(calm) == told


async def test_what_stats_writes_is_left_alone(stage: Stage) -> None:
    name = await stage.event()
    await stage.until_condition(name, "Ready", "True")
    await write_sales(stage, name, sold=4, remaining=6)
    await stage.event(name, title="Another title")

    async def is_observed() -> bool:
        return bool((await stage.status(name))["observedGeneration"] == 2)

    await until(is_observed, "the new generation is observed")
    status = await stage.status(name)
    assert status["sales"] == {"sold": 4, "remaining": 6}
    assert status["phase"] == "Scheduled"


async def test_an_event_whose_last_ticket_is_sold_says_so_at_once(stage: Stage) -> None:
    name = await stage.event(opens_in=-1)
    await stage.until_condition(name, "Armed", "True")
    manifest = {
        "apiVersion": "tiketi.dev/v1alpha1",
        "kind": "TicketEvent",
        "metadata": {"name": name, "namespace": stage.namespace},
        "status": {"sales": {"sold": 10, "held": 0, "remaining": 0}},
    }
    await stage.cluster.apply_status(manifest, "tiketi-stats")
    await stage.until_phase(name, "SoldOut")


async def test_a_child_that_somebody_removed_comes_back(stage: Stage) -> None:
    name = await stage.event()
    await stage.until_condition(name, "Ready", "True")
    route = await stage.child(name, "VirtualService")
    assert route is not None
    await stage.cluster.delete("networking.istio.io/v1", "VirtualService", route["metadata"]["name"], PLATFORM)

    async def is_back() -> bool:
        found = await stage.child(name, "VirtualService")
        return found is not None and found["metadata"]["uid"] != route["metadata"]["uid"]

    await until(is_back, "the route is there again")


async def test_an_unknown_policy_stalls_the_event_until_it_appears(stage: Stage) -> None:
    name = await stage.event(queuePolicyRef={"name": "not-yet"})
    stalled = await stage.until_condition(name, "Stalled", "True", "QueuePolicyNotFound")
    assert "spec.queuePolicyRef.name" in stalled["message"]
    assert "not-yet" in stalled["message"]
    assert await stage.keys(name) == set()
    assert await stage.children(name) == []
    await stage.policy("not-yet")
    await stage.until_condition(name, "Ready", "True")
    assert (await stage.condition(name, "Stalled"))["status"] == "False"


async def test_a_change_that_cannot_be_carried_out_is_told_once_and_shows_the_times_in_effect(stage: Stage) -> None:
    await stage.policy("brief", sessionDuration="15m")
    now = datetime.now(UTC)
    fans = {"name": "fans", "opensAt": utc_text(now + HOUR), "closesAt": utc_text(now + 2 * HOUR)}
    sale = {"opensAt": utc_text(now + 3 * HOUR), "closesAt": utc_text(now + 9 * HOUR), "presales": [fans]}
    name = await stage.event(queuePolicyRef={"name": "brief"}, sale=sale)
    await stage.until_condition(name, "Ready", "True")
    in_effect = (await stage.status(name))["timeline"]
    assert (in_effect["opensAt"], in_effect["presales"]) == (sale["opensAt"], [fans])
    refused = {**sale, "opensAt": utc_text(now + 5 * HOUR), "holdDuration": "30m"}
    await stage.event(name, queuePolicyRef={"name": "brief"}, sale=refused)
    await stage.until_condition(name, "Stalled", "True", "HoldLongerThanSession")
    await stage.until_told(name, "HoldLongerThanSession")
    await asyncio.sleep(1)  # Events of one visit are posted one after the other
    assert (await stage.told(name))["HoldLongerThanSession"] == 1
    assert (await stage.status(name))["timeline"] == in_effect


async def test_a_policy_that_goes_leaves_the_sale_as_it_was(stage: Stage) -> None:
    await stage.policy("fleeting")
    name = await stage.event(queuePolicyRef={"name": "fleeting"}, opens_in=-1)
    await stage.until_condition(name, "Armed", "True")
    sheet, children = await sheet_of(stage, name), await stage.children(name)
    await stage.cluster.delete("tiketi.dev/v1alpha1", "QueuePolicy", "fleeting", stage.namespace)
    await stage.until_condition(name, "Stalled", "True", "QueuePolicyNotFound")
    assert await sheet_of(stage, name) == sheet
    assert [c["metadata"]["uid"] for c in await stage.children(name)] == [c["metadata"]["uid"] for c in children]
    assert (await stage.condition(name, "Armed"))["status"] == "True"


async def test_a_changed_policy_reaches_the_services_as_a_new_version(stage: Stage) -> None:
    await stage.policy("changing", newUsersPerMinute=10)
    name = await stage.event(queuePolicyRef={"name": "changing"})
    await stage.until_condition(name, "Ready", "True")
    first = await sheet_of(stage, name)
    await stage.policy("changing", newUsersPerMinute=20)

    async def is_new() -> bool:
        return (await sheet_of(stage, name)).queue.new_users_per_minute == 20

    await until(is_new, "the sheet has the new pace")
    assert (await sheet_of(stage, name)).version > first.version


async def test_a_hold_longer_than_the_session_is_told_of(stage: Stage) -> None:
    await stage.policy("short", sessionDuration="1m")
    name = await stage.event(queuePolicyRef={"name": "short"})
    stalled = await stage.until_condition(name, "Stalled", "True", "HoldLongerThanSession")
    assert "spec.sale.holdDuration" in stalled["message"]


async def test_a_sale_that_is_over_is_closed_and_says_why(stage: Stage) -> None:
    over = {"closesAt": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    name = await stage.event(opens_in=-7200, sale=over)
    ready = await stage.until_condition(name, "Ready", "False", "SaleOver")
    assert "spec.sale.closesAt" in ready["message"]
    assert (await stage.status(name))["phase"] == "Closed"
    assert await stage.children(name) == []


async def test_a_start_in_the_past_opens_at_once_with_a_warning(stage: Stage) -> None:
    name = await stage.event(opens_in=-60)
    await stage.until_condition(name, "Armed", "True")
    assert (await stage.status(name))["phase"] == "OnSale"
    await stage.until_told(name, "OpensAtOnce")


async def test_refunds_until_the_doors_open_are_possible_and_warned_of(stage: Stage) -> None:
    closes = datetime.now(UTC) + timedelta(hours=2)
    name = await stage.event(sale={"closesAt": closes.isoformat(), "refundsUntil": closes.isoformat()})
    await stage.until_told(name, "RefundsEndLate")


async def test_deleting_an_event_that_is_not_on_sale_leaves_nothing(stage: Stage) -> None:
    name = await stage.event(capacity={"lane": "Dedicated"})
    await stage.until_condition(name, "QueueReady", "True")
    assert len(await stage.children(name)) == 7
    await stage.delete(name)
    await stage.until_gone(name)
    assert await stage.children(name) == []
    assert await stage.keys(name) == set()
    assert not await stage.redis.sismember(EVENTS, event_id(stage.namespace, name))


async def test_deleting_an_event_with_buyers_in_it_takes_a_reason(stage: Stage) -> None:
    name = await stage.event(opens_in=3, capacity={"lane": "Shared", "prewarmLeadTime": "1h"})
    await stage.until_condition(name, "Armed", "True")
    await stage.delete(name)
    refused = await stage.until_condition(name, "Stalled", "True", "DeletionRefused")
    assert "tiketi.dev/confirm-delete" in refused["message"]
    await stage.until_phase(name, "OnSale")
    assert len(await stage.children(name)) == 2
    assert (await stage.condition(name, "Ready"))["status"] == "True"
    await stage.until_told(name, "DeletionRefused")
    assert (await stage.condition(name, "Ready"))["reason"] == "DeletionRefused"
    await stage.annotate(name, confirm_delete="the artist is ill")
    await stage.until_gone(name)
    assert await stage.children(name) == []
    assert await stage.keys(name) == set()


async def test_a_postponed_event_with_sold_tickets_keeps_its_guard(stage: Stage) -> None:
    name = await stage.event()
    await stage.until_phase(name, "Scheduled")
    await write_sales(stage, name, sold=4, remaining=6)
    await stage.delete(name)
    refused = await stage.until_condition(name, "Stalled", "True", "DeletionRefused")
    assert "4 sold" in refused["message"]
    await stage.annotate(name, confirm_delete="refunded by hand")
    await stage.until_gone(name)


async def test_a_lane_without_nodes_is_stored_and_says_what_to_do(stage: Stage) -> None:
    name = await stage.event(capacity={"lane": "Dedicated"})
    lacking = await stage.until_condition(name, "CapacityReady", "False", "NoNodes")
    assert "Shared" in lacking["message"]
    lane = await stage.child(name, "Deployment")
    assert lane is not None
    assert lane["spec"]["replicas"] == 0


async def test_a_lane_wakes_when_armed_and_is_then_left_alone(stage: Stage) -> None:
    capacity = {"lane": "Dedicated", "minReplicas": 1, "peakReplicas": 3, "maxReplicas": 9, "prewarmLeadTime": "2s"}
    name = await stage.event(opens_in=4, capacity=capacity)

    async def replicas() -> int:
        lane = await stage.child(name, "Deployment")
        return -1 if lane is None else int(lane["spec"]["replicas"])

    async def is_awake() -> bool:
        return await replicas() == 3

    await until(is_awake, "the lane is at its peak")
    autoscaler = await stage.child(name, "HorizontalPodAutoscaler")
    assert autoscaler is not None
    assert autoscaler["spec"]["minReplicas"] == 3
    assert autoscaler["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
    lane = await stage.child(name, "Deployment")
    assert lane is not None
    await stage.cluster.patch_scale(lane["metadata"]["name"], PLATFORM, 5)  # as the autoscaler does
    await asyncio.sleep(3)
    assert await replicas() == 5
    pod = lane["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"readinessProbe", "livenessProbe"} <= container.keys()


async def test_an_event_that_moves_to_the_shared_service_loses_its_lane(stage: Stage) -> None:
    name = await stage.event(capacity={"lane": "Dedicated"})
    await stage.until_condition(name, "CapacityReady", "False", "NoNodes")
    await stage.event(name, capacity={"lane": "Shared"})

    async def has_no_lane() -> bool:
        return {child["kind"] for child in await stage.children(name)} == {"VirtualService", "EnvoyFilter"}

    await until(has_no_lane, "the lane is swept")
    await stage.until_condition(name, "Ready", "True")


async def test_the_operator_logs_no_error_that_nobody_asked_for(operator: Operator) -> None:
    """Runs last: whatever the tests above did, nothing failed unexpectedly."""
    lines = [line for line in operator.log.splitlines() if '"level": "ERROR"' in line]
    assert [line for line in lines if "Buyers are in the sale" not in line] == []


async def write_sales(stage: Stage, name: str, **sales: int) -> None:
    """As stats does."""
    manifest = {
        "apiVersion": "tiketi.dev/v1alpha1",
        "kind": "TicketEvent",
        "metadata": {"name": name, "namespace": stage.namespace},
        "status": {"sales": sales},
    }
    await stage.cluster.apply_status(manifest, "tiketi-stats")
