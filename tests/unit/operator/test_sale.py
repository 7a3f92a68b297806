"""What the services are told to sell by, and what is refused before they are."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.operator.events import CLOSES, OPENS, make_event, make_policy

from tiketi_operator.sale import (
    Unsellable,
    check_draws,
    check_sale,
    compile_sale,
    late_refunds,
    opened_before_creation,
)
from tiketi_runtime.contracts.beacon import DEFAULT, QUICKNET, known_chains, round_after
from tiketi_runtime.contracts.identity import PUBLIC, Line
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.sale_sheet import AdaptiveSheet, BeaconSheet, CodesSheet, CodeUse, SaleContent

PRESALE: dict[str, Any] = {
    "name": "fan-club",
    "opensAt": OPENS - timedelta(days=1),
    "closesAt": OPENS - timedelta(hours=20),
    "sections": ["B"],
}
CHAINS = known_chains()
FANS = Line(PRESALE["name"])
WITH_CODES = {**PRESALE, "codesSecretRef": {"name": "fan-codes"}}
OTHER_PRESALE = {**PRESALE, "name": "sponsors"}


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
    ("until", "starts", "told"),
    [
        (None, CLOSES + timedelta(days=30), None),
        (CLOSES - timedelta(minutes=30), CLOSES + timedelta(days=30), None),
        (CLOSES - timedelta(minutes=29), CLOSES + timedelta(days=30), "before spec.sale.closesAt"),
        (CLOSES + timedelta(days=29), CLOSES + timedelta(days=30), "before spec.sale.closesAt"),
        (CLOSES - timedelta(minutes=90), CLOSES - timedelta(hours=1), None),
        (CLOSES - timedelta(minutes=61), CLOSES - timedelta(hours=1), "before spec.startsAt"),
        (CLOSES - timedelta(hours=1), CLOSES - timedelta(hours=1), "before spec.startsAt"),
    ],
)
def test_refunds_whose_seats_nobody_can_buy_any_more_are_noticed(
    until: datetime | None, starts: datetime, told: str | None
) -> None:
    sale = {"opensAt": OPENS, "closesAt": CLOSES} | ({"refundsUntil": until} if until else {})
    found = late_refunds(make_event(startsAt=starts, sale=sale))
    assert (found is None) == (told is None)
    assert found is None or str(told) in found


def test_pace_and_work_reach_the_sheet() -> None:
    adaptive = {"p95LatencyMs": 250, "errorRate": 3, "floorPerMinute": 90}
    queue = compile_sale(make_event(), make_policy(adaptive=adaptive, proofOfWork={"maxBits": 20})).queue
    assert queue.adaptive == AdaptiveSheet(p95_latency=timedelta(milliseconds=250), error_rate=3, floor_per_minute=90)
    assert queue.max_proof_bits == 20
    plain = compile_sale(make_event(), make_policy()).queue
    assert (plain.adaptive, plain.max_proof_bits) == (None, 18)


# --- Presale codes


def test_a_presale_with_codes_names_how_many_which_and_how_often_they_count() -> None:
    event = make_event(sale={"presales": [{**WITH_CODES, "codeUse": "PerAccount"}, OTHER_PRESALE]})
    book = CodeBook.of(event.id, FANS, ["RED-BALLOON", "BLUE-BALLOON"])
    fans, other, public = compile_sale(event, make_policy(), {FANS: book}).lines
    assert fans.codes == CodesSheet(use=CodeUse.PER_ACCOUNT, count=2, version=book.version)
    assert (other.codes, public.codes) == (None, None)


def test_a_presale_whose_codes_are_gone_lets_nobody_in_rather_than_everybody() -> None:
    sale = compile_sale(make_event(sale={"presales": [WITH_CODES]}), make_policy())
    assert sale.lines[0].codes == CodesSheet(use=CodeUse.ONCE, count=0, version="")


# --- Draws


@pytest.mark.parametrize(
    ("policy", "draws"),
    [
        ({}, [None, None]),
        ({"prequeue": {}}, [None, None]),
        ({"prequeue": {"shuffleAtEventStart": True}}, [None, OPENS - timedelta(seconds=30)]),
        (
            {"queueingMethod": "lottery", "prequeue": {}, "lottery": {"drawBefore": "2m"}},
            [OPENS - timedelta(days=1, minutes=2), OPENS - timedelta(minutes=2)],
        ),
    ],
)
def test_a_lottery_draws_every_line_and_a_shuffle_the_public_one(
    policy: dict[str, Any], draws: list[datetime | None]
) -> None:
    sale = compile_sale(make_event(sale={"presales": [PRESALE]}), make_policy(**policy))
    assert [line.draw_at for line in sale.lines] == draws
    check_draws(sale, make_policy(**policy), CHAINS)


def test_a_beacon_goes_into_the_draw_of_the_public_line_alone() -> None:
    beacon = BeaconSheet(chain=QUICKNET.hash, round=7)
    named = {"lottery": {"beacon": beacon.model_dump()}, "prequeue": {}}
    assert compile_sale(make_event(), make_policy(**named)).lines[-1].beacon is None
    event = make_event(sale={"presales": [PRESALE]})
    presale, public = compile_sale(event, make_policy(queueingMethod="lottery", **named)).lines
    assert presale.draw_at is not None
    assert (presale.beacon, public.beacon) == (None, beacon)


def test_a_draw_before_anybody_can_enter_is_refused() -> None:
    event = make_event(sale={"presales": [PRESALE]}, capacity={"prewarmLeadTime": "30s"})
    policy = make_policy(queueingMethod="lottery", prequeue={})
    with pytest.raises(Unsellable) as refused:
        check_draws(compile_sale(event, policy), policy, CHAINS)
    assert refused.value.reason == "DrawBeforeEntries"
    for part in ("fan-club", "spec.lottery.drawBefore", "spec.capacity.prewarmLeadTime"):
        assert part in refused.value.message
    longer = make_event(sale={"presales": [PRESALE]}, capacity={"prewarmLeadTime": "31s"})
    check_draws(compile_sale(longer, policy), policy, CHAINS)


def check_beacon(chain: str, number: int, draw_before: str = "30s") -> None:
    lottery = {"drawBefore": draw_before, "beacon": {"chain": chain, "round": number}}
    policy = make_policy(queueingMethod="lottery", prequeue={}, lottery=lottery)
    check_draws(compile_sale(make_event(), policy), policy, CHAINS)


def test_a_round_has_to_be_published_between_the_draw_and_the_opening() -> None:
    first = round_after(QUICKNET, OPENS - timedelta(seconds=30))
    last = round_after(QUICKNET, OPENS - timedelta(microseconds=1)) - 1
    assert last - first >= 8
    for number in range(first, last + 1):
        check_beacon(QUICKNET.hash, number)
    for number in (1, first - 1, last + 1, 10**12):
        with pytest.raises(Unsellable) as refused:
            check_beacon(QUICKNET.hash, number)
        assert refused.value.reason == "BeaconRoundMisplaced"
        assert f"Rounds {first} to {last} are." in refused.value.message
        assert "spec.lottery.beacon.round" in refused.value.message


def test_a_chain_too_slow_for_the_draw_says_what_to_lengthen() -> None:
    with pytest.raises(Unsellable, match=r"No round of this chain is: lengthen spec\.lottery\.drawBefore"):
        check_beacon(DEFAULT.hash, round_after(DEFAULT, OPENS), draw_before="5s")


def test_a_chain_that_nobody_can_verify_is_refused_with_those_that_can() -> None:
    with pytest.raises(Unsellable) as refused:
        check_beacon("0" * 64, 1)
    assert refused.value.reason == "BeaconChainUnknown"
    assert QUICKNET.hash in refused.value.message
