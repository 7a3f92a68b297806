"""Bad input through the front door: a problem document with a stable code, never a 500, nothing half done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import aiohttp
import pytest

from tiketi_local.crowd.client import BuyerClient
from tiketi_local.crowd.crowd import Crowd
from tiketi_local.demo import until_armed
from tiketi_local.world import World
from tiketi_runtime.kubernetes import Cluster

from . import sales

NAME = "bad-input"
EVENT = f"/events/demo/{NAME}"


@pytest.fixture(scope="module")
async def crowd(world: World, cluster: Cluster) -> AsyncIterator[Crowd]:
    await sales.put_on_sale(cluster, NAME, timedelta(seconds=3))
    await until_armed(cluster, NAME)
    async with sales.crowd_for(world, NAME, 2) as crowd:
        await crowd.sign_up()
        yield crowd


@pytest.fixture(scope="module")
async def http(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(world.url("front")) as session:
        yield session


async def assert_problem(answer: aiohttp.ClientResponse, status: int, code: str | None = None) -> None:
    document = await answer.json(content_type="application/problem+json")
    assert answer.status == status, document
    assert document["status"] == status
    assert document["code"]
    if code is not None:
        assert document["code"] == code


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/auth/sign-up", b"{", 400),
        ("/auth/sign-up", b"[]", 422),
        ("/auth/sign-up", b'{"email": 1, "password": [], "name": null}', 422),
        ("/auth/sign-up", b'{"email": "a\\u0000@example.com", "password": "long enough it is", "name": "x"}', 422),
        ("/auth/sign-up", b"\xff\xfe", 400),
        ("/auth/sign-up", b'{"a":' * 3000, 400),
        ("/auth/log-in", b'{"email": "nobody@example.com", "password": "wrong password"}', 401),
        ("/auth/refresh", b'{"refreshToken": "' + b"x" * 200 + b'"}', 401),
        ("/auth/sign-up", b'"' + b"x" * 70_000 + b'"', 413),
    ],
)
async def test_auth_answers_bad_bodies_with_a_problem(
    http: aiohttp.ClientSession, path: str, body: bytes, status: int
) -> None:
    async with http.post(path, data=body, headers={"content-type": "application/json"}) as answer:
        await assert_problem(answer, status)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{EVENT}/queue/public/join"),
        ("POST", f"{EVENT}/queue/public/claim"),
        ("POST", f"{EVENT}/holds"),
        ("POST", f"{EVENT}/orders"),
        ("GET", "/me/tickets"),
        ("POST", "/payments/attempts"),
        ("POST", "/payments/confirm"),
    ],
)
@pytest.mark.parametrize("token", ["", "nonsense", "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.", "expired"])
async def test_no_wrong_or_malformed_token_passes(
    http: aiohttp.ClientSession, crowd: Crowd, method: str, path: str, token: str
) -> None:
    if token == "expired":
        header, payload, signature = crowd.buyers[0].client.token.split(".")
        token = f"{header}.{payload[:-4]}AAAA.{signature}"
    headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.request(method, path, json={}, headers=headers) as answer:
        await assert_problem(answer, 401)


async def test_an_unknown_event_is_404_everywhere(http: aiohttp.ClientSession, crowd: Crowd) -> None:
    headers = {"Authorization": f"Bearer {crowd.buyers[0].client.token}"}
    for method, path in [
        ("GET", "/events/demo/nowhere"),
        ("GET", "/events/demo/nowhere/seats"),
        ("GET", "/events/demo/nowhere/queue/public/state"),
        ("POST", "/events/demo/nowhere/queue/public/join"),
        ("GET", f"{EVENT}/queue/nosuchline/state"),
        ("GET", "/orders/00000000-0000-0000-0000-000000000000"),
        ("GET", "/nowhere"),
        ("GET", "/internal/orders/close"),
    ]:
        async with http.request(method, path, headers=headers) as answer:
            await assert_problem(answer, 404)


async def test_a_foreign_receipt_or_pass_is_refused(http: aiohttp.ClientSession, crowd: Crowd) -> None:
    anna, boris = (buyer.client for buyer in crowd.buyers)
    receipt = (await anna.join("public"))["receipt"]
    await boris.join("public")
    async with http.post(
        f"{EVENT}/queue/public/claim", json={"receipt": receipt}, headers={"Authorization": f"Bearer {boris.token}"}
    ) as answer:
        assert answer.status in (401, 403)
        await assert_problem(answer, answer.status)
    admission = await _admitted(anna, receipt)
    async with http.post(
        f"{EVENT}/holds",
        json={"section": "A", "quantity": 1},
        headers={"Authorization": f"Bearer {boris.token}", "Tiketi-Pass": admission},
    ) as answer:
        assert answer.status in (401, 403)
        await assert_problem(answer, answer.status)


@pytest.mark.parametrize("action", ["claim", "heartbeat", "leave"])
async def test_a_body_nested_without_end_is_no_json_of_ours(
    http: aiohttp.ClientSession, crowd: Crowd, action: str
) -> None:
    headers = {"Authorization": f"Bearer {crowd.buyers[0].client.token}", "content-type": "application/json"}
    async with http.post(f"{EVENT}/queue/public/{action}", data=b'{"a":' * 3000, headers=headers) as answer:
        await assert_problem(answer, 400, "malformed-json")


async def test_holds_of_nonsense_are_refused_and_hold_nothing(http: aiohttp.ClientSession, crowd: Crowd) -> None:
    anna = crowd.buyers[0].client
    admission = await _admitted(anna, (await anna.join("public"))["receipt"])
    headers = {"Authorization": f"Bearer {anna.token}", "Tiketi-Pass": admission}
    for body in [
        {},
        {"seats": []},
        {"seats": ["A-99-01"]},
        {"seats": ["A-01-01", "A-01-01"]},
        {"seats": ["A-01-01"] * 200},
        {"section": "NOPE", "quantity": 1},
        {"section": "A", "quantity": 0},
        {"section": "A", "quantity": 10_000},
        {"section": "A", "quantity": "two"},
        {"seats": ["A-01-01"], "price": 1},
    ]:
        async with http.post(f"{EVENT}/holds", json=body, headers=headers) as answer:
            assert 400 <= answer.status < 500, body
            await assert_problem(answer, answer.status)
    hold = await anna.hold(admission, "A", 1)
    assert len(hold["seats"]) == 1


async def _admitted(client: BuyerClient, receipt: str) -> str:
    admission = ""

    async def is_admitted() -> bool:
        nonlocal admission
        answer = await client.claim("public", receipt)
        admission = str(answer.get("pass", ""))
        return bool(answer["status"] == "admitted")

    await sales.until(is_admitted, "the buyer is admitted")
    return admission
