"""The simulator as a web application: wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from tiketi_local.toss import api, control, window
from tiketi_local.toss.simulator import SIMULATOR, Simulator


def create_app(simulator: Simulator) -> web.Application:
    """API, payment window, webhooks and switches of one simulator."""
    app = web.Application(middlewares=[api.edge])
    app[SIMULATOR] = simulator
    for routes in (api.routes, window.routes, control.routes):
        app.add_routes(routes)
    app.cleanup_ctx.append(_webhooks)
    return app


async def _webhooks(app: web.Application) -> AsyncIterator[None]:
    simulator = app[SIMULATOR]
    async with simulator.webhooks.running():
        clock = asyncio.create_task(_keep_time(simulator))
        yield
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)


async def _keep_time(simulator: Simulator) -> None:
    """Payments expire by themselves, and are told of then."""
    while True:
        simulator.vendor.expire(simulator.clock())
        await asyncio.sleep(1)
