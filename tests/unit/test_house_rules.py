"""Rules of the house that no linter knows, checked on the code itself."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import tiketi_services

ROUTES = [
    "tiketi_services.auth.routes",
    "tiketi_services.payment.routes",
    "tiketi_services.stats.routes",
    "tiketi_services.ticket.sales.routes",
    "tiketi_services.ticket.queue.routes",
    "tiketi_services.ticket.queue.lottery.routes",
    "tiketi_services.ticket.orders.routes",
    "tiketi_services.ticket.orders.map_routes",
    "tiketi_services.ticket.tickets.routes",
    "tiketi_services.ticket.refunds.routes",
    "tiketi_services.ticket.waitlist.routes",
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


@pytest.mark.parametrize("module", ROUTES)
def test_what_services_ask_each_other_is_in_no_public_document(module: str) -> None:
    router: APIRouter = importlib.import_module(module).router
    paths = [route.path for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema]
    assert [path for path in paths if path.startswith("/internal")] == []


def test_migrations_of_a_package_have_numbers_of_their_own() -> None:
    """They run in the order of their names: of two with one number nobody sees which is first."""
    services = Path(tiketi_services.__path__[0])
    used = Counter((path.parent, path.name.split("_")[0]) for path in services.rglob("sql/migrations/*.sql"))
    assert used
    assert [f"{folder.relative_to(services)}: {number}" for (folder, number), n in used.items() if n > 1] == []
