"""``python -m tests.faults [--seed 1] [--minutes 10] [--only ticket]``: break everything, and check the books."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import secrets
import sys
from pathlib import Path

from rich.console import Console
from tests.faults.faults import FAULTS
from tests.faults.run import run, shuffled, told, world_name

FOLDER = Path(__file__).resolve().parents[2] / "build" / "faults"


def main(words: list[str]) -> int:
    """Returns 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="make test-faults", description="Purchases while everything breaks.")
    parser.add_argument("--seed", type=int, help="order of the faults and plans of the buyers [any]")
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults [10]")
    parser.add_argument("--buyers", type=int, default=16, help="visits at a time [16]")
    parser.add_argument("--payments", type=int, default=0, help="of this many, end before that")
    parser.add_argument("--single", action="store_true", help="one process of each service, without the front door")
    parser.add_argument("--only", default="", help="faults whose name holds this, each once, instead of all by time")
    parser.add_argument("--tries", type=int, default=1_000_000, help="contested tries to hold seats [1000000]")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where journal and logs go [build/faults]")
    arguments = parser.parse_args(words)
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"seed {seed}; {len(FAULTS)} kinds of faults; logs in {arguments.folder.name}/journal.jsonl")
    plan = shuffled(seed, arguments.minutes * 60)
    if arguments.only:
        plan = iter([name for name in FAULTS if arguments.only in name])
    report = asyncio.run(
        run(
            seed,
            plan,
            world_name(),
            arguments.folder,
            buyers=arguments.buyers,
            tries=arguments.tries,
            say=console.print,
            is_doubled=not arguments.single,
            payments=arguments.payments,
        )
    )
    console.print(report.table())
    for name, number in itertools.islice(report.answers.most_common(), 60):
        console.print(f"  {number:>7,}  {name}")
    if report.wrong:
        console.print(told(report), style="red")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
