"""What becomes of a draw that is planned, moved or dropped when buyers may have joined the line already."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.operator.events import CLOSES, OPENS, make_event, make_policy

from tiketi_operator.sale import compile_sale, keep_draws
from tiketi_runtime.contracts.beacon import QUICKNET
from tiketi_runtime.contracts.identity import PUBLIC
from tiketi_runtime.contracts.sale_sheet import BEHIND, BeaconSheet, DrawPromise, QueueingMethod, SaleContent
from tiketi_runtime.contracts.ticket_event_status import Draw, DrawBeacon, DrawTrust

SECOND = timedelta(seconds=1)
JOINS = OPENS - timedelta(minutes=30)
DRAW_AT = OPENS - timedelta(seconds=30)
PROMISED = Draw(line="public", commitment="ab" * 32, draw_at=DRAW_AT, trust=DrawTrust.OPERATOR)
HELD = PROMISED.model_copy(update={"drawn_at": DRAW_AT})
PRESALE = {"name": "fans", "opensAt": OPENS - timedelta(days=1), "closesAt": OPENS - timedelta(hours=20)}


def compiled(opens_at: datetime = OPENS, presales: tuple[dict[str, Any], ...] = (), **policy: Any) -> SaleContent:
    event = make_event(sale={"opensAt": opens_at, "presales": list(presales)})
    return compile_sale(event, make_policy(**{"prequeue": {"opensBefore": "30m"}, **policy}))


FIFO = compiled()
LOTTERY = compiled(queueingMethod="lottery")
SHUFFLE = compiled(prequeue={"opensBefore": "30m", "shuffleAtEventStart": True})
PASSTHROUGH = compiled(queueingMethod="passthrough")
NOBODY = JOINS - BEHIND - SECOND
"""When nobody can have joined, by whatever sheet or clock."""
DURING = [JOINS - BEHIND, JOINS, DRAW_AT - SECOND, DRAW_AT, OPENS, OPENS + timedelta(hours=1)]


def kept(
    new: SaleContent, stored: SaleContent | None, now: datetime, *shown: Draw
) -> tuple[list[datetime | None], list[str]]:
    """When each line is drawn, and what is said. A restart or any other visit afterwards changes nothing."""
    sale, facts = keep_draws(new, stored, now, shown)
    assert keep_draws(new, sale, now, shown) == (sale, facts)
    return [line.draw_at for line in sale.lines], [fact.reason for fact in facts]


@pytest.mark.parametrize("drawn", [LOTTERY, SHUFFLE])
@pytest.mark.parametrize("before", [FIFO, PASSTHROUGH])
def test_a_draw_has_to_be_planned_before_anybody_can_join(before: SaleContent, drawn: SaleContent) -> None:
    assert kept(drawn, before, NOBODY) == ([DRAW_AT], [])
    for now in DURING:
        assert kept(drawn, before, now) == ([None], ["DrawTooLate"])
    assert kept(drawn, before, CLOSES) == ([None], [])


def test_a_line_that_is_not_drawn_is_not_called_a_lottery_and_needs_no_beacon() -> None:
    beacon = {"chain": QUICKNET.hash, "round": 7}
    sale, (fact,) = keep_draws(compiled(queueingMethod="lottery", lottery={"beacon": beacon}), FIFO, OPENS)
    assert sale == FIFO
    for part in ("Line public", "2027-03-01T10:30:00", "spec.queueingMethod", "make a new event"):
        assert part in fact.message


@pytest.mark.parametrize("drawn", [LOTTERY, SHUFFLE])
@pytest.mark.parametrize("after", [FIFO, PASSTHROUGH])
def test_a_draw_may_be_dropped_until_somebody_can_join(drawn: SaleContent, after: SaleContent) -> None:
    assert kept(after, drawn, NOBODY, PROMISED) == ([None], [])
    for now in DURING:
        assert kept(after, drawn, now, PROMISED) == ([DRAW_AT], ["DrawPromised"])
    for now in (DRAW_AT, OPENS):
        assert kept(after, drawn, now, HELD) == ([DRAW_AT], [])
    assert kept(after, drawn, CLOSES, PROMISED) == ([DRAW_AT], [])


def test_a_promised_draw_keeps_method_and_beacon_but_not_its_doors() -> None:
    with_beacon = compiled(queueingMethod="lottery", lottery={"beacon": {"chain": QUICKNET.hash, "round": 7}})
    assert keep_draws(FIFO, with_beacon, JOINS)[0] == with_beacon
    sale, (fact,) = keep_draws(PASSTHROUGH, with_beacon, JOINS)
    assert (sale.lines, sale.queue.method) == (with_beacon.lines, QueueingMethod.PASSTHROUGH)
    assert keep_draws(FIFO, SHUFFLE, JOINS)[0] == SHUFFLE
    for part in ("Line public", "2027-03-01T10:59:30", "spec.queueingMethod", "make a new event"):
        assert part in fact.message


def test_a_draw_moves_with_its_sale_until_it_is_due() -> None:
    day = timedelta(days=1)
    later = compiled(OPENS + timedelta(hours=1), queueingMethod="lottery")
    for now in (JOINS - day, JOINS, DRAW_AT - SECOND):
        assert kept(later, LOTTERY, now, PROMISED) == ([DRAW_AT + timedelta(hours=1)], [])
    for now in (DRAW_AT, OPENS):
        assert kept(later, LOTTERY, now, PROMISED) == ([DRAW_AT], ["DrawHeld"])
        assert kept(later, LOTTERY, now, HELD) == ([DRAW_AT], [])


def test_a_beacon_can_be_withdrawn_from_a_draw_that_is_due() -> None:
    with_beacon = compiled(queueingMethod="lottery", lottery={"beacon": {"chain": QUICKNET.hash, "round": 7}})
    assert keep_draws(LOTTERY, with_beacon, OPENS) == (LOTTERY, ())


@pytest.mark.parametrize("sale", [FIFO, LOTTERY, SHUFFLE, PASSTHROUGH])
def test_what_was_planned_stays_over_restarts_and_at_first_sight(sale: SaleContent) -> None:
    for now in [NOBODY, *DURING, CLOSES]:
        assert keep_draws(sale, sale, now) == (sale, ())
        assert keep_draws(sale, None, now) == (sale, ())


def test_a_recreated_object_goes_on_with_the_line_of_the_one_before() -> None:
    recreated = {"uid": "u-2", "generation": 1}
    assert kept(LOTTERY.model_copy(update=recreated), FIFO, JOINS) == ([None], ["DrawTooLate"])
    assert kept(FIFO.model_copy(update=recreated), LOTTERY, JOINS) == ([DRAW_AT], ["DrawPromised"])
    assert kept(LOTTERY.model_copy(update=recreated), LOTTERY, OPENS) == ([DRAW_AT], [])


def test_the_status_remembers_a_promise_that_redis_has_lost() -> None:
    assert kept(FIFO, None, JOINS, PROMISED) == ([DRAW_AT], ["DrawPromised"])
    assert kept(FIFO, None, OPENS, HELD) == ([DRAW_AT], [])
    later = compiled(OPENS + timedelta(hours=1), queueingMethod="lottery")
    assert kept(later, None, OPENS, HELD) == ([DRAW_AT], [])
    beacon = DrawBeacon(chain=QUICKNET.hash, round=7)
    sale, _ = keep_draws(FIFO, None, JOINS, [PROMISED.model_copy(update={"beacon": beacon})])
    assert sale.lines[0].beacon == BeaconSheet(chain=QUICKNET.hash, round=7)


def test_each_line_goes_by_its_own_time() -> None:
    fifo, lottery = compiled(presales=(PRESALE,)), compiled(presales=(PRESALE,), queueingMethod="lottery")
    presale_draw = DRAW_AT - timedelta(days=1)
    during_presale = OPENS - timedelta(hours=22)
    assert kept(lottery, fifo, during_presale) == ([None, DRAW_AT], ["DrawTooLate"])
    assert kept(fifo, lottery, during_presale) == ([presale_draw, None], ["DrawPromised"])
    assert kept(lottery, fifo, OPENS) == ([None, None], ["DrawTooLate"])
    assert kept(lottery, compiled(), during_presale) == ([presale_draw, DRAW_AT], [])


def test_a_postponement_does_not_make_a_joined_line_new() -> None:
    week = timedelta(days=7)
    for before, first, then in ((FIFO, "fifo", "lottery"), (LOTTERY, "lottery", "fifo")):
        postponed, _ = keep_draws(compiled(OPENS + week, queueingMethod=first), before, JOINS)
        assert postponed.lines[0].joined_from == JOINS
        reason = "DrawTooLate" if then == "lottery" else "DrawPromised"
        draw_at = None if then == "lottery" else DRAW_AT + week
        for opens_at in (OPENS + week, OPENS + 2 * week):
            turned = compiled(opens_at, queueingMethod=then)
            assert kept(turned, postponed, JOINS + timedelta(minutes=1)) == ([draw_at], [reason])


def test_a_line_that_was_postponed_before_anybody_could_join_is_new() -> None:
    later = compiled(OPENS + timedelta(days=7))
    postponed, _ = keep_draws(later, FIFO, NOBODY)
    assert postponed == later
    turned = compiled(OPENS + timedelta(days=7), queueingMethod="lottery")
    assert keep_draws(turned, postponed, JOINS) == (turned, ())


def test_a_draw_that_is_past_does_not_move_however_often_the_sale_is_postponed() -> None:
    sale = LOTTERY
    for days in (1, 2, 3):
        later = compiled(OPENS + timedelta(days=days), queueingMethod="lottery")
        sale, _ = keep_draws(later, sale, OPENS, [PROMISED])
        assert sale.lines[0].draw_at == DRAW_AT


def test_a_draw_that_people_joined_for_is_never_brought_forward_to_surprise_them() -> None:
    minute = timedelta(minutes=1)
    now = JOINS + 10 * minute
    for early in (now - minute, now, now + minute - SECOND):
        sooner = compiled(early + timedelta(seconds=30), queueingMethod="lottery")
        assert kept(sooner, LOTTERY, now) == ([DRAW_AT], ["DrawTooSoon"])
        assert kept(sooner, None, now, PROMISED) == ([DRAW_AT], ["DrawTooSoon"])
    announced = compiled(now + minute + timedelta(seconds=30), queueingMethod="lottery")
    assert kept(announced, LOTTERY, now) == ([now + minute], [])
    assert kept(announced, announced, now + minute) == ([now + minute], [])
    sooner = compiled(now, queueingMethod="lottery")
    assert kept(sooner, LOTTERY, sooner.lead_in_at(sooner.lines[0]) - BEHIND - SECOND)[1] == []


def test_a_draw_that_is_not_brought_forward_keeps_its_beacon_and_says_what_to_do() -> None:
    def drawn(opens_at: datetime, number: int) -> SaleContent:
        beacon = {"chain": QUICKNET.hash, "round": number}
        return compiled(opens_at, queueingMethod="lottery", lottery={"beacon": beacon})

    promised, now = drawn(OPENS, 7), JOINS + timedelta(minutes=10)
    sale, (fact,) = keep_draws(drawn(now, 6), promised, now)
    assert sale.lines[0].beacon == promised.lines[0].beacon
    for part in ("Line public", "2027-03-01T10:59:30", "spec.sale.opensAt", "spec.lottery.drawBefore"):
        assert part in fact.message
    withdrawn, _ = keep_draws(compiled(now, queueingMethod="lottery"), promised, now)
    assert withdrawn.lines[0].beacon is None


def test_no_other_beacon_is_named_for_a_draw_that_is_due() -> None:
    promised = compiled(queueingMethod="lottery", lottery={"beacon": {"chain": QUICKNET.hash, "round": 7}})
    known = compiled(queueingMethod="lottery", lottery={"beacon": {"chain": QUICKNET.hash, "round": 6}})
    assert keep_draws(known, promised, DRAW_AT - SECOND) == (known, ())
    assert keep_draws(known, promised, DRAW_AT) == (promised, ())
    withdrawn, _ = keep_draws(LOTTERY, promised, DRAW_AT)
    assert keep_draws(known, withdrawn, OPENS) == (withdrawn, ())


def owed(draw_at: datetime | None) -> DrawPromise:
    return DrawPromise(line=PUBLIC, joined_from=JOINS - timedelta(days=1), draw_at=draw_at)


@pytest.mark.parametrize("stored", [None, "refused"])
def test_what_the_services_remember_counts_when_nothing_else_does(stored: str | None) -> None:
    week = timedelta(days=7)
    for turned, promise, reason in (
        (compiled(OPENS + week, queueingMethod="lottery"), owed(None), "DrawTooLate"),
        (compiled(OPENS + week), owed(DRAW_AT), "DrawPromised"),
    ):
        sale, (fact,) = keep_draws(turned, turned if stored else None, JOINS, (), [promise])
        line = sale.lines[0]
        assert (line.draw_at, line.joined_from, fact.reason) == (promise.draw_at, promise.joined_from, reason)
        assert not promise.is_broken_by(line, JOINS)
        assert keep_draws(turned, sale, JOINS) == (sale, (fact,))
