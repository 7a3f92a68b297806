"""P7: what no-shows cost those who come. The real scripts on a virtual clock: no machine can be too slow for it."""

from __future__ import annotations

import random
from typing import Final

from tests.load.row import Rounds, Row, Sample
from tests.load.stand import Stand
from tests.simulation.crowds import no_shows
from tests.simulation.line_sale import House, LineSale, ideal_admissions, waits

_BUYERS: Final = 1_500
_SHARE: Final = 0.4
_BY_RATE: Final = House(per_minute=120, slots=10_000, stock=100_000)
_BY_SLOTS: Final = House(per_minute=1_200, slots=100, stock=100_000)
_LOAD: Final = (
    f"virtual clock; {_BUYERS:,} buyers there at the opening, {_SHARE:.0%} never claim, the others 2 s (mean) after "
    "the state told them; a claim window of 30 s; each round another crowd"
)

ROWS: Final = (
    Row(
        "P7",
        "sum of waits, with 40 % no-shows, by that of a line which knows who will come",
        unit="x",
        must=1.10,
        aim=1.03,
        floor="mean wait in that line",
        floor_unit="s",
        load=f"{_LOAD}; {_BY_RATE.per_minute} a minute",
    ),
    Row(
        "P7-slots",
        "the same where slots are scarce, not the rate",
        unit="x",
        floor="mean wait in that line",
        floor_unit="s",
        load=f"{_LOAD}; {_BY_SLOTS.slots} slots, buyers shop for a minute",
    ),
)


async def measure(stand: Stand) -> Rounds:
    """One crowd a round, through both lines."""
    for seed in range(stand.rounds):
        yield {"P7": _ratio(seed, _BY_RATE), "P7-slots": _ratio(seed, _BY_SLOTS)}


def _ratio(seed: int, house: House) -> Sample:
    crowd = no_shows(random.Random(seed), _BUYERS, share=_SHARE, shops_for=60_000)
    sale = LineSale(house, crowd)
    sale.run()
    ideal = ideal_admissions(house, crowd)
    assert sale.admitted_at.keys() == ideal.keys(), "somebody who came was not admitted"
    least = waits(crowd, ideal)
    return Sample(waits(crowd, sale.admitted_at) / least, floor=least / len(ideal) / 1000)
