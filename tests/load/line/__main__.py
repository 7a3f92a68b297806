"""``python -m tests.load.line [--rows P1,P11] [--rounds 5]``: measure, show, draw, keep."""

from __future__ import annotations

import sys

from tests.load.bench import Bench
from tests.load.line import rows

if __name__ == "__main__":
    sys.exit(Bench("line", "The line, measured", rows).main(sys.argv[1:]))
