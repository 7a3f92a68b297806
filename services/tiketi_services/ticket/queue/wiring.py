"""Brings the line up: scripts, proofs, draws, recovery, the serving of lines, live connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from fastapi import FastAPI

from tiketi_runtime.background import every, running
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import Mac, TokenSigner, TokenVerifier
from tiketi_services.ticket.queue.admissions import Admissions
from tiketi_services.ticket.queue.admitter import Admitter
from tiketi_services.ticket.queue.gates.codes import PresaleCodes
from tiketi_services.ticket.queue.gates.crowding import Crowding
from tiketi_services.ticket.queue.gates.gate import WorkGate
from tiketi_services.ticket.queue.lottery.drawing import open_lottery
from tiketi_services.ticket.queue.notes import Notes
from tiketi_services.ticket.queue.open_door import OpenDoor
from tiketi_services.ticket.queue.pace.governor import STEP, Governor
from tiketi_services.ticket.queue.pace.rates import Rates
from tiketi_services.ticket.queue.places.states import States
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.push.live import Live
from tiketi_services.ticket.queue.push.sockets import PULSE
from tiketi_services.ticket.queue.recording import ClaimRecorder
from tiketi_services.ticket.queue.recovery.clocks import DATABASE_STEP, Clocks
from tiketi_services.ticket.queue.recovery.clocks import STEP as CLOCK_STEP
from tiketi_services.ticket.queue.recovery.limits import Limits
from tiketi_services.ticket.queue.recovery.marks import Marks
from tiketi_services.ticket.queue.recovery.rebuild import Rebuild
from tiketi_services.ticket.queue.recovery.recoveries import Recoveries
from tiketi_services.ticket.queue.repository import ClaimArchive, Lines, UnrecordedClaims
from tiketi_services.ticket.queue.usecases import Queue
from tiketi_services.ticket.sales.sales import Sales
from tiketi_services.ticket.settings import TicketSettings

PACKAGE: Final = "tiketi_services.ticket.queue"
"""Whose migrations this module needs."""
_SECOND = timedelta(seconds=1)
_PHASE_INTERVAL = timedelta(milliseconds=100)
_RECOVERY_INTERVAL = timedelta(milliseconds=100)
_LIMITS_INTERVAL = timedelta(milliseconds=500)
_REAP_INTERVAL = timedelta(seconds=2)
_REVIEW_INTERVAL = timedelta(seconds=10)


@asynccontextmanager
async def open_queue(
    app: FastAPI,
    settings: TicketSettings,
    pool: Pool,
    redis: Redis,
    sales: Sales,
    codes: PresaleCodes,
    access_tokens: TokenVerifier,
    signer: TokenSigner,
) -> AsyncIterator[Live]:
    """Serve all lines while the block runs.

    Sets ``queue``, ``trusted_proxies``, ``states``, ``admissions``, ``lottery`` and ``recoveries`` on ``app.state``.
    """
    async with open_lottery(settings, pool, redis, sales, signer) as lottery:
        marks, mac = Marks(pool), Mac.from_file(settings.queue_keys_file)
        recoveries = Recoveries(Rebuild(redis), marks, sales, lottery.draws.of)
        lines, limits = Lines(redis, recoveries.noticed), Limits(redis, marks, sales)
        recorder = ClaimRecorder(ClaimArchive(pool), UnrecordedClaims(redis), lines)
        crowding = Crowding(redis)
        gate, door = WorkGate(mac, crowding), OpenDoor(pool, sales)
        queue = Queue(lines, Proofs(mac), lottery.draws, codes, gate, limits, recorder, door, sales)
        states = States(lines, lottery.draws, settings.state_interval)
        admitter = Admitter(sales, lines, lottery.draws, recorder)
        governor = Governor(sales, Rates(redis), app.state.answers)
        clocks = Clocks(redis, sales, Notes(redis), pool)
        live = Live(settings, sales, states, queue, recoveries, access_tokens)
        app.state.queue = queue
        app.state.trusted_proxies = settings.trusted_proxies
        app.state.states = states
        app.state.admissions = Admissions(lines, queue.proofs, recorder, door)
        app.state.lottery = lottery
        app.state.recoveries = recoveries
        tasks = running(
            every(_RECOVERY_INTERVAL, "recovering", recoveries.step),
            every(_LIMITS_INTERVAL, "raising limits", limits.keep_ahead),
            every(settings.serve_interval, "serving", admitter.serve),
            every(_SECOND, "sweeping", admitter.sweep),
            every(settings.record_interval, "recording claims", admitter.record),
            every(_SECOND, "counting places by network", crowding.tell),
            every(STEP, "setting the rate", governor.step),
            every(CLOCK_STEP, "comparing clocks", clocks.step),
            every(DATABASE_STEP, "comparing PostgreSQL's clock", clocks.step_databases),
            every(settings.state_interval, "telling the state", live.tick, is_punctual=True),
            every(_PHASE_INTERVAL, "telling phase changes", live.cross),
            every(settings.heartbeat_interval, "heartbeats", live.beat),
            every(PULSE, "pinging", live.sockets.pulse, is_punctual=True),
            every(_REAP_INTERVAL, "closing silent connections", live.sockets.reap),
            every(_SECOND, "forgetting idle lines", states.forget_idle),
            every(_SECOND, "closing expired connections", live.expire),
            every(_REVIEW_INTERVAL, "reviewing who listens", live.watching.review),
        )
        async with tasks:
            yield live
