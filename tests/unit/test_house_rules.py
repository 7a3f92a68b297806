"""Rules of the house that no linter knows, checked on the code itself."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

ROUTES = [
    "tiketi_services.auth.routes",
    "tiketi_services.payment.routes",
    "tiketi_services.stats.routes",
    "tiketi_services.ticket.sales.routes",
    "tiketi_services.ticket.queue.routes",
    "tiketi_services.ticket.queue.lottery_routes",
    "tiketi_services.ticket.orders.routes",
]


def dependencies(dependant: Dependant) -> Iterator[Dependant]:
    for inner in dependant.dependencies:
        yield inner
        yield from dependencies(inner)


@pytest.mark.parametrize("module", ROUTES)
def test_nothing_on_the_way_of_a_request_runs_in_a_thread(module: str) -> None:
    """FastAPI sends a plain function through its thread pool: 250 us a request for nothing."""
    router: APIRouter = importlib.import_module(module).router
    for route in router.routes:
        assert isinstance(route, APIRoute)
        calls = [route.endpoint, *(inner.call for inner in dependencies(route.dependant))]
        slow = [call.__name__ for call in calls if call is not None and not inspect.iscoroutinefunction(call)]
        assert not slow, f"{module}: make these async: {slow}"
