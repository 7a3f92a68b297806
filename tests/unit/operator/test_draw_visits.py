"""When an event by lot is looked at: at its draw, and soon again until the order is known."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.unit.operator.events import OPENS, make_event, make_policy

from tiketi_operator.phase import instants, next_instant
from tiketi_operator.reconcile import Case
from tiketi_operator.sale import compile_sale
from tiketi_operator.status import TRUE, Fact
from tiketi_runtime.contracts.ticket_event_status import Draw, DrawTrust

EVENT = make_event()
LOTTERY = compile_sale(EVENT, make_policy(queueingMethod="lottery", prequeue={}))
FIFO = compile_sale(EVENT, make_policy(prequeue={}))
DRAW_AT = OPENS - timedelta(seconds=30)
PROMISED = Draw(line="public", commitment="ab" * 32, draw_at=DRAW_AT, trust=DrawTrust.OPERATOR)
HELD = PROMISED.model_copy(update={"drawn_at": DRAW_AT})
SECOND = timedelta(seconds=1)


def test_the_draw_is_an_instant_of_the_timeline() -> None:
    assert next_instant(LOTTERY, DRAW_AT - SECOND) == DRAW_AT
    assert next_instant(LOTTERY, DRAW_AT) == OPENS
    assert DRAW_AT not in instants(FIFO)


@pytest.mark.parametrize(
    ("now", "draw", "expected"),
    [
        (DRAW_AT - SECOND, PROMISED, False),
        (DRAW_AT, PROMISED, True),
        (OPENS, PROMISED, True),
        (OPENS + timedelta(minutes=1), PROMISED, False),
        (DRAW_AT, HELD, False),
    ],
)
def test_an_event_is_looked_at_soon_again_while_its_order_is_due(now: datetime, draw: Draw, expected: bool) -> None:
    case = Case(EVENT, now, Fact(TRUE, "Adopted", ""), LOTTERY, draws=(draw,))
    assert case.is_being_drawn is expected


def test_a_sale_without_lot_is_never_being_drawn() -> None:
    assert not Case(EVENT, DRAW_AT, Fact(TRUE, "Adopted", ""), FIFO).is_being_drawn
    assert not Case(EVENT, DRAW_AT, Fact(TRUE, "Adopted", "")).is_being_drawn
