"""Children, one by one, where a wrong field would hurt."""

import json
from datetime import timedelta

from tests.unit.operator.events import SETTINGS, TEMPLATE, make_event

from tiketi_operator.manifests.deployment import lane_deployment
from tiketi_operator.manifests.disruption_budget import lane_disruption_budget
from tiketi_operator.manifests.metadata import child_labels, child_name
from tiketi_operator.manifests.rate_limit import ANNOTATION, event_rate_limit, rate_limit_filter
from tiketi_operator.manifests.service import lane_service
from tiketi_operator.manifests.virtual_service import virtual_service
from tiketi_operator.plan import place_of
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.sale_sheet import RateLimit, RateLimits

PLACE = place_of(SETTINGS)
EVENT = event_id("demo", "first-sale")
LIMITS = RateLimits(
    per_event=RateLimit(requests=5000, per=timedelta(seconds=7)),
    per_address=RateLimit(requests=600, per=timedelta(seconds=10)),
    per_buyer=RateLimit(requests=60, per=timedelta(seconds=3)),
)


def test_a_lane_is_the_shared_service_for_one_event() -> None:
    lane = lane_deployment(EVENT, TEMPLATE, replicas=3, place=PLACE)
    pod = lane["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["image"] == "tiketi:7"
    assert container["env"] == [
        {"name": "TIKETI_TICKET_PAYMENT_URL", "value": "http://p"},
        {"name": "TIKETI_TICKET_EVENT", "value": "demo/first-sale"},
    ]
    assert pod["securityContext"] == {"runAsNonRoot": True}
    assert pod["automountServiceAccountToken"] is False
    assert TEMPLATE["spec"]["containers"][0]["env"] == [{"name": "TIKETI_TICKET_PAYMENT_URL", "value": "http://p"}]


def test_the_shared_service_does_not_find_the_pods_of_a_lane() -> None:
    lane = lane_deployment(EVENT, TEMPLATE, replicas=3, place=PLACE)
    labels = lane["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] != TEMPLATE["metadata"]["labels"]["app.kubernetes.io/name"]
    for selector in (
        lane["spec"]["selector"]["matchLabels"],
        lane_service(EVENT, PLACE)["spec"]["selector"],
        lane_disruption_budget(EVENT, PLACE)["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()


def test_restarting_the_shared_service_does_not_roll_lanes() -> None:
    annotations = lane_deployment(EVENT, TEMPLATE, replicas=3, place=PLACE)["spec"]["template"]["metadata"][
        "annotations"
    ]
    assert annotations == {"mesh": "yes"}


def test_children_carry_none_of_the_event_s_labels() -> None:
    event = make_event(labels={"app.kubernetes.io/instance": "argo-cd-app"})
    assert virtual_service(event, "ticket", PLACE)["metadata"]["labels"] == child_labels(event.id)


def test_only_reads_are_ever_sent_twice() -> None:
    rules = {
        rule["name"].rpartition(".")[2]: rule for rule in virtual_service(make_event(), "ticket", PLACE)["spec"]["http"]
    }
    assert list(rules) == ["live", "read", "write"]
    assert rules["live"]["retries"] == rules["write"]["retries"] == {"attempts": 0}
    assert rules["read"]["retries"]["attempts"] > 0
    assert all(match["method"] == {"exact": "GET"} for match in rules["read"]["match"])


def test_a_live_connection_is_never_timed_out() -> None:
    live = virtual_service(make_event(), "ticket", PLACE)["spec"]["http"][0]
    assert live["match"] == [{"uri": {"prefix": "/events/demo/first-sale/live/"}}]
    assert "timeout" not in live


def test_routes_do_not_catch_events_whose_names_begin_alike() -> None:
    rules = virtual_service(make_event(), "ticket", PLACE)["spec"]["http"]
    uris = [match["uri"] for rule in rules for match in rule["match"]]
    assert all(uri.get("exact") == "/events/demo/first-sale" or uri["prefix"].endswith("/") for uri in uris)


def test_limits_are_given_to_exactly_the_routes_of_the_event() -> None:
    routed = {rule["name"] for rule in virtual_service(make_event(), "ticket", PLACE)["spec"]["http"]}
    patches = event_rate_limit(EVENT, LIMITS, PLACE)["spec"]["configPatches"]
    assert {patch["match"]["routeConfiguration"]["vhost"]["route"]["name"] for patch in patches} == routed


def test_every_bucket_fills_in_multiples_of_the_default_one() -> None:
    """Envoy refuses anything else."""
    patch = event_rate_limit(EVENT, LIMITS, PLACE)["spec"]["configPatches"][0]["patch"]["value"]
    config = patch["typed_per_filter_config"]["envoy.filters.http.local_ratelimit"]
    assert config["token_bucket"]["fill_interval"] == "1s"
    assert [d["token_bucket"]["fill_interval"] for d in config["descriptors"]] == ["7s", "10s", "3s"]
    assert [d["token_bucket"]["max_tokens"] for d in config["descriptors"]] == [5000, 600, 60]
    assert len(config["rate_limits"]) == 3


def test_the_annotation_says_the_limits_in_short() -> None:
    annotation = event_rate_limit(EVENT, LIMITS, PLACE)["metadata"]["annotations"][ANNOTATION]
    assert json.loads(annotation) == {
        "event": "demo/first-sale",
        "prefix": "/events/demo/first-sale",
        "perEvent": {"requests": 5000, "seconds": 7},
        "perAddress": {"requests": 600, "seconds": 10},
        "perBuyer": {"requests": 60, "seconds": 3},
    }


def test_a_limit_that_is_not_asked_for_is_not_enforced() -> None:
    filter_ = event_rate_limit(EVENT, RateLimits(per_buyer=LIMITS.per_buyer), PLACE)
    config = filter_["spec"]["configPatches"][0]["patch"]["value"]["typed_per_filter_config"]
    assert len(config["envoy.filters.http.local_ratelimit"]["descriptors"]) == 1


def test_the_filter_itself_belongs_to_no_event() -> None:
    assert rate_limit_filter(PLACE)["metadata"]["name"] != child_name(EVENT)
    assert "annotations" not in rate_limit_filter(PLACE)["metadata"]
