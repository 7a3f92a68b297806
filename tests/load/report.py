"""What was measured, kept as JSON; the table on the screen and the one in the documents are both made from it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, Self

import msgspec
from rich.table import Table
from tests.load.row import Row, Sample
from tests.load.stand import ROOT

RESULTS: Final = ROOT / "build" / "bench"
"""One JSON file for each benchmark."""


class Floor(msgspec.Struct, frozen=True):
    """What a value is compared with, measured in the same rounds."""

    what: str
    value: float
    unit: str


class Result(msgspec.Struct, frozen=True):
    """One row as it is kept."""

    id: str
    what: str
    value: float
    """Median of the rounds."""
    spread: tuple[float, float]
    """Least and greatest of the rounds."""
    unit: str
    floor: Floor | None
    load: str
    machine: str
    date: str
    rounds: int
    must: float | None
    aim: float | None
    more_is_better: bool = False

    @classmethod
    def of(cls, row: Row, samples: Sequence[Sample]) -> Self:
        """Put the rounds of one row together. Raises StatisticsError when there are none."""
        values = [sample.value for sample in samples]
        floors = [sample.floor for sample in samples if sample.floor is not None]
        return cls(
            row.id,
            row.what,
            _rounded(median(values)),
            (_rounded(min(values)), _rounded(max(values))),
            row.unit,
            Floor(row.floor, _rounded(median(floors)), row.floor_unit) if row.floor and floors else None,
            row.load,
            machine(),
            datetime.now(UTC).strftime("%Y-%m-%d"),
            len(values),
            row.must,
            row.aim,
            row.more_is_better,
        )

    @property
    def verdict(self) -> str:
        """How the median stands to what must and what should be reached."""
        if self.must is None:
            return "told"
        if not self._reaches(self.must):
            return "missed"
        return "aim reached" if self.aim is not None and self._reaches(self.aim) else "reached"

    def _reaches(self, mark: float) -> bool:
        return self.value >= mark if self.more_is_better else self.value <= mark


def machine() -> str:
    """The machine in words: cores, memory, system, interpreter."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux, Python {platform.python_version()}"


def keep(results: Iterable[Result], path: Path) -> list[Result]:
    """Put the results into the file in place of older ones of the same rows; returns all that it then holds."""
    kept = {result.id: result for result in [*read(path), *results]}
    everything = list(kept.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(everything), indent=2) + b"\n")
    return everything


def read(path: Path) -> list[Result]:
    """The results in the file; none if there is no file. Raises ValidationError if it holds something else."""
    return msgspec.json.decode(path.read_bytes(), type=list[Result]) if path.exists() else []


def told(value: float | None) -> str:
    """A number as people read it: three figures, no exponent."""
    if value is None:
        return ""
    figures = f"{value:.3g}"
    return f"{float(figures):,.0f}" if "e" in figures or abs(value) >= 1000 else figures


def cells(result: Result) -> tuple[str, ...]:
    """The columns of a table: id, what, value, spread, floor or peer, must, aim, verdict."""
    low, high = result.spread
    floor = f"{told(result.floor.value)} {result.floor.unit}: {result.floor.what}" if result.floor else ""
    return (
        result.id,
        result.what,
        f"{told(result.value)} {result.unit}",
        f"{told(low)} .. {told(high)}",
        floor,
        told(result.must),
        told(result.aim),
        result.verdict,
    )


HEADINGS: Final = ("id", "what", "median", "spread", "floor or peer", "must", "aim", "verdict")
_COLOURS: Final = {"missed": "red", "reached": "yellow", "aim reached": "green"}


def table(results: Iterable[Result], title: str) -> Table:
    """For the screen."""
    shown = Table(title=title)
    for heading in HEADINGS:
        shown.add_column(heading, justify="right" if heading in ("median", "spread", "must", "aim") else "left")
    for result in results:
        shown.add_row(*cells(result), style=_COLOURS.get(result.verdict))
    return shown


def markdown(results: Iterable[Result]) -> str:
    """For the documents."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(result)) + " |" for result in results]
    return "\n".join(lines)


def in_short(results: Iterable[Result]) -> str:
    """What has to be reached and what was, for readers who may look for the rest elsewhere."""
    rows = [
        (each.what, f"{told(each.value)} {each.unit}", f"{_bound(each)} {told(each.must)}")
        for each in results
        if each.must is not None
    ]
    lines = ["| what | measured | must be |", "|---|---|---|"]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def _bound(result: Result) -> str:
    return "at least" if result.more_is_better else "at most"


def _rounded(value: float) -> float:
    """Four figures: what is beyond them is noise."""
    return float(f"{value:.4g}")
