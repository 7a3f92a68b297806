"""The simulator as a web application: wiring only."""

from __future__ import annotations

from aiohttp import web

from tiketi_local.toss import api, control, window
from tiketi_local.toss.simulator import SIMULATOR, Simulator


def create_app(simulator: Simulator) -> web.Application:
    """API, payment window and switches of one simulator."""
    app = web.Application(middlewares=[api.edge])
    app[SIMULATOR] = simulator
    for routes in (api.routes, window.routes, control.routes):
        app.add_routes(routes)
    return app
