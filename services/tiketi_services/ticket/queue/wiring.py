"""Brings the line up: scripts, proofs, the serving of lines, live connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from fastapi import FastAPI

from tiketi_runtime.background import every, running
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import Mac, TokenVerifier
from tiketi_services.ticket.queue.admissions import Admissions
from tiketi_services.ticket.queue.admitter import Admitter
from tiketi_services.ticket.queue.live import Live
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.repository import Lines, UnrecordedClaims
from tiketi_services.ticket.queue.states import States
from tiketi_services.ticket.queue.usecases import Queue
from tiketi_services.ticket.sales.sales import Sales
from tiketi_services.ticket.settings import TicketSettings

PACKAGE: Final = "tiketi_services.ticket.queue"
"""Whose migrations this module needs."""
_SWEEP_INTERVAL = timedelta(seconds=1)
_PHASE_INTERVAL = timedelta(milliseconds=100)
_REAP_INTERVAL = timedelta(seconds=2)


@asynccontextmanager
async def open_queue(
    app: FastAPI, settings: TicketSettings, pool: Pool, redis: Redis, sales: Sales, access_tokens: TokenVerifier
) -> AsyncIterator[Live]:
    """Serve all lines while the block runs. Sets ``queue``, ``states`` and ``admissions`` on ``app.state``."""
    lines = Lines(redis)
    proofs = Proofs(Mac.from_file(settings.queue_keys_file))
    queue = Queue(lines, proofs)
    states = States(lines, settings.state_interval)
    admitter = Admitter(sales, lines, UnrecordedClaims(redis, pool))
    live = Live(settings, sales, states, queue, access_tokens)
    app.state.queue = queue
    app.state.states = states
    app.state.admissions = Admissions(lines, proofs)
    tasks = running(
        every(settings.serve_interval, "serving", admitter.serve),
        every(_SWEEP_INTERVAL, "sweeping", admitter.sweep),
        every(settings.record_interval, "recording claims", admitter.record),
        every(settings.state_interval, "telling the state", live.tick),
        every(_PHASE_INTERVAL, "telling phase changes", live.cross),
        every(settings.heartbeat_interval, "heartbeats", live.beat),
        every(_REAP_INTERVAL, "closing silent connections", live.reap),
    )
    async with tasks:
        try:
            yield live
        finally:
            await live.server.shutdown()
