"""Sessions: refreshed, kept through bad networks, ended when a token was stolen."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from tests.integration.auth.conftest import Answer, Client

from tiketi_services.auth.settings import AuthSettings

AFTER_GRACE = 1.2


def is_ended(answer: Answer) -> bool:
    return (answer.status, answer.body.get("code")) == (401, "session-ended")


async def test_each_refresh_gives_the_next_pair(client: Client) -> None:
    tokens = await client.new_session()
    seen = {tokens["refreshToken"]}
    for _ in range(3):
        answer = await client.refresh(tokens["refreshToken"])
        assert answer.status == 200
        assert answer.headers["cache-control"] == "no-store"
        tokens = answer.body
        seen.add(tokens["refreshToken"])
        assert (await client.ask("GET", "/auth/me", token=tokens["accessToken"])).status == 200
    assert len(seen) == 4


async def test_an_answer_that_got_lost_is_given_again(client: Client) -> None:
    first = (await client.new_session())["refreshToken"]
    lost = (await client.refresh(first)).body["refreshToken"]
    again = (await client.refresh(first)).body["refreshToken"]
    assert again == lost
    assert (await client.refresh(again)).status == 200


async def test_two_tabs_that_refresh_at_once_both_go_on(client: Client) -> None:
    first = (await client.new_session())["refreshToken"]
    answers = await asyncio.gather(*(client.refresh(first) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    (token,) = {answer.body["refreshToken"] for answer in answers}
    assert (await client.refresh(token)).status == 200


async def test_a_used_token_after_the_grace_ends_the_session_for_everybody(client: Client) -> None:
    stolen = (await client.new_session())["refreshToken"]
    owner = (await client.refresh(stolen)).body["refreshToken"]
    await asyncio.sleep(AFTER_GRACE)
    assert is_ended(await client.refresh(stolen))
    assert is_ended(await client.refresh(owner))


async def test_a_token_used_two_turns_ago_has_no_grace(client: Client) -> None:
    stolen = (await client.new_session())["refreshToken"]
    second = (await client.refresh(stolen)).body["refreshToken"]
    third = (await client.refresh(second)).body["refreshToken"]
    assert is_ended(await client.refresh(stolen))
    assert is_ended(await client.refresh(third))


async def test_an_invented_token_ends_nothing(client: Client) -> None:
    token = (await client.new_session())["refreshToken"]
    kid, body, tag = token.split(".")
    for invented in (f"{kid}.{body}.{'A' * len(tag)}", f"{kid}.{body}.", "x", f"{token}x"):
        answer = await client.refresh(invented)
        assert (answer.status, answer.body["code"]) == (401, "invalid-token")
    assert (await client.refresh(token)).status == 200


async def test_log_out_ends_this_session_and_no_other(client: Client) -> None:
    mine, other = await client.new_session(), await client.new_session()
    for _ in range(2):
        assert (await client.post("/auth/log-out", refreshToken=mine["refreshToken"])).status == 204
    assert is_ended(await client.refresh(mine["refreshToken"]))
    assert (await client.refresh(other["refreshToken"])).status == 200


async def test_an_older_token_of_the_session_logs_out_too(client: Client) -> None:
    first = (await client.new_session())["refreshToken"]
    second = (await client.refresh(first)).body["refreshToken"]
    assert (await client.post("/auth/log-out", refreshToken=first)).status == 204
    assert is_ended(await client.refresh(second))


async def test_a_session_lives_on_from_each_refresh(client: Client, redis_url: str, settings: AuthSettings) -> None:
    async with Redis.from_url(redis_url) as redis:
        before = set(await redis.keys("tiketi-auth:session:*"))
        token = (await client.new_session())["refreshToken"]
        (key,) = set(await redis.keys("tiketi-auth:session:*")) - before
        await redis.pexpire(key, 5000)
        await client.refresh(token)
        left = await redis.pttl(key)
    assert left > settings.session_lifetime.total_seconds() * 1000 - 60_000


async def test_a_session_that_ran_out_or_was_lost_asks_to_log_in_again(client: Client, redis_url: str) -> None:
    token = (await client.new_session())["refreshToken"]
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    assert is_ended(await client.refresh(token))


async def test_a_rotation_lost_in_a_failover_does_not_log_out(client: Client, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        before = set(await redis.keys("tiketi-auth:session:*"))
        first = (await client.new_session())["refreshToken"]
        (key,) = set(await redis.keys("tiketi-auth:session:*")) - before
        second = (await client.refresh(first)).body["refreshToken"]
        await redis.hset(key, "turn", 1)
    third = await client.refresh(second)
    assert third.status == 200
    assert (await client.refresh(third.body["refreshToken"])).status == 200
