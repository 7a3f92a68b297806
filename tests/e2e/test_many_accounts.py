"""What stands between a bot and many places, met through the front door: a verified address, and work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from redis.asyncio import Redis

from tiketi_local.crowd.client import BuyerClient, Refused, SaleAddress
from tiketi_local.crowd.mailbox import Mailbox
from tiketi_local.crowd.timings import Timings
from tiketi_local.crowd.work import solve
from tiketi_local.demo import until_armed
from tiketi_local.world import World
from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.kubernetes import Cluster

from . import sales

NAME = f"many-accounts-{uuid4().hex[:6]}"
JOIN = f"/events/demo/{NAME}/queue/public/join"


@pytest.fixture(scope="module")
async def on_sale(cluster: Cluster) -> None:
    await sales.put_on_sale(cluster, NAME, timedelta(seconds=3))
    await until_armed(cluster, NAME)


@pytest.fixture
async def http(on_sale: None, world: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(world.url("front")) as http:
        yield http


@pytest.fixture
async def mailbox(http: aiohttp.ClientSession, world: World) -> AsyncIterator[Mailbox]:
    async with Mailbox(http, world.url("mail")) as mailbox:
        yield mailbox


def new_email() -> str:
    return f"{uuid4().hex}@example.com"


async def signed_up(http: aiohttp.ClientSession, email: str, timings: Timings | None = None) -> BuyerClient:
    """Somebody with an account, whose mail is on its way."""
    client = BuyerClient(http, SaleAddress("", "demo", NAME), timings or Timings())
    await client.sign_up(email, "correct horse battery", "Anna")
    return client


async def verified(http: aiohttp.ClientSession, mailbox: Mailbox) -> BuyerClient:
    client = await signed_up(http, email := new_email())
    await client.verify(await mailbox.verification(email))
    return client


async def join(
    http: aiohttp.ClientSession, client: BuyerClient, proof: Any = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """One try, as the bare API answers it."""
    body = None if proof is None else {"proof": proof}
    async with http.post(JOIN, json=body, headers={"Authorization": f"Bearer {client.token}", **headers}) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_buyer_whose_address_is_not_verified_cannot_join_and_can_after_clicking_the_link(
    http: aiohttp.ClientSession, mailbox: Mailbox
) -> None:
    client = await signed_up(http, email := new_email())
    with pytest.raises(Refused) as refusal:
        await client.join("public")
    assert (refusal.value.status, refusal.value.code) == (403, "email-not-verified")
    await client.verify(await mailbox.verification(email))
    assert (await client.join("public"))["seq"] >= 1


async def test_the_link_in_the_mail_opens_the_page_with_the_button(http: aiohttp.ClientSession, world: World) -> None:
    await signed_up(http, email := new_email())
    async with http.get(f"{world.url('mail')}/mails", params={"to": email, "wait": 10}) as answer:
        [mail] = await answer.json()
    [link] = [line for line in mail["text"].splitlines() if line.startswith("http")]
    async with http.get(link) as page:
        assert page.status == 200
        assert 'id="verify"' in await page.text()


async def test_a_new_account_s_place_costs_work_once(http: aiohttp.ClientSession, mailbox: Mailbox) -> None:
    client = await verified(http, mailbox)
    status, asked = await join(http, client)
    assert (status, asked["code"]) == (428, "work-needed")
    assert asked["bits"] == sales.UNHURRIED.most_work_bits
    nonce = await solve(asked["challenge"], asked["bits"])
    status, place = await join(http, client, {"challenge": asked["challenge"], "nonce": nonce})
    assert status == 200
    status, again = await join(http, client)
    assert (status, again["seq"]) == (200, place["seq"])


async def test_work_done_for_one_account_gets_no_other_in(http: aiohttp.ClientSession, mailbox: Mailbox) -> None:
    anna, boris = await verified(http, mailbox), await verified(http, mailbox)
    _, asked = await join(http, anna)
    proof = {"challenge": asked["challenge"], "nonce": await solve(asked["challenge"], asked["bits"])}
    status, refused = await join(http, boris, proof)
    assert (status, refused["code"]) == (428, "work-needed")
    assert refused["challenge"] != asked["challenge"]
    assert (await join(http, anna, proof))[0] == 200


@pytest.mark.parametrize(
    ("proof", "status"),
    [
        ({"challenge": "x.y.z", "nonce": "0"}, 428),
        ({"challenge": "", "nonce": ""}, 422),
        ({"challenge": "x" * 5000, "nonce": "0"}, 422),
        ({"challenge": "x.y.z", "nonce": "0" * 5000}, 422),
        ({"challenge": 7, "nonce": []}, 422),
        ({"nonce": "0"}, 422),
        ("nonsense", 422),
    ],
)
async def test_a_proof_that_is_none_is_a_problem_and_never_a_place(
    http: aiohttp.ClientSession, mailbox: Mailbox, proof: Any, status: int
) -> None:
    client = await verified(http, mailbox)
    answered, problem = await join(http, client, proof)
    assert answered == status, problem
    assert problem["status"] == status


async def test_whatever_address_buyers_invent_they_are_counted_as_one_network(
    http: aiohttp.ClientSession, mailbox: Mailbox, world: World
) -> None:
    for number in range(3):
        client = await verified(http, mailbox)
        invented = {"X-Forwarded-For": f"198.51.{number}.7", "Forwarded": f"for=198.51.{number}.7"}
        _, asked = await join(http, client, **invented)
        proof = {"challenge": asked["challenge"], "nonce": await solve(asked["challenge"], asked["bits"])}
        assert (await join(http, client, proof, **invented))[0] == 200
    keys = EventKeys(event_id("demo", NAME)).line(PUBLIC)
    async with Redis.from_url(world.admin_redis_url) as redis:

        async def is_told() -> bool:  # processes tell once a second
            return bool(await redis.get(keys.networks))

        await sales.until(is_told, "the places are counted by network")
        counters = await redis.get(keys.networks)
    assert isinstance(counters, bytes)
    assert len({at // 4 for at, byte in enumerate(counters) if byte}) == 1
