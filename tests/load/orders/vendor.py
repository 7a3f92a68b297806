"""``python -m tests.load.orders.vendor``: the simulated vendor, on the faster event loop."""

from __future__ import annotations

import uvloop

from tiketi_local.toss.__main__ import main

if __name__ == "__main__":
    uvloop.install()
    main()
