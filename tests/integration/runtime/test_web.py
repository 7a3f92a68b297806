"""What is alike in all services, asked over a real connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict
from redis.exceptions import ConnectionError as RedisConnectionError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from tests.integration.serving import serve_app

from tiketi_runtime.errors import TooManyRequests
from tiketi_runtime.web import create_app

LIMIT = 8000
SECRET = "the internals of the house"

_ERRORS = {
    "bug": LookupError(SECRET),
    "os": ConnectionRefusedError(SECRET),
    "timeout": TimeoutError(SECRET),
    "redis": RedisConnectionError(SECRET),
    "postgres": asyncpg.ConnectionDoesNotExistError(SECRET),
    "pool": asyncpg.InterfaceError(f"pool is closing: {SECRET}"),
    "call": asyncpg.InterfaceError(SECRET),
    "shutdown": asyncpg.AdminShutdownError(SECRET),
    "nul": asyncpg.CharacterNotInRepertoireError(SECRET),
    "half-a-character": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    "limit": TooManyRequests("Too many.", retryAfter=1.2),
}


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    age: int = 0


router = APIRouter()


@router.post("/echo")
async def _echo(body: Body) -> Body:
    return body


@router.post("/raw")
async def _raw(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@router.get("/raise/{kind}")
async def _raise(kind: str) -> None:
    raise _ERRORS[kind]


@router.get("/half")
async def _half() -> Response:
    async def lines() -> AsyncIterator[str]:
        yield "one"
        raise LookupError(SECRET)

    return StreamingResponse(lines())


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


async def _away() -> None:
    raise ConnectionRefusedError(SECRET)


async def _hangs() -> None:
    await asyncio.sleep(60)


async def _fine() -> None:
    return None


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        assert self.body["status"] == self.status
        assert SECRET not in str(self.body)
        assert self.headers["x-request-id"]
        return str(self.body["code"])


class Client:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self._session.request(method, path, **options) as answer:
            is_json = "json" in answer.headers.get("content-type", "") and method != "HEAD"
            return Answer(
                answer.status, answer.headers, await (answer.json(content_type=None) if is_json else answer.text())
            )

    async def post_json(self, text: bytes, path: str = "/echo") -> Answer:
        return await self.ask("POST", path, data=text, headers={"content-type": "application/json"})


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[Client]:
    app = create_app("test", lifespan=_nothing, routers=[router], checks={"fine": _fine}, max_body_bytes=LIMIT)
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        yield Client(session)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("bug", 500, "internal"),
        ("os", 503, "unavailable"),
        ("timeout", 503, "unavailable"),
        ("redis", 503, "unavailable"),
        ("postgres", 503, "unavailable"),
        ("pool", 503, "unavailable"),
        ("call", 500, "internal"),
        ("shutdown", 503, "unavailable"),
        ("nul", 422, "unstorable-text"),
        ("half-a-character", 422, "unstorable-text"),
        ("limit", 429, "too-many-requests"),
    ],
)
async def test_every_error_is_a_problem_that_tells_no_internals(
    client: Client, kind: str, status: int, code: str
) -> None:
    answer = await client.ask("GET", f"/raise/{kind}")
    assert (answer.status, answer.code) == (status, code)


async def test_a_retryable_problem_says_when_in_whole_seconds(client: Client) -> None:
    assert (await client.ask("GET", "/raise/limit")).headers["retry-after"] == "2"
    assert (await client.ask("GET", "/raise/redis")).headers["retry-after"] == "1"


async def test_a_bug_is_logged_once_with_the_request_id(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    await client.ask("GET", "/raise/bug", headers={"x-request-id": "r-77"})
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.__dict__["request_id"] for record in errors] == ["r-77"]
    assert errors[0].exc_info is not None


async def test_an_error_after_the_answer_began_breaks_the_connection_off(client: Client) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask("GET", "/half")


async def test_an_unknown_path_and_a_wrong_method_are_problems(client: Client) -> None:
    missing = await client.ask("GET", "/nowhere")
    assert (missing.status, missing.code) == (404, "not-found")
    wrong = await client.ask("DELETE", "/echo")
    assert (wrong.status, wrong.code, wrong.headers["allow"]) == (405, "method-not-allowed", "POST")


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b'{"name": "\xc3\x28"}',
        b'{"name": "a", "age": ' + b"9" * 5000 + b"}",
        b"[" * 7000,
        b'{"name": "a", "age": 1e999}',
        b'{"name": "a", "age": NaN}',
        b'{"name": "a", "\\ud800": 1}',
        b'{"name": 7}',
        b"[]",
        b"null",
        b'{"name": "a", "other": 1}',
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_and_never_a_server_error(client: Client, text: bytes) -> None:
    answer = await client.post_json(text)
    assert (answer.status, answer.code) in {(400, "malformed-json"), (422, "invalid-request")}


async def test_a_body_that_is_not_declared_as_json_is_refused(client: Client) -> None:
    answer = await client.ask("POST", "/echo", data=b'{"name": "a"}', headers={"content-type": "text/plain"})
    assert (answer.status, answer.code) == (422, "invalid-request")


async def test_a_refusal_names_the_field(client: Client) -> None:
    answer = await client.post_json(b'{"name": "a", "age": "x"}')
    assert answer.code == "invalid-request"
    assert answer.body["errors"][0]["field"] == "age"
    assert answer.body["detail"].startswith("age: ")


async def test_a_body_with_many_faults_gets_a_short_answer(client: Client) -> None:
    keys = ",".join(f'"{n}":1' for n in range(100))
    answer = await client.post_json(f'{{"name":"a",{keys}}}'.encode())
    assert len(answer.body["errors"]) == 10


@pytest.mark.parametrize("path", ["/echo", "/raw"])
async def test_a_body_beyond_the_limit_is_refused(client: Client, path: str) -> None:
    answer = await client.post_json(b" " * (LIMIT + 1), path)
    assert (answer.status, answer.code) == (413, "body-too-large")
    assert (await client.post_json(b'{"name": "a"}', "/echo")).status == 200


@pytest.mark.parametrize("path", ["/echo", "/raw"])
async def test_a_chunked_body_beyond_the_limit_is_refused(client: Client, path: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(LIMIT // 100 + 1):
            yield b" " * 100

    answer = await client.ask("POST", path, data=chunks(), headers={"content-type": "application/json"})
    assert (answer.status, answer.code) == (413, "body-too-large")


async def test_a_body_of_exactly_the_limit_is_taken(client: Client) -> None:
    assert (await client.post_json(b" " * LIMIT, "/raw")).body == str(LIMIT)


async def test_the_request_id_of_the_front_door_is_kept(client: Client) -> None:
    answer = await client.ask("GET", "/nowhere", headers={"x-request-id": "abc"})
    assert answer.headers["x-request-id"] == "abc"


async def test_metrics_count_requests_by_route_and_not_by_path(client: Client) -> None:
    await client.ask("GET", "/nowhere/a-path-nobody-knows")
    await client.ask("GET", "/raise/limit")
    text = (await client.ask("GET", "/metrics")).body
    assert 'tiketi_http_request_seconds_count{method="GET",route="/raise/{kind}",service="test",status="429"}' in text
    assert "a-path-nobody-knows" not in text


async def test_a_head_request_is_answered_without_body(client: Client) -> None:
    assert (await client.ask("HEAD", "/healthz")).status == 200
    assert (await client.ask("HEAD", "/metrics")).body == ""


async def test_ready_names_what_is_away_and_not_why() -> None:
    checks = {"database": _away, "slow": _hangs, "fine": _fine}
    app = create_app("test", lifespan=_nothing, routers=[], checks=checks)
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        answer = await Client(session).ask("GET", "/readyz")
        healthy = await Client(session).ask("GET", "/healthz")
    assert answer.status == 503
    assert answer.body == {"database": "ConnectionRefusedError", "slow": "TimeoutError", "fine": "ok"}
    assert healthy.status == 200


async def test_an_application_that_cannot_start_says_so() -> None:
    @asynccontextmanager
    async def broken(_: FastAPI) -> AsyncIterator[None]:
        await _away()
        yield

    with pytest.raises(RuntimeError, match="did not start"):
        async with serve_app(create_app("test", lifespan=broken, routers=[])):
            pass
