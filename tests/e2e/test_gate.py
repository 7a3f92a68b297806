"""From a sale to the gate through the front door: roles by the real command, tickets of a real crowd, two gates."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tiketi_local import platform
from tiketi_local.crowd.buyer import Step
from tiketi_local.demo import until_armed
from tiketi_local.world import World
from tiketi_runtime.kubernetes import Cluster

from . import sales

PASSWORD = "correct horse battery"


async def run(*words: str, environment: dict[str, str] | None = None) -> tuple[int | None, str]:
    """Exit code and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


def beside(world: World, part: str) -> list[str]:
    """What comes before a command that is to have the settings of a part."""
    return [sys.executable, "-m", "tiketi_local", "run", "--world", world.name, part, "--"]


async def staff(world: World, http: aiohttp.ClientSession) -> str:
    """Somebody who may scan in the namespace of the sale; the access token."""
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD, "name": "Sora"}
    async with http.post("/auth/sign-up", json=account) as answer:
        assert answer.status == 201
    grant = ["tiketi-auth", "grant", account["email"], "gate", "--namespace", sales.NAMESPACE]
    assert await run(*beside(world, "auth"), *grant) == (0, f"gate in {sales.NAMESPACE}: granted\n")
    async with http.post("/auth/log-in", json={"email": account["email"], "password": PASSWORD}) as answer:
        return str((await answer.json())["accessToken"])


async def test_every_ticket_of_a_sale_lets_one_in_at_one_of_two_gates(
    world: World, cluster: Cluster, tmp_path: Path
) -> None:
    name = f"gate-{uuid4().hex[:6]}"
    event = f"{sales.NAMESPACE}/{name}"
    await sales.put_on_sale(cluster, name, timedelta(seconds=6))
    await until_armed(cluster, name)
    async with sales.crowd_for(world, name, 12) as crowd, aiohttp.ClientSession(world.url("front")) as http:
        await crowd.sign_up()
        await crowd.go(sales.SECTIONS, within=2)
        tickets = [
            ticket for buyer in crowd.buyers if buyer.step is Step.BOUGHT for ticket in await buyer.client.tickets()
        ]
        assert tickets
        assert all(ticket["owner"] and ticket["code"] for ticket in tickets)

        async with http.get(f"/events/{event}/ticket-keys") as answer:
            keys = tmp_path / "keys.json"
            keys.write_text(await answer.text())
        command = platform.auth(world.site).command().argv[0].replace("tiketi-auth", "tiketi")
        code, shown = await run(
            command, "ticket", tickets[0]["code"], "--keys", str(keys), "--event", event, "--json", environment={}
        )
        assert (code, json.loads(shown)["owner"]) == (0, tickets[0]["owner"])

        token = await staff(world, http)

        async def scan(ticket: dict[str, Any], gate: str) -> tuple[int, str]:
            headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
            body = {"code": ticket["code"], "gate": gate}
            async with http.post(f"/events/{event}/check-ins", json=body, headers=headers) as answer:
                return answer.status, (await answer.json(content_type=None)).get("code", "")

        for ticket in tickets:
            results = await asyncio.gather(scan(ticket, "North"), scan(ticket, "South"))
            assert Counter(results) == {(201, ""): 1, (409, "ticket-used"): 1}

        buyer = next(buyer for buyer in crowd.buyers if buyer.step is Step.BOUGHT)
        headers = {"authorization": f"Bearer {buyer.client.token}"}
        async with http.get(f"/events/{event}/check-ins", headers=headers) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (403, "role-needed")
        headers = {"authorization": f"Bearer {token}"}
        async with http.get(f"/events/{event}/check-ins", headers=headers) as answer:
            counted = await answer.json()
        assert (counted["inside"], counted["issued"]) == (len(tickets), 0)
        assert all(ticket["state"] == "USED" for ticket in await buyer.client.tickets())


@pytest.mark.parametrize("part", ["ticket", "payment", "stats", "auth"])
async def test_commands_of_the_services_can_be_run_beside_them(world: World, part: str) -> None:
    assert await run(*beside(world, part), f"tiketi-{part}", "replay") == (0, "no dead letters\n")
    code, said = await run(*beside(world, part), f"tiketi-{part}", "replya")
    assert (code, "replya" in said) == (2, True)
    nowhere = f"tiketi_local run: there is no command nowhere: try tiketi-{part} --help\n"
    assert await run(*beside(world, part), "nowhere") == (2, nowhere)
