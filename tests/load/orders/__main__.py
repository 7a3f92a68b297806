"""``python -m tests.load.orders [--rows P4,P8] [--rounds 5]``: measure, show, draw, keep."""

from __future__ import annotations

import sys

from tests.load.bench import Bench
from tests.load.orders import rows

if __name__ == "__main__":
    sys.exit(Bench("orders", "Purchases, measured", rows).main(sys.argv[1:]))
