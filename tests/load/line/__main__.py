"""``python -m tests.load.line [--rows P1,P11] [--rounds 5]``: measure, show, draw, keep."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import pkgutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from types import ModuleType

from rich.console import Console
from tests.load.line import rows
from tests.load.line.chart import chart
from tests.load.line.report import RESULTS, Result, keep, read, table
from tests.load.line.row import Row, Sample
from tests.load.line.stand import ROOT, open_stand

from tiketi_local.world import World


def modules(wanted: set[str]) -> Iterator[ModuleType]:
    """Modules of ``rows`` that measure a wanted row; all when none is named."""
    for found in pkgutil.iter_modules(rows.__path__, f"{rows.__name__}."):
        module = importlib.import_module(found.name)
        if not wanted or wanted & {row.id for row in module.ROWS}:
            yield module


async def measure(module: ModuleType, world: World, rounds: int, console: Console) -> list[Result]:
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


async def run(wanted: set[str], rounds: int, console: Console) -> list[Result]:
    """Bring the stores up, measure every wanted module, take down what was not there before.

    What was measured is kept at once: a row that fails takes nothing from those before it. Raises SystemExit when a
    wanted row does not exist, or the world serves buyers.
    """
    world = World.named(os.environ.get("TIKETI_WORLD", "bench"))
    was_there = world.exists
    if was_there and world.is_running("ticket"):
        raise SystemExit(f"world {world.name} serves buyers; measure in one of its own: TIKETI_WORLD=bench")
    chosen = list(modules(wanted))
    if unknown := wanted - {row.id for module in chosen for row in module.ROWS}:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}")
    results = []
    try:
        await world.up("stores", waits_for_disk=True)
        for module in chosen:
            console.print(f"[bold]{', '.join(row.id for row in module.ROWS)}[/] {module.ROWS[0].what}", highlight=False)
            measured = await measure(module, world, rounds, console)
            keep(measured)
            results += measured
    finally:
        if not was_there:
            await world.down()
    return results


def main(words: list[str]) -> int:
    """Measure; 0 even when a number is missed: timings gate nothing."""
    parser = argparse.ArgumentParser(prog="make bench-line", description="What the line costs, measured.")
    parser.add_argument("--rows", default="", help="ids, separated by commas [all]")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(words)
    console = Console(soft_wrap=True)
    results = asyncio.run(run({name for name in arguments.rows.split(",") if name}, arguments.rounds, console))
    console.print(table(results))
    chart(read(), RESULTS.with_suffix(".svg"))
    console.print(f"kept in {RESULTS.relative_to(ROOT)}, drawn beside it; make bench-readme shows it", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
