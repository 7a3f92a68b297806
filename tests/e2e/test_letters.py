"""What buyers hear by mail of an order, a refund and a cancelled event: the whole way, through every service."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import aiohttp
from tests.e2e.test_gate import PASSWORD, run

from tiketi_local import platform
from tiketi_local.crowd.buyer import Buyer, Step
from tiketi_local.demo import until_armed
from tiketi_local.world import World
from tiketi_runtime.kubernetes import Cluster

from . import sales


async def organiser(world: World, http: aiohttp.ClientSession) -> str:
    """The access token of somebody who may cancel events of the sale's namespace."""
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD, "name": "Sora"}
    async with http.post("/auth/sign-up", json=account) as answer:
        assert answer.status == 201
    command = platform.auth(world.site).command()
    words = ["grant", account["email"], "organiser", "--namespace", sales.NAMESPACE]
    assert (await run(*command.argv, *words, environment=dict(command.environment)))[0] == 0
    async with http.post("/auth/log-in", json={"email": account["email"], "password": PASSWORD}) as answer:
        return str((await answer.json())["accessToken"])


async def letters(world: World, http: aiohttp.ClientSession, buyer: Buyer, kind: str, number: int) -> list[Any]:
    """A buyer's mails of one kind, once there are as many."""
    async with http.get("/auth/me", headers={"authorization": f"Bearer {buyer.client.token}"}) as answer:
        email = (await answer.json())["email"]
    found: list[Any] = []

    async def are_there() -> bool:
        async with http.get(f"{world.url('mail')}/mails", params={"to": email}) as answer:
            found[:] = [mail for mail in await answer.json() if kind in mail["subject"]]
        return len(found) >= number

    await sales.until(are_there, f"{number} of {kind!r}")
    return found


async def test_buyers_are_told_of_their_order_their_refund_and_that_the_event_is_cancelled(
    world: World, cluster: Cluster
) -> None:
    name = f"letters-{uuid4().hex[:6]}"
    event = f"{sales.NAMESPACE}/{name}"
    await sales.put_on_sale(cluster, name, timedelta(seconds=6))
    await until_armed(cluster, name)
    async with sales.crowd_for(world, name, 6) as crowd, aiohttp.ClientSession(world.url("front")) as http:
        await crowd.sign_up()
        await crowd.go(sales.SECTIONS, within=2)
        bought = [buyer for buyer in crowd.buyers if buyer.step is Step.BOUGHT]
        assert len(bought) >= 2
        for buyer in bought:
            tickets = await buyer.client.tickets()
            [mail] = await letters(world, http, buyer, "Your tickets", 1)
            assert tickets[0]["order"] in mail["text"]
            assert all(ticket["seat"] in mail["text"] for ticket in tickets)
            assert "(Asia/Seoul)" in mail["text"]
            assert "KRW" in mail["text"]
            assert buyer.client.token not in mail["text"]

        one = bought[0]
        order = (await one.client.tickets())[0]["order"]
        headers = {"authorization": f"Bearer {await organiser(world, http)}"}
        refunds = f"/events/{event}/refunds"
        body: dict[str, Any] = {"orders": [order]}
        async with http.post(refunds, json=body, headers={**headers, "idempotency-key": str(uuid4())}) as answer:
            assert answer.status == 202, await answer.text()
        [mail] = await letters(world, http, one, "Refund done", 1)
        assert order in mail["text"]
        assert "the way it came" in mail["text"]

        async with http.post(
            refunds, json={"cancelEvent": True}, headers={**headers, "idempotency-key": str(uuid4())}
        ) as answer:
            assert answer.status == 202, await answer.text()
        for buyer in bought[1:]:
            [mail] = await letters(world, http, buyer, "Event cancelled", 1)
            assert "All of your money goes back" in mail["text"]
            [mail] = await letters(world, http, buyer, "Refund done", 1)
            assert "The event was cancelled" in mail["text"]
        await asyncio.sleep(2)  # whatever would come twice has come
        for buyer in bought:
            assert len(await letters(world, http, buyer, "Your tickets", 1)) == 1
            assert len(await letters(world, http, buyer, "Refund done", 1)) == 1
        assert await letters(world, http, one, "Event cancelled", 0) == []  # it had been given back before
