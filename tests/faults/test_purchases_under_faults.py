"""A short run of what ``make test-faults`` does at length: people buy while things break, and the books are checked."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.faults import SHORT
from tests.faults.run import run, told, world_name

SEED = int(os.environ.get("TIKETI_SEED", "1"))


async def test_no_seat_is_sold_twice_and_no_money_is_lost_whatever_breaks(tmp_path: Path) -> None:
    report = await run(SEED, iter(SHORT), world_name(), tmp_path, buyers=10, tries=2_000)
    assert report.wrong == [], told(report)
    assert report.sums["orders paid"] > 20, "hardly anybody could buy: this run shows nothing"
    assert report.contest["held"] > 20
    assert report.faults.total() == len(SHORT)
