"""``python -m tests.load.line.readme``: write the kept results into the documents that show them.

A document shows them between ``<!-- bench-line -->`` and ``<!-- /bench-line -->``: whole, with loads and floors; or,
after ``<!-- bench-line: in short -->``, only what has to be reached. The chart becomes docs/bench-line.svg.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.load.line.chart import chart
from tests.load.line.report import RESULTS, Result, in_short, markdown, read
from tests.load.line.stand import ROOT

DOCUMENTS: Final = (ROOT / "README.md", ROOT / "docs" / "performance.md")
DRAWING: Final = ROOT / "docs" / "bench-line.svg"
_WHOLE: Final = "<!-- bench-line -->\n"
_IN_SHORT: Final = "<!-- bench-line: in short -->\n"
_END: Final = "<!-- /bench-line -->"


def rendered(document: str, results: Sequence[Result]) -> str | None:
    """The document with the table of ``results`` between its marks; None if it has no marks."""
    mark, shown = (_IN_SHORT, in_short(results)) if _IN_SHORT in document else (_WHOLE, _whole(results))
    before, begin, rest = document.partition(mark)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        return None
    machines = sorted({f"{result.machine}, {result.date}" for result in results})
    return f"{before}{mark}{shown}\n\nMeasured on {'; '.join(machines)}.\n{_END}{after}"


def _whole(results: Sequence[Result]) -> str:
    loads = "\n".join(f"- {result.id}: {result.load}." for result in results if result.load)
    return f"{markdown(results)}\n\nUnder this load:\n\n{loads}"


def main(documents: Sequence[Path] = DOCUMENTS) -> int:
    """Render every document that has a place for the table; exit code 1 if there is nothing to show."""
    results = read()
    if not results:
        sys.stderr.write(f"{RESULTS.relative_to(ROOT)} is missing; mend: make bench-line\n")
        return 1
    for document in documents:
        text = rendered(document.read_text(), results)
        if text is not None:
            document.write_text(text)
    chart(results, DRAWING)
    return 0


if __name__ == "__main__":
    sys.exit(main())
