"""/healthz, /readyz and /metrics of the operator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tiketi_operator.rounds import Rounds
from tiketi_operator.settings import OperatorSettings

_MISSED_ROUNDS = 4


@asynccontextmanager
async def serve_health(rounds: Rounds, settings: OperatorSettings) -> AsyncIterator[None]:
    """Answer for as long as the context is entered.

    An operator whose watchers died silently still looks alive: what counts is that every event is visited.
    """

    async def healthz(_: web.Request) -> web.Response:
        silence = rounds.longest_silence()
        if silence > settings.longest_sleep * _MISSED_ROUNDS:
            return web.Response(status=503, text=f"an event was not visited for {silence.total_seconds():.0f} s")
        return web.Response(text="ok")

    app = web.Application()
    app.add_routes([web.get(path, healthz) for path in ("/healthz", "/readyz")])  # nobody sends it requests
    app.add_routes([web.get("/metrics", _metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        yield
    finally:
        await runner.cleanup()


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})
