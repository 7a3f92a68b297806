"""A passthrough sale goes on without Redis: buyers are admitted and hold, once per account. All others close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.conftest import MakeDatabase
from tests.integration.redis_servers import RedisServer, redis_server
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.service import Answer, Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app

FREE, GUARDED = "demo/free", "demo/guarded"
LATER, OVER, PAUSED, DRAINING = "demo/later", "demo/over", "demo/paused", "demo/draining"


@dataclass
class Venue:
    """A running service with a Redis that can be taken away."""

    service: Service
    server: RedisServer

    async def claim(self, event: str, buyer: str, receipt: str) -> Answer:
        return await self.service.post(f"/events/{event}/queue/public/claim", buyer, {"receipt": receipt})

    async def admit(self, event: str, buyer: str) -> Answer:
        joined = await self.service.join(event, buyer)
        assert joined.status == 200, joined
        return await self.claim(event, buyer, joined.body["receipt"])

    async def hold(self, event: str, buyer: str, word: str) -> Answer:
        body = {"section": "A", "quantity": 1}
        return await self.service.post(f"/events/{event}/holds", buyer, body, **{"tiketi-pass": word})

    async def until_back(self) -> None:
        """Wait until the line decides again."""
        async with asyncio.timeout(20):
            while (await self.service.join(FREE, "scout")).body.get("seq", 0) == 0:  # noqa: ASYNC110 - it is asked
                await asyncio.sleep(0.1)


@pytest.fixture
async def venue(tmp_path: Path, database: MakeDatabase, amqp_url: str) -> AsyncIterator[Venue]:
    auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    passthrough: dict[str, Any] = {"queue": {"method": "passthrough"}}
    async with redis_server(tmp_path / "redis") as server, runtime_redis.connect(server.url) as redis:
        for sale in (
            a_sale("free", **passthrough),
            a_sale("guarded"),
            a_sale("later", opens_in=timedelta(hours=2), **passthrough),
            a_sale("over", opens_in=timedelta(hours=-2), **passthrough),
            a_sale("paused", admission="Paused", **passthrough),
            a_sale("draining", admission="Drain", **passthrough),
        ):
            await publish(redis, sale)
        settings = settings_for(
            tmp_path, auth, redis_url=server.url, database_url=await database("ticket"), amqp_url=amqp_url
        )
        async with serve_app(build_app(settings)) as url, aiohttp.ClientSession() as http:
            service = Service(url, http, redis, auth)
            for name in ("free", "guarded", "later", "over", "paused", "draining"):
                await service.until_served(name)
            yield Venue(service, server)


def unique(name: str) -> str:
    return f"{name}-{uuid4()}"


async def test_without_redis_a_passthrough_sale_goes_on_and_every_other_is_closed(venue: Venue) -> None:
    in_line = await venue.service.join(FREE, anna := unique("anna"))
    before = await venue.service.claim_until_admitted(FREE, anna, in_line.body["receipt"])
    await venue.server.kill()

    joined = await venue.service.join(FREE, boris := unique("boris"))
    assert (joined.status, joined.body["seq"], joined.body["place"], joined.body["standing"]) == (200, 0, 0, "offered")
    assert (joined.body["state"]["phase"], joined.body["state"]["horizon"]) == ("OnSale", 0)
    claimed = await venue.claim(FREE, boris, joined.body["receipt"])
    assert (claimed.status, claimed.body["status"]) == (200, "admitted")
    for buyer, word in ((anna, before.body["pass"]), (boris, claimed.body["pass"])):
        held = await venue.hold(FREE, buyer, word)
        assert held.status == 201, held

    closed = await venue.service.join(GUARDED, boris)
    assert (closed.status, "retry-after" in closed.headers) == (503, True)


async def test_without_redis_the_schedule_of_a_passthrough_sale_is_told_and_nobody_counted(venue: Venue) -> None:
    await venue.service.join(FREE, unique("anna"))
    await venue.server.kill()
    await asyncio.sleep(0.3)  # what was read last is good for an interval
    for event, phase in ((FREE, "OnSale"), (LATER, "Scheduled"), (OVER, "Closed")):
        path = f"/events/{event}/queue/public/state"
        polled = await venue.service.get(f"{path}?group=0")
        assert (polled.status, polled.body["phase"], polled.body["epoch"]) == (200, phase, 0)
        assert (polled.body["waiting"], polled.body["active"]) == (0, 0)
        assert "group" not in polled.body
        assert (await venue.service.get(path, **{"if-none-match": polled.headers["etag"]})).status == 304
    closed = await venue.service.get(f"/events/{GUARDED}/queue/public/state")
    assert (closed.status, "retry-after" in closed.headers) == (503, True)
    await venue.server.start()
    await venue.until_back()
    assert (await venue.service.get(f"/events/{FREE}/queue/public/state")).body["epoch"] > 0


async def test_an_account_has_one_session_however_often_it_comes(venue: Venue) -> None:
    await venue.server.kill()
    boris = unique("boris")
    answers = await asyncio.gather(*(venue.admit(FREE, boris) for _ in range(10)))
    assert {answer.body["pass"] for answer in answers} == {answers[0].body["pass"]}
    foreign = await venue.hold(FREE, unique("chloe"), answers[0].body["pass"])
    assert (foreign.status, foreign.body["code"]) == (403, "not-admitted")


async def test_a_session_begun_without_redis_goes_on_when_it_is_back_and_is_the_only_one(venue: Venue) -> None:
    await venue.server.kill()
    boris = unique("boris")
    word = (await venue.admit(FREE, boris)).body["pass"]
    await venue.server.start()
    await venue.until_back()
    assert (await venue.hold(FREE, boris, word)).status == 201
    joined = await venue.service.join(FREE, boris)
    again = await venue.service.claim_until_admitted(FREE, boris, joined.body["receipt"])
    assert again.body["pass"] == word


async def test_a_receipt_from_past_the_line_is_good_for_a_place_once_it_is_back(venue: Venue) -> None:
    await venue.server.kill()
    joined = await venue.service.join(FREE, boris := unique("boris"))
    await venue.server.start()
    await venue.until_back()
    stale = await venue.claim(FREE, boris, joined.body["receipt"])
    assert (stale.status, stale.body["code"]) == (409, "stale-receipt")
    url = f"/events/{FREE}/queue/public/join"
    assert (await venue.service.post(url, boris, {"receipt": joined.body["receipt"]})).body["seq"] > 0


async def test_a_line_that_is_being_rebuilt_is_passed_too(venue: Venue) -> None:
    keys = EventKeys(event_id("demo", "free"))
    answers: list[Answer] = []
    async with asyncio.timeout(20):
        while not answers or answers[-1].body["seq"] != 0:
            await venue.server.client.hdel(keys.epoch, "run_id")  # found lost by the next script, and rebuilt
            answers.append(await venue.service.join(FREE, unique("boris")))
    assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize(
    ("event", "code"), [(LATER, "queue-not-open"), (OVER, "sale-closed"), (DRAINING, "queue-closed")]
)
async def test_past_the_line_the_organisers_word_and_the_clock_count_as_ever(
    venue: Venue, event: str, code: str
) -> None:
    await venue.server.kill()
    refused = await venue.service.join(event, unique("boris"))
    assert (refused.status, refused.body["code"]) == (409, code)


async def test_nobody_is_admitted_past_the_line_of_a_paused_sale(venue: Venue) -> None:
    await venue.server.kill()
    answer = await venue.admit(PAUSED, unique("boris"))
    assert (answer.status, answer.body["status"]) == (200, "waiting")


async def test_a_session_that_was_given_up_is_over_without_redis_too(venue: Venue) -> None:
    joined = await venue.service.join(FREE, anna := unique("anna"))
    claimed = await venue.service.claim_until_admitted(FREE, anna, joined.body["receipt"])
    await venue.service.post(f"/events/{FREE}/queue/public/leave", anna, {"receipt": joined.body["receipt"]})
    await venue.server.kill()
    refused = await venue.hold(FREE, anna, claimed.body["pass"])
    assert (refused.status, refused.body["code"]) == (403, "admission-expired")


async def test_an_address_must_be_verified_past_the_line_too(venue: Venue) -> None:
    await venue.server.kill()
    token = venue.service.token(unique("boris"), email_verified=False)
    refused = await venue.service.post(f"/events/{FREE}/queue/public/join", authorization=f"Bearer {token}")
    assert (refused.status, refused.body["code"]) == (403, "email-not-verified")
