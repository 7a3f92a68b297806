"""Signing up and logging in."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import asyncpg
import pytest
from redis.asyncio import Redis
from tests.integration.auth.conftest import PASSWORD, Client, new_email
from tests.integration.serving import serve_app

from tiketi_services.auth.app import build_app
from tiketi_services.auth.settings import AuthSettings


async def test_who_signs_up_can_log_in_and_is_known(client: Client) -> None:
    email = new_email()
    signed_up = await client.sign_up(email, name=" 안나 ")
    assert signed_up.status == 201
    tokens = await client.log_in(f"  {email.upper()} ")
    assert tokens.status == 200
    assert set(tokens.body) == {"buyer", "accessToken", "refreshToken", "expiresIn"}
    assert set(signed_up.body) == set(tokens.body)
    assert tokens.body["expiresIn"] == 900
    assert tokens.headers["cache-control"] == "no-store"
    me = await client.ask("GET", "/auth/me", token=tokens.body["accessToken"])
    assert me.body == {
        "buyer": signed_up.body["buyer"],
        "email": email,
        "name": "안나",
        "emailVerified": False,
        "roles": [{"role": "buyer", "namespaces": ["*"]}],
    }


async def test_an_address_signs_up_once_however_it_is_spelled(client: Client) -> None:
    email = new_email()
    answers = await asyncio.gather(*(client.sign_up(spelling) for spelling in (email, email.upper(), f" {email} ")))
    assert sorted(answer.status for answer in answers) == [201, 409, 409]
    assert {answer.body["code"] for answer in answers if answer.status == 409} == {"email-taken"}


async def test_wrong_password_and_unknown_address_get_the_same_answer(client: Client) -> None:
    email = new_email()
    await client.sign_up(email)
    wrong = await client.log_in(email, "not the right password")
    unknown = await client.log_in(new_email())
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body
    assert wrong.body["code"] == "wrong-credentials"


async def test_log_ins_that_fail_too_often_have_to_wait_and_others_do_not(client: Client) -> None:
    email, other = new_email(), new_email()
    await client.sign_up(email)
    await client.sign_up(other)
    failed = [await client.log_in(email, "not the right password") for _ in range(4)]
    assert [answer.status for answer in failed] == [401, 401, 401, 429]
    assert failed[-1].body["code"] == "too-many-attempts"
    assert failed[-1].headers["retry-after"] == "1"
    assert (await client.log_in(email)).status == 429
    assert (await client.log_in(other)).status == 200
    await asyncio.sleep(1.1)
    assert (await client.log_in(email)).status == 200


async def test_a_log_in_that_succeeds_forgives_those_that_failed(client: Client) -> None:
    email = new_email()
    await client.sign_up(email)
    for _ in range(3):
        assert (await client.log_in(email, "not the right password")).status == 401
        assert (await client.log_in(email, "not the right password")).status == 401
        assert (await client.log_in(email)).status == 200


async def test_unknown_addresses_have_to_wait_as_known_ones_do(client: Client) -> None:
    email = new_email()
    assert [(await client.log_in(email)).status for _ in range(4)] == [401, 401, 401, 429]


async def test_a_hash_made_with_old_parameters_is_renewed_at_log_in(client: Client, settings: AuthSettings) -> None:
    email = new_email()
    await client.sign_up(email)
    newer = settings.model_copy(update={"argon2_memory_kib": 128})
    async with serve_app(build_app(newer)) as url, aiohttp.ClientSession(url) as session:
        assert (await Client(session, url).log_in(email)).status == 200
    connection = await asyncpg.connect(settings.database_url)
    stored = await connection.fetchval("SELECT password_hash FROM accounts WHERE email = $1", email)
    await connection.close()
    assert stored.startswith("$argon2id$v=19$m=128,")
    assert (await client.log_in(email)).status == 200


async def test_a_storm_of_log_ins_gets_429_and_the_rest_is_served(settings: AuthSettings) -> None:
    narrow = settings.model_copy(
        update={"argon2_memory_kib": 19_456, "argon2_time_cost": 2, "hashing_workers": 1, "hashing_waiting_room": 4}
    )
    async with serve_app(build_app(narrow)) as url, aiohttp.ClientSession(url) as session:
        client = Client(session, url)
        answers = await asyncio.gather(*(client.sign_up(new_email()) for _ in range(40)))
    assert {answer.status for answer in answers} == {201, 429}
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.body["code"] for answer in refused} == {"busy"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


GOOD = {"email": "anna@example.com", "password": PASSWORD, "name": "Anna"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "anna"}, "email"),
        ({"email": 7}, "email"),
        ({"email": None}, "email"),
        ({"email": "an\0na@example.com"}, "email"),
        ({"email": "a" * 400 + "@example.com"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": "1234567890\0"}, "password"),
        ({"password": "123456789\ud800"}, "password"),
        ({"password": [PASSWORD]}, "password"),
        ({"name": ""}, "name"),
        ({"name": "\0"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"admin": True}, "admin"),
        ({"roles": [{"role": "sre", "namespaces": ["*"]}]}, "roles"),
    ],
)
async def test_a_bad_field_is_named_and_its_value_never_repeated(
    client: Client, change: dict[str, object], field: str
) -> None:
    answer = await client.post("/auth/sign-up", **{**GOOD, **change})
    assert answer.status == 422
    assert answer.body["code"] == "invalid-request"
    assert [error["field"] for error in answer.body["errors"]] == [field]
    assert PASSWORD not in str(answer.body)


@pytest.mark.parametrize("path", ["/auth/sign-up", "/auth/log-in", "/auth/refresh", "/auth/log-out"])
@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 5000, b"{}"])
async def test_a_body_that_is_none_of_ours_is_a_problem(client: Client, path: str, text: bytes) -> None:
    async with client.session.post(path, data=text, headers={"content-type": "application/json"}) as answer:
        assert answer.status in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"


async def test_no_personal_data_reaches_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    email, name = new_email(), "Annabella"
    with caplog.at_level(logging.DEBUG, "tiketi_services"), caplog.at_level(logging.DEBUG, "tiketi_runtime"):
        await client.sign_up(email, name=name)
        await client.sign_up(email, name=name)
        await client.log_in(email, "not the right password")
        tokens = (await client.log_in(email)).body
        await client.refresh(tokens["refreshToken"])
    logged = " ".join(str(record.__dict__) for record in caplog.records if record.name.startswith("tiketi"))
    assert "session begun" in logged
    for secret in (email, name, PASSWORD, tokens["accessToken"], tokens["refreshToken"]):
        assert secret not in logged


async def test_neither_address_nor_token_is_in_redis(client: Client, redis_url: str) -> None:
    email = new_email()
    await client.sign_up(email)
    await client.log_in(email, "not the right password")
    tokens = (await client.log_in(email)).body
    await client.log_in(email, "not the right password")
    async with Redis.from_url(redis_url) as redis:
        keys = await redis.keys("*")
        values = [await redis.hgetall(key) for key in keys if b":session:" in key]
    assert all(isinstance(key, bytes) and key.startswith(b"tiketi-auth:") for key in keys)
    everything = f"{keys}{values}"
    assert email not in everything
    assert tokens["refreshToken"] not in everything


async def test_without_redis_nobody_logs_in_and_a_sign_up_leaves_nothing_half_done(
    client: Client, settings: AuthSettings
) -> None:
    cut_off = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with serve_app(build_app(cut_off)) as url, aiohttp.ClientSession(url) as session:
        elsewhere, email = Client(session, url), new_email()
        answers = [await elsewhere.sign_up(email), await elsewhere.log_in(email)]
        ready = await elsewhere.ask("GET", "/readyz")
    assert [(answer.status, answer.body["code"]) for answer in answers] == [(503, "unavailable")] * 2
    assert (await client.sign_up(email)).status == 201
    assert (ready.status, ready.body) == (503, {"database": "ok", "redis": "ConnectionError"})


async def test_the_service_s_own_redis_user_may_do_all_it_does(settings: AuthSettings, world) -> None:  # type: ignore[no-untyped-def]
    async with (
        serve_app(build_app(settings.model_copy(update={"redis_url": world.redis_url("auth")}))) as url,
        aiohttp.ClientSession(url) as session,
    ):
        client = Client(session, url)
        tokens = await client.new_session()
        assert (await client.refresh(tokens["refreshToken"])).status == 200
        assert (await client.post("/auth/log-out", refreshToken=tokens["refreshToken"])).status == 204
        assert (await client.ask("GET", "/readyz")).status == 200
