"""Routes that are called without the framework: nobody outside can tell the difference."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tests.integration.serving import serve_app
from yarl import URL

from tiketi_runtime.edge import JsonBytes, body_of
from tiketi_runtime.errors import Forbidden, TooManyRequests
from tiketi_runtime.web import create_app

LIMIT = 1000
ERRORS = {
    "ours": Forbidden("No.", because="of you"),
    "limit": TooManyRequests("Too many.", retryAfter=1.2),
    "outage": asyncpg.ConnectionDoesNotExistError("internals"),
    "bug": LookupError("internals"),
}

router = APIRouter(prefix="/things/{kind}/{name}")


@router.post("/told")
async def told(request: Request) -> Response:
    """What arrived."""
    return JSONResponse({"body": (await body_of(request)).decode("latin-1"), **request.path_params}, 201)


@router.get("/raised")
async def raised(request: Request) -> Response:
    raise ERRORS[request.path_params["kind"]]


@router.get("/bytes")
async def as_bytes(request: Request) -> Response:
    return JsonBytes(b"{}", [(b"cache-control", b"no-store")])


@router.get("/nothing")
async def nothing(request: Request) -> Response:
    return Response(status_code=204)


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture(scope="module")
async def urls() -> AsyncIterator[tuple[str, str]]:
    """The same routes on their usual way, and on the short one."""
    usual = create_app("usual", lifespan=_nothing, routers=[router], max_body_bytes=LIMIT)
    short = create_app("short", lifespan=_nothing, routers=[router], max_body_bytes=LIMIT, shortcut=router)
    async with serve_app(usual) as first, serve_app(short) as second:
        yield first, second


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x" * 400


REQUESTS = {
    "a body": ("POST", "/things/a/b/told", b"hello"),
    "no body": ("POST", "/things/a/b/told", None),
    "a body in chunks that is too large": ("POST", "/things/a/b/told", _chunks),
    "a body that is too large": ("POST", "/things/a/b/told", b"x" * (LIMIT + 1)),
    "a body as large as may be": ("POST", "/things/a/b/told", b"x" * LIMIT),
    "escaped names": ("POST", "/things/%C3%A9/b%20c/told", None),
    "a slash in a name": ("POST", "/things/a%2Fb/c/told", None),
    "bytes": ("GET", "/things/a/b/bytes", None),
    "no content": ("GET", "/things/a/b/nothing", None),
    "an error of ours": ("GET", "/things/ours/b/raised", None),
    "a limit": ("GET", "/things/limit/b/raised", None),
    "an outage": ("GET", "/things/outage/b/raised", None),
    "a bug": ("GET", "/things/bug/b/raised", None),
    "another method": ("PUT", "/things/a/b/told", None),
    "HEAD": ("HEAD", "/things/a/b/bytes", None),
    "an unknown path that ends alike": ("POST", "/others/a/b/told", None),
    "a path with too many parts": ("POST", "/things/a/b/c/told", None),
    "a path with an empty part": ("POST", "/things//b/told", None),
    "a slash at the end": ("POST", "/things/a/b/told/", None),
}


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_the_short_way_answers_what_the_usual_one_does(
    urls: tuple[str, str], method: str, path: str, body: object
) -> None:
    seen = []
    async with aiohttp.ClientSession(requote_redirect_url=False) as http:
        for url in urls:
            data = body() if callable(body) else body
            request = http.request(
                method, URL(url + path, encoded=True), data=data, headers={"x-request-id": "r1"},
                allow_redirects=False,
            )  # fmt: skip
            async with request as answer:
                headers = {name.lower(): value.replace(url, "") for name, value in answer.headers.items()}
                headers.pop("date")
                seen.append((answer.status, headers, await answer.read()))
    assert seen[0] == seen[1]
    assert seen[0][1]["x-request-id"] == "r1"


async def test_every_request_has_an_id_of_its_own(urls: tuple[str, str]) -> None:
    ids = set()
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            async with http.get(f"{urls[1]}/things/a/b/bytes") as answer:
                ids.add(answer.headers["x-request-id"])
    assert len(ids) == 3


@pytest.mark.parametrize(("kind", "status"), [("ours", "403"), ("bug", "500")])
async def test_answers_are_timed_by_route_and_status(urls: tuple[str, str], kind: str, status: str) -> None:
    labels = {"service": "short", "method": "GET", "route": "/things/{kind}/{name}/raised", "status": status}

    def count() -> float:
        return REGISTRY.get_sample_value("tiketi_http_request_seconds_count", labels) or 0.0

    before = count()
    async with aiohttp.ClientSession() as http, http.get(f"{urls[1]}/things/{kind}/b/raised"):
        pass
    assert count() == before + 1


async def test_the_documents_of_both_are_the_same(urls: tuple[str, str]) -> None:
    paths = []
    async with aiohttp.ClientSession() as http:
        for url in urls:
            async with http.get(f"{url}/openapi.json") as answer:
                paths.append((await answer.json())["paths"])
    assert paths[0] == paths[1]
    assert "/things/{kind}/{name}/told" in paths[1]


def _wrong_routers() -> Iterator[APIRouter]:
    takes_more, ends_in_a_name, is_plain = APIRouter(), APIRouter(), APIRouter()

    @takes_more.get("/x")
    async def _more(request: Request, name: str) -> None: ...

    @ends_in_a_name.get("/x/{name}")
    async def _name(request: Request) -> None: ...

    @is_plain.get("/x")
    def _plain(request: Request) -> None: ...

    yield from (takes_more, ends_in_a_name, is_plain)


@pytest.mark.parametrize("wrong", [*_wrong_routers()], ids=["takes more", "ends in a name", "a plain function"])
def test_a_route_that_needs_the_framework_is_refused(wrong: APIRouter) -> None:
    with pytest.raises(ValueError, match="/x"):
        create_app("wrong", lifespan=_nothing, routers=[wrong], shortcut=wrong)
