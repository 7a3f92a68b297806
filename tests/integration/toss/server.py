"""A simulator served in the test's own event loop, with a clock that tests may move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from tiketi_local.toss.app import create_app
from tiketi_local.toss.journal import Journal
from tiketi_local.toss.simulator import Simulator

SECRET_KEY = "test_sk_zXLkKEypNArWmo50nX3lmeaxYG5R"
CLIENT_KEY = "test_ck_D5GePWvyJnrK0W0k6q8gLzN97Eoq"


@dataclass
class MovableClock:
    """Wall clock plus what tests have added."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, by: timedelta) -> None:
        self.ahead += by


@dataclass
class RunningVendor:
    """A simulator that listens at ``url``."""

    url: str
    simulator: Simulator
    clock: MovableClock


@asynccontextmanager
async def serve_vendor(journal_path: Path | None = None) -> AsyncIterator[RunningVendor]:
    """Run a simulator with the keys above."""
    clock = MovableClock()
    with Journal(journal_path) as journal:
        simulator = Simulator.over(journal, clock, SECRET_KEY, CLIENT_KEY)
        runner = web.AppRunner(create_app(simulator), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield RunningVendor(f"http://{host}:{port}", simulator, clock)
        finally:
            await runner.cleanup()
