"""When a beacon's round will not come by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tiketi_runtime.contracts.beacon import QUICKNET, round_time
from tiketi_services.ticket.queue.lottery.beacon import is_overdue, waiting_of

SLOW = replace(QUICKNET, period=timedelta(seconds=30))
ROUND = 5_000_000
DUE = round_time(QUICKNET, ROUND)
SECOND = timedelta(seconds=1)


def test_a_draw_waits_from_the_rounds_time_or_from_when_its_entries_were_fixed() -> None:
    assert waiting_of(QUICKNET, ROUND, DUE - 60 * SECOND, DUE - SECOND) == timedelta(0)
    assert waiting_of(QUICKNET, ROUND, DUE - 60 * SECOND, DUE + SECOND) == SECOND
    assert waiting_of(QUICKNET, ROUND, DUE + 60 * SECOND, DUE + 61 * SECOND) == SECOND
    assert waiting_of(None, ROUND, DUE + 60 * SECOND, DUE + 61 * SECOND) == SECOND


@pytest.mark.parametrize(("chain", "patience"), [(QUICKNET, 10), (SLOW, 90), (None, 90)])
def test_a_few_periods_are_waited_for(chain: object, patience: int) -> None:
    assert not is_overdue(chain, patience * SECOND)  # type: ignore[arg-type]
    assert is_overdue(chain, (patience + 1) * SECOND)  # type: ignore[arg-type]
