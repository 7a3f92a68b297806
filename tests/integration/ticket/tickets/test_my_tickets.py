"""Tickets in their owners' hands."""

from __future__ import annotations

import asyncio

from tests.integration.ticket.tickets.gates import ANNA, VOID, Gates, role

from tiketi_runtime.contracts.ticket_code import TYP, TicketCode
from tiketi_runtime.security import PublicKeys

BORIS = "bbbbbbbb-0000-4000-8000-000000000000"


async def test_a_buyer_sees_each_ticket_with_its_code_and_the_name_on_it(gates: Gates) -> None:
    ticket = await gates.issue("A-0001")
    mine = await gates.send("GET", "/me/tickets", ANNA, role("buyer"))
    assert (mine.status, mine.headers["cache-control"]) == (200, "no-store")
    (shown,) = mine.body["tickets"]
    assert (shown["ticket"], shown["event"], shown["seat"]) == (ticket.ticket, "demo/show", "A-0001")
    assert (shown["state"], shown["owner"], shown["checkedInAt"]) == ("ISSUED", "Anna Kim", None)
    assert {"order", "issuedAt"} <= shown.keys()
    assert shown["code"] == gates.code(ticket)
    again = await gates.send("GET", "/me/tickets", ANNA, ...)
    assert again.body == mine.body
    assert (await gates.scan(shown["code"])).status == 201
    (used,) = (await gates.send("GET", "/me/tickets", ANNA, role("buyer"))).body["tickets"]
    assert (used["state"], used["code"]) == ("USED", shown["code"])
    assert used["checkedInAt"] is not None


async def test_the_code_verifies_with_the_published_keys_alone(gates: Gates) -> None:
    ticket = await gates.issue("A-0001", owner="김안나")
    async with gates.http.get(f"{gates.url}/events/demo/show/ticket-keys") as answer:
        assert answer.headers["cache-control"] == "public, max-age=3600"
        keys = await answer.json()
    assert len(keys["keys"]) == 2
    (shown,) = (await gates.send("GET", "/me/tickets", ANNA, role("buyer"))).body["tickets"]
    assert TicketCode.from_claims(PublicKeys(keys).read(shown["code"], TYP)) == ticket
    former = gates.code(ticket, gates.others)
    assert TicketCode.from_claims(PublicKeys(keys).read(former, TYP)) == ticket


async def test_a_void_ticket_has_no_code_and_other_peoples_are_not_shown(gates: Gates) -> None:
    ticket = await gates.issue("A-0001", owner=None)
    await gates.pool.fetchval(VOID, ticket.ticket)
    (shown,) = (await gates.send("GET", "/me/tickets", ANNA, role("buyer"))).body["tickets"]
    assert (shown["state"], shown["code"], shown["owner"]) == ("VOID", None, None)
    assert (await gates.send("GET", "/me/tickets", BORIS, role("buyer"))).body == {"tickets": []}


async def test_the_newest_come_first(gates: Gates) -> None:
    for seat in ("A-0003", "A-0001", "A-0002"):
        await gates.issue(seat)
        await asyncio.sleep(0.002)
    mine = await gates.send("GET", "/me/tickets", ANNA, role("buyer"))
    assert [ticket["seat"] for ticket in mine.body["tickets"]] == ["A-0002", "A-0001", "A-0003"]
