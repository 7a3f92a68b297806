"""Tickets that were sold before there were gates."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.tickets.gates import ANNA, EVENT, PACKAGES, issue, open_gates, role

from tiketi_runtime import postgres


async def test_tickets_issued_before_the_migration_are_let_in_after_it(database: MakeDatabase, tmp_path: Path) -> None:
    url = await database("ticket")
    for package in PACKAGES[:-1]:
        await postgres.migrate(url, package)
    async with await postgres.connect(url, 2) as pool:
        old = await issue(pool, EVENT, "A-0001", ANNA, None)
        assert await postgres.migrate(url, PACKAGES[-1]) != []
        new = await issue(pool, EVENT, "A-0002", ANNA, "Anna Kim")  # the same prepared statement as before
    async with open_gates(url, tmp_path) as gates:
        mine = await gates.send("GET", "/me/tickets", ANNA, role("buyer"))
        assert {ticket["seat"]: ticket["owner"] for ticket in mine.body["tickets"]} == {
            "A-0001": None,
            "A-0002": "Anna Kim",
        }
        for ticket, owner in ((old, None), (new, "Anna Kim")):
            answer = await gates.scan(gates.code(ticket))
            assert (answer.status, answer.body["owner"]) == (201, owner)
