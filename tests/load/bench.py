"""A benchmark of several rows: measure them, show them, keep them."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import uvloop
from rich.console import Console
from tests.load.chart import chart
from tests.load.report import RESULTS, Result, keep, read, table
from tests.load.row import Row, Sample
from tests.load.stand import ROOT, open_stand

from tiketi_local.world import World


@dataclass(frozen=True)
class Bench:
    """One of our benchmarks."""

    name: str
    """Of its file in ``build/bench/``, and of ``make bench-<name>``."""
    title: str
    rows: ModuleType
    """Package of its rows."""

    def main(self, words: list[str]) -> int:
        """Measure; 0 even when a number is missed: timings gate nothing."""
        parser = argparse.ArgumentParser(prog=f"make bench-{self.name}", description=self.title)
        parser.add_argument("--rows", default="", help="ids, separated by commas [all]")
        parser.add_argument("--rounds", type=int, default=5)
        arguments = parser.parse_args(words)
        console, results = Console(soft_wrap=True), RESULTS / f"{self.name}.json"
        wanted = {name for name in arguments.rows.split(",") if name}
        measured = uvloop.run(self._run(wanted, arguments.rounds, console, results))
        console.print(table(measured, self.title))
        chart(read(results), results.with_suffix(".svg"))
        shown = results.relative_to(ROOT)
        console.print(f"kept in {shown}, drawn beside it; make bench-readme shows it", highlight=False)
        return 0

    async def _run(self, wanted: set[str], rounds: int, console: Console, results: Path) -> list[Result]:
        """Bring the stores up, measure every wanted module, take down what was not there before.

        What was measured is kept at once: a row that fails takes nothing from those before it. Raises SystemExit when a
        wanted row does not exist, or the world serves buyers.
        """
        world = World.named(os.environ.get("TIKETI_WORLD", "bench"))
        was_there = world.exists
        if was_there and world.is_running("ticket"):
            raise SystemExit(f"world {world.name} serves buyers; measure in one of its own: TIKETI_WORLD=bench")
        chosen = list(self._modules(wanted))
        if unknown := wanted - {row.id for module in chosen for row in module.ROWS}:
            raise SystemExit(f"no such row: {', '.join(sorted(unknown))}")
        measured = []
        try:
            await world.up("stores", waits_for_disk=True)
            for module in chosen:
                ids = ", ".join(row.id for row in module.ROWS)
                console.print(f"[bold]{ids}[/] {module.ROWS[0].what}", highlight=False)
                part = await _measure(module, world, rounds, console)
                keep(part, results)
                measured += part
        finally:
            if not was_there:
                await world.down()
        return measured

    def _modules(self, wanted: set[str]) -> Iterator[ModuleType]:
        """Modules that measure a wanted row; all when none is named."""
        for found in pkgutil.iter_modules(self.rows.__path__, f"{self.rows.__name__}."):
            module = importlib.import_module(found.name)
            if not wanted or wanted & {row.id for row in module.ROWS}:
                yield module


async def _measure(module: ModuleType, world: World, rounds: int, console: Console) -> list[Result]:
    """All rounds of one module. Redis is empty before and after."""
    samples: dict[str, list[Sample]] = {row.id: [] for row in module.ROWS}
    with tempfile.TemporaryDirectory(prefix="tiketi-bench-") as folder:
        async with open_stand(world, Path(folder), rounds) as stand, aclosing(module.measure(stand)) as measured:
            async for round_ in measured:
                _add(samples, round_)
                console.print(f"  {_told(module.ROWS, round_)}", highlight=False)
    return [Result.of(row, samples[row.id]) for row in module.ROWS]


def _add(samples: dict[str, list[Sample]], round_: Mapping[str, Sample]) -> None:
    if round_.keys() != samples.keys():
        raise KeyError(f"a round measured {sorted(round_)}, the module's rows are {sorted(samples)}")
    for name, sample in round_.items():
        samples[name].append(sample)


def _told(measured: tuple[Row, ...], round_: Mapping[str, Sample]) -> str:
    return "  ".join(f"{row.id} {round_[row.id].value:.4g} {row.unit}" for row in measured)
