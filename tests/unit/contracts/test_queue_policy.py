from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tiketi_runtime.contracts.queue_policy import QueuePolicy, RateLimit
from tiketi_runtime.contracts.sale_sheet import QueueingMethod


def policy(**spec: Any) -> QueuePolicy:
    return QueuePolicy.from_body({"metadata": {"namespace": "demo", "name": "line"}, "spec": spec})


def test_an_empty_policy_is_a_whole_policy() -> None:
    spec = policy().spec
    assert spec.queueing_method is QueueingMethod.FIFO
    assert (spec.total_active_users, spec.new_users_per_minute) == (1_000, 600)
    assert spec.session_duration == timedelta(minutes=15)
    assert spec.abandonment.ghost_timeout == timedelta(seconds=30)
    assert spec.abandonment.claim_window == timedelta(seconds=90)
    assert spec.rate_limits.per_event == RateLimit(requests=5_000, per=timedelta(seconds=1))
    assert spec.lottery.draw_before == timedelta(seconds=30)
    assert (spec.prequeue, spec.adaptive, spec.lottery.beacon) == (None, None, None)


def test_a_prequeue_has_defaults_only_where_it_is_asked_for() -> None:
    prequeue = policy(prequeue={}).spec.prequeue
    assert prequeue is not None
    assert prequeue.opens_before == timedelta(minutes=30)
    assert prequeue.shuffle_at_event_start is False


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"totalActiveUsers": 0}, "spec.totalActiveUsers"),
        ({"sessionDuration": "3h"}, "spec.sessionDuration"),
        ({"queueingMethod": "random"}, "spec.queueingMethod"),
        ({"rateLimits": {"perBuyer": {"requests": 5}}}, "spec.rateLimits.perBuyer.per"),
        ({"adaptive": {"errorRate": 0.05}}, "spec.adaptive.errorRate"),
    ],
)
def test_a_wrong_field_is_named(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        policy(**spec)
    assert ".".join(map(str, refusal.value.errors()[0]["loc"])) == field
