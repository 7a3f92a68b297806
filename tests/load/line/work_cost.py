"""``python -m tests.load.line.work_cost``: what each number of bits costs, measured; written into docs/bots.md.

Rows have the form of the benchmark's (``report.Result``) and are kept beside its, in ``build/bench/work.json``. It is
CPU time of one core. Hashes are counted, not solutions waited for, so that luck plays no part: a solution takes 2^bits
hashes on average, and three times as many for one buyer in twenty.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from tests.load.report import RESULTS, Result, keep, read, told
from tests.load.row import Row, Sample
from tests.load.stand import ROOT

from tiketi_local.crowd.work import Search
from tiketi_runtime.contracts.identity import PUBLIC, EventId
from tiketi_runtime.security import Mac
from tiketi_services.ticket.queue.gates.gate import PURPOSE, Challenge
from tiketi_services.ticket.queue.gates.work import lifetime, solves

KEPT: Final = RESULTS / "work.json"
DOCUMENT: Final = ROOT / "docs" / "bots.md"
BITS: Final = (8, 10, 12, 14, 16, 18, 20, 22, 24, 26)
ACCOUNTS: Final = 10_000
HASHES: Final = 200_000
"""Counted in one round of a solver: a quarter of a second."""
CHECKS: Final = 2_000
_BEGIN: Final = "<!-- work-cost -->\n"
_END: Final = "<!-- /work-cost -->"

ROWS: Final = (
    Row("W-node", "one hash of the page's solver (work.js in node)", unit="us"),
    Row("W-python", "one hash of the crowd's solver (Python)", unit="us"),
    Row("W-check", "check of one proof: seal, buyer, end, hash", unit="us"),
)
_NODE: Final = f"""
    const {{ startSearch }} = await import(process.argv[1]);
    const search = startSearch(process.argv[2], 32);
    search(20000);
    const before = process.cpuUsage();
    search({HASHES});
    console.log(process.cpuUsage(before).user);
"""
_MAC: Final = Mac("bench", {"bench": b"b" * 32})


def challenge(bits: int) -> str:
    """One of the length that real ones have."""
    content = Challenge(
        "6f0cfa0e-5e1c-4a53-9a5e-0c0f3a7e9b11",
        EventId("demo/first-sale"),
        PUBLIC,
        bits,
        datetime.now(UTC) + lifetime(bits),
    )
    return _MAC.seal(PURPOSE, content.payload())


def python_hash() -> float:
    """Microseconds of CPU for one hash in Python."""
    search = Search(challenge(20), 200)
    started = time.process_time()
    search.go(HASHES)
    return (time.process_time() - started) / HASHES * 1e6


def node_hash() -> float:
    """Microseconds of CPU for one hash in node, the module warm as after the first slices."""
    with tempfile.TemporaryDirectory() as folder:
        module = shutil.copy(ROOT / "services" / "tiketi_services" / "web" / "work.js", Path(folder) / "work.mjs")
        command = ["node", "--input-type=module", "--eval", _NODE, Path(module).as_uri(), challenge(20)]
        output = subprocess.run(command, check=True, capture_output=True).stdout
    return float(json.loads(output)) / HASHES


def check() -> float:
    """Microseconds of CPU for checking one proof, as the gate does it."""
    word = challenge(20)
    started = time.process_time()
    for _ in range(CHECKS):
        solves(word, "1048576", Challenge.from_payload(_MAC.open(PURPOSE, word)).bits)
    return (time.process_time() - started) / CHECKS * 1e6


def measure(rounds: int) -> list[Result]:
    """All rows, one after the other in each round."""
    meters: dict[str, Callable[[], float]] = {"W-node": node_hash, "W-python": python_hash, "W-check": check}
    samples: dict[str, list[Sample]] = {row.id: [] for row in ROWS}
    for _ in range(rounds):
        for row in ROWS:
            samples[row.id].append(Sample(meters[row.id]()))
    return [Result.of(row, samples[row.id]) for row in ROWS]


def cost_table(results: Sequence[Result]) -> str:
    """What each number of bits costs one buyer, and ten thousand invented ones, in Markdown."""
    value = {result.id: result.value for result in results}
    lines = [
        f"| bits | hashes on average | a place, page in node | a place, Python | {ACCOUNTS:,} places, node, one core |",
        "|---:|---:|---:|---:|---:|",
    ]
    for bits in BITS:
        hashes = 2**bits
        node, python = (hashes * value[name] / 1e6 for name in ("W-node", "W-python"))
        cells = (str(bits), f"{hashes:,}", duration(node), duration(python), duration(node * ACCOUNTS))
        lines.append(f"| {' | '.join(cells)} |")
    one = {
        result.id: f"{told(result.value)} us ({told(result.spread[0])} .. {told(result.spread[1])})"
        for result in results
    }
    lines += [
        "",
        f"One hash: {one['W-node']} in node, {one['W-python']} in Python. One check in ticket: {one['W-check']}.",
        f"CPU time, median and spread of {results[0].rounds} rounds on {results[0].machine}; {results[0].date}.",
    ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """As people say it, two or three figures."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{told(seconds / size)} {unit}"
    return f"{told(seconds * 1e6)} us"


def rendered(document: str, table: str) -> str:
    """The document with the table between its marks. Raises LookupError if it has none."""
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise LookupError(f"no {_BEGIN.strip()} .. {_END}")
    return f"{before}{_BEGIN}{table}\n{_END}{after}"


def main(words: list[str]) -> int:
    """Measure, show, keep, and write the table into the document."""
    parser = argparse.ArgumentParser(prog="tests.load.line.work_cost", description="What proof of work costs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--render-only", action="store_true", help="write what is kept into the document")
    arguments = parser.parse_args(words)
    results = read(KEPT) if arguments.render_only else keep(measure(arguments.rounds), KEPT)
    table = cost_table(results)
    Console(soft_wrap=True).print(table, highlight=False)
    DOCUMENT.write_text(rendered(DOCUMENT.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
