"""``python -m tests.load.readme``: write the kept results into the documents that show them.

A document shows those of a benchmark between ``<!-- bench-line -->`` and ``<!-- /bench-line -->``: whole, with loads
and floors; or, after ``<!-- bench-line: in short -->``, only what has to be reached. The chart becomes
docs/bench-line.svg.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.load.chart import chart
from tests.load.report import RESULTS, Result, in_short, markdown, read
from tests.load.stand import ROOT

BENCHES: Final = ("line", "orders")
DOCUMENTS: Final = (ROOT / "README.md", ROOT / "docs" / "performance.md")


def rendered(document: str, bench: str, results: Sequence[Result]) -> str | None:
    """The document with the table of ``results`` between its marks; None if it has no marks."""
    whole, short = f"<!-- bench-{bench} -->\n", f"<!-- bench-{bench}: in short -->\n"
    closing = f"<!-- /bench-{bench} -->"
    mark, shown = (short, in_short(results)) if short in document else (whole, _whole(results))
    before, begin, rest = document.partition(mark)
    _, end, after = rest.partition(closing)
    if not (begin and end):
        return None
    machines = sorted({f"{result.machine}, {result.date}" for result in results})
    return f"{before}{mark}{shown}\n\nMeasured on {'; '.join(machines)}.\n{closing}{after}"


def _whole(results: Sequence[Result]) -> str:
    loads = "\n".join(f"- {result.id}: {result.load}." for result in results if result.load)
    return f"{markdown(results)}\n\nUnder this load:\n\n{loads}"


def main(documents: Sequence[Path] = DOCUMENTS) -> int:
    """Render every document that has a place for a table; exit code 1 if a benchmark has nothing to show."""
    missing = 0
    for bench in BENCHES:
        kept = RESULTS / f"{bench}.json"
        results = read(kept)
        if not results:
            sys.stderr.write(f"{kept.relative_to(ROOT)} is missing; mend: make bench-{bench}\n")
            missing = 1
            continue
        for document in documents:
            text = rendered(document.read_text(), bench, results)
            if text is not None:
                document.write_text(text)
        chart(results, ROOT / "docs" / f"bench-{bench}.svg")
    return missing


if __name__ == "__main__":
    sys.exit(main())
