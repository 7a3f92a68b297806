"""What the services are told to sell by, and what is refused before they are."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.operator.events import CLOSES, OPENS, make_event, make_policy

from tiketi_operator.sale import Unsellable, check_sale, compile_sale, opened_before_creation
from tiketi_runtime.contracts.identity import PUBLIC
from tiketi_runtime.contracts.sale_sheet import SaleContent

PRESALE = {
    "name": "fan-club",
    "opensAt": OPENS - timedelta(days=1),
    "closesAt": OPENS - timedelta(hours=20),
    "sections": ["B"],
}


@pytest.mark.parametrize(
    ("lead", "prequeue", "presales", "expected"),
    [
        ("15m", None, [], OPENS - timedelta(minutes=15)),
        ("15m", "30m", [], OPENS - timedelta(minutes=30)),
        ("1h", "30m", [], OPENS - timedelta(hours=1)),
        ("0s", None, [], OPENS),
        ("15m", "30m", [PRESALE], OPENS - timedelta(days=1, minutes=15)),
        ("15m", "24h", [PRESALE], OPENS - timedelta(days=1, minutes=15)),
    ],
)
def test_the_event_is_armed_when_the_first_buyer_may_come(
    lead: str, prequeue: str | None, presales: list[dict[str, Any]], expected: datetime
) -> None:
    event = make_event(sale={"presales": presales}, capacity={"prewarmLeadTime": lead})
    policy = make_policy(**({"prequeue": {"opensBefore": prequeue}} if prequeue else {}))
    assert compile_sale(event, policy).arm_at == expected


def test_the_public_line_comes_last_and_sells_everything() -> None:
    sale = compile_sale(make_event(sale={"presales": [PRESALE]}), make_policy())
    assert [line.name for line in sale.lines] == ["fan-club", PUBLIC]
    assert [line.sections for line in sale.lines] == [("B",), ("A", "B")]


def test_a_presale_that_names_no_section_sells_all() -> None:
    sale = compile_sale(make_event(sale={"presales": [{**PRESALE, "sections": []}]}), make_policy())
    assert sale.lines[0].sections == ("A", "B")


def test_a_sheet_reads_back_as_it_was_written() -> None:
    sale = compile_sale(make_event(sale={"presales": [PRESALE]}), make_policy(prequeue={}))
    text = sale.model_dump_json(by_alias=True)
    assert SaleContent.model_validate_json(text) == sale
    assert text.startswith("{")


def test_the_policy_s_numbers_reach_the_sheet() -> None:
    policy = make_policy(
        totalActiveUsers=7,
        sessionDuration="20m",
        abandonment={"ghostTimeout": "9s"},
        rateLimits={"perBuyer": {"requests": 3, "per": "2s"}},
    )
    sale = compile_sale(make_event(), policy)
    assert sale.queue.total_active_users == 7
    assert sale.queue.ghost_timeout == timedelta(seconds=9)
    assert sale.rate_limits.per_buyer is not None
    assert (sale.rate_limits.per_buyer.requests, sale.rate_limits.per_buyer.per) == (3, timedelta(seconds=2))


def test_an_unknown_policy_names_field_and_mend() -> None:
    with pytest.raises(Unsellable) as caught:
        check_sale(make_event(), None)
    assert caught.value.reason == "QueuePolicyNotFound"
    assert "spec.queuePolicyRef.name" in caught.value.message
    assert "Create it" in caught.value.message


def test_a_hold_may_not_outlast_the_session() -> None:
    with pytest.raises(Unsellable) as caught:
        check_sale(make_event(sale={"holdDuration": "10m"}), make_policy(sessionDuration="9m"))
    assert caught.value.reason == "HoldLongerThanSession"
    assert "10m" in caught.value.message
    assert "9m" in caught.value.message


def test_a_sale_that_was_over_before_the_object_existed_is_refused() -> None:
    with pytest.raises(Unsellable) as caught:
        check_sale(make_event(creationTimestamp=CLOSES), make_policy())
    assert caught.value.reason == "SaleOver"
    assert "spec.sale.closesAt" in caught.value.message


def test_a_sale_that_closed_in_its_time_is_no_mistake() -> None:
    policy = make_policy()
    assert check_sale(make_event(creationTimestamp=CLOSES - timedelta(seconds=1)), policy) is policy


def test_a_start_before_the_object_existed_is_noticed() -> None:
    assert opened_before_creation(make_event(creationTimestamp=OPENS + timedelta(seconds=1)))
    assert not opened_before_creation(make_event())


@pytest.mark.parametrize(
    ("sale", "policy", "reason", "field"),
    [
        ({"presales": [{**PRESALE, "codesSecretRef": {"name": "codes"}}]}, {}, "PresaleCodesNotSupported", "fan-club"),
        ({}, {"queueingMethod": "lottery", "prequeue": {}}, "LotteryNotSupported", "queueingMethod"),
        ({}, {"prequeue": {"shuffleAtEventStart": True}}, "LotteryNotSupported", "shuffleAtEventStart"),
    ],
)
def test_what_this_version_cannot_do_is_refused_instead_of_left_out(
    sale: dict[str, Any], policy: dict[str, Any], reason: str, field: str
) -> None:
    with pytest.raises(Unsellable, match=field) as refused:
        check_sale(make_event(sale=sale), make_policy(**policy))
    assert refused.value.reason == reason
