"""One ticket, one person: whatever two gates, a bad network or a forger do."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from tests.integration.ticket.tickets.gates import ANNA, VOID, Gates, role

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.ticket_code import TicketCode

SOMEBODY = "5052fa14-74ba-45da-ba95-78838621ce07"


async def test_a_ticket_lets_in_once_and_the_second_scan_is_told_when_and_where(gates: Gates) -> None:
    ticket = await gates.issue("A-0001")
    code = gates.code(ticket)
    first = await gates.scan(code, gate=" North 2 ")
    assert first.status == 201
    at = first.body.pop("checkedInAt")
    assert abs(datetime.fromisoformat(at) - datetime.now(UTC)) < timedelta(minutes=1)
    assert first.body == {
        "ticket": ticket.ticket,
        "event": "demo/show",
        "seat": "A-0001",
        "owner": "Anna Kim",
        "gate": "North 2",
    }
    assert first.headers["cache-control"] == "no-store"
    for gate in ("South", "North 2"):
        second = await gates.scan(code, gate=gate)
        assert (second.status, second.body["code"]) == (409, "ticket-used")
        assert (second.body["gate"], second.body["owner"], second.body["seat"]) == ("North 2", "Anna Kim", "A-0001")
        assert datetime.fromisoformat(second.body["checkedInAt"]) == datetime.fromisoformat(at)
    assert await gates.outcomes() == [("admitted", 0), ("used", 0), ("used", 0)]


@pytest.mark.parametrize("round_", range(5))
async def test_of_fifty_scans_at_once_one_lets_in(gates: Gates, round_: int) -> None:
    code = gates.code(await gates.issue("A-0001"))
    answers = await asyncio.gather(
        *(gates.scan(code, gate=f"Gate {number % 7}", staff=f"gate-{number}") for number in range(50))
    )
    assert Counter(answer.status for answer in answers) == {201: 1, 409: 49}
    (admitted,) = (answer.body for answer in answers if answer.status == 201)
    assert {answer.body["gate"] for answer in answers} == {admitted["gate"]}
    assert Counter(await gates.outcomes()) == {("admitted", 0): 1, ("used", 0): 49}


async def test_a_scan_that_is_sent_again_is_answered_as_before_also_all_at_once(gates: Gates) -> None:
    code = gates.code(await gates.issue("A-0001"))
    answers = await asyncio.gather(*(gates.scan(code, key="scan-1") for _ in range(50)))
    assert {answer.status for answer in answers} == {201}
    assert all(answer.body == answers[0].body for answer in answers)
    refused = [await gates.scan(code, key="scan-2", gate="South") for _ in range(3)]
    assert [(answer.status, answer.body) for answer in refused] == [(409, refused[0].body)] * 3
    assert await gates.outcomes() == [("admitted", 49), ("used", 2)]


async def test_a_key_is_good_for_one_scan_of_one_scanner(gates: Gates) -> None:
    first, second = gates.code(await gates.issue("A-0001")), gates.code(other := await gates.issue("A-0002"))
    assert (await gates.scan(first, key="1")).status == 201
    for answer in (
        await gates.scan(second, key="1"),
        await gates.scan(first, key="1", gate="South"),
        await gates.scan("nonsense", key="1"),
    ):
        assert (answer.status, answer.body["code"]) == (422, "idempotency-mismatch")
    assert await gates.state(other) == "ISSUED"
    assert (await gates.scan(second, key="1", staff="gate-2")).status == 201


async def test_of_a_refund_and_a_scan_at_the_same_moment_one_wins(gates: Gates) -> None:
    tickets = [await gates.issue(f"A-{number:04d}") for number in range(60)]

    async def refund(ticket: TicketCode) -> bool:
        await asyncio.sleep(random.uniform(0, 0.01))
        return await gates.pool.fetchval(VOID, ticket.ticket) is not None

    results = await asyncio.gather(
        *(asyncio.gather(gates.scan(gates.code(ticket)), refund(ticket)) for ticket in tickets)
    )
    for (answer, is_void), ticket in zip(results, tickets, strict=True):
        assert (answer.status == 201) is not is_void
        assert await gates.state(ticket) == ("VOID" if is_void else "USED")
        if is_void:
            assert answer.body["code"] == "ticket-void"


async def test_a_void_ticket_lets_nobody_in(gates: Gates) -> None:
    ticket = await gates.issue("A-0001")
    await gates.pool.fetchval(VOID, ticket.ticket)
    answer = await gates.scan(gates.code(ticket))
    assert (answer.status, answer.body["code"], answer.body["seat"]) == (409, "ticket-void", "A-0001")
    assert answer.body["voidedAt"] is not None


async def test_a_ticket_of_another_event_is_said_to_be_so_and_stays_good(gates: Gates) -> None:
    ticket = await gates.issue("A-0001", event=EventId("demo/other"))
    answer = await gates.scan(gates.code(ticket))
    assert (answer.status, answer.body["code"], answer.body["event"]) == (409, "wrong-event", "demo/other")
    assert await gates.state(ticket) == "ISSUED"
    assert (await gates.scan(gates.code(ticket), event=EventId("demo/other"))).status == 201


async def test_a_ticket_signed_with_the_former_key_still_lets_in(gates: Gates) -> None:
    assert (await gates.scan(gates.code(await gates.issue("A-0001"), gates.others))).status == 201


async def test_forged_unknown_and_other_codes_have_stable_codes_and_are_written_down(gates: Gates) -> None:
    ticket = await gates.issue("A-0001")
    genuine = gates.code(ticket)
    elsewhere = TicketCode(ticket.ticket, EventId("demo/other"), SeatId("A-0001"), "Anna Kim")
    cases = [
        (gates.code(ticket, gates.auth), 422, "ticket-forged"),
        (f"{genuine[:-5]}AAAAA", 422, "ticket-forged"),
        (gates.code(TicketCode(SOMEBODY, ticket.event, ticket.seat, "Boris")), 404, "unknown-ticket"),
        (gates.code(elsewhere), 409, "wrong-event"),
        (gates.auth.sign("at+jwt", {"sub": ANNA}, timedelta(minutes=1)), 422, "not-a-ticket"),
        ("https://tickets.example.com", 422, "not-a-ticket"),
        ("\0", 422, "not-a-ticket"),
        ("김", 422, "not-a-ticket"),
    ]
    for code, status, name in cases:
        answer = await gates.scan(code)
        assert (answer.status, answer.body["code"]) == (status, name)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await gates.state(ticket) == "ISSUED"
    assert [outcome for outcome, _ in await gates.outcomes()] == [
        "forged",
        "forged",
        "unknown",
        "wrong-event",
        *["not-a-ticket"] * 4,
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": "x"},
        {"gate": "North"},
        {"code": "", "gate": "North"},
        {"code": "x" * 2049, "gate": "North"},
        {"code": "x", "gate": " "},
        {"code": "x", "gate": "n" * 41},
        {"code": "x", "gate": "a\nb"},
        {"code": "x", "gate": "a\0b"},
        {"code": "x", "gate": "\ud800"},
        {"code": "\ud800", "gate": "North"},
        {"code": 7, "gate": "North"},
        {"code": "x", "gate": "North", "more": 1},
        [],
    ],
)
async def test_a_scan_that_says_too_little_or_too_much_is_refused(gates: Gates, body: Any) -> None:
    answer = await gates.send(
        "POST", "/events/demo/show/check-ins", "g", role("gate"), body, **{"idempotency-key": "k"}
    )
    assert answer.status == 422
    assert await gates.outcomes() == []


async def test_a_scan_needs_a_key(gates: Gates) -> None:
    body = {"code": "x", "gate": "North"}
    bare = await gates.send("POST", "/events/demo/show/check-ins", "g", role("gate"), body)
    assert (bare.status, bare.body["code"]) == (400, "idempotency-key-missing")


# --- Roles


@pytest.mark.parametrize(
    "roles",
    [..., [], role("gate", "other"), role("organiser"), role("sre", "*"), role("gate", "dem"), role("buyer", "demo")],
)
async def test_without_the_role_for_this_namespace_nobody_scans(gates: Gates, roles: object) -> None:
    ticket = await gates.issue("A-0001")
    answer = await gates.scan(gates.code(ticket), roles=roles)
    assert (answer.status, answer.body["code"], answer.body["namespace"]) == (403, "role-needed", "demo")
    assert answer.body["roles"] == ["gate"]
    assert await gates.state(ticket) == "ISSUED"
    assert await gates.outcomes() == []


async def test_a_role_for_all_namespaces_is_enough(gates: Gates) -> None:
    assert (await gates.scan(gates.code(await gates.issue("A-0001")), roles=role("gate", "*"))).status == 201


async def test_strangers_are_asked_who_they_are(gates: Gates) -> None:
    for method, path in (("POST", "check-ins"), ("GET", "check-ins"), ("GET", "void-tickets")):
        async with gates.http.request(method, f"{gates.url}/events/demo/show/{path}", json={}) as answer:
            assert answer.status == 401


# --- What the gates and the organiser watch


async def test_who_is_inside_is_counted_by_gate(gates: Gates) -> None:
    tickets = [await gates.issue(f"A-{number:04d}") for number in range(6)]
    await gates.issue("A-0001", event=EventId("demo/other"))
    for ticket, gate in zip(tickets, ("North", "North", "South"), strict=False):
        await gates.scan(gates.code(ticket), gate=gate)
    await gates.pool.fetchval(VOID, tickets[5].ticket)
    for name in ("gate", "organiser"):
        answer = await gates.send("GET", "/events/demo/show/check-ins", "o", role(name))
        assert (answer.status, answer.body) == (
            200,
            {"event": "demo/show", "inside": 3, "issued": 2, "void": 1, "gates": {"North": 2, "South": 1}},
        )
    refused = await gates.send("GET", "/events/demo/show/check-ins", ANNA, role("buyer"))
    assert (refused.status, refused.body["code"]) == (403, "role-needed")


async def test_the_void_list_is_sent_only_when_it_has_changed(gates: Gates) -> None:
    tickets = [await gates.issue(f"A-{number:04d}") for number in range(4)]
    path = "/events/demo/show/void-tickets"
    empty = await gates.send("GET", path, "g", role("gate"))
    assert (empty.status, empty.body) == (200, {"event": "demo/show", "void": []})
    assert empty.headers["cache-control"] == "private, no-cache"
    for ticket in tickets[:2]:
        await gates.pool.fetchval(VOID, ticket.ticket)
    known = {"if-none-match": empty.headers["etag"]}
    changed = await gates.send("GET", path, "g", role("gate"), **known)
    assert changed.body["void"] == sorted(ticket.ticket for ticket in tickets[:2])
    again = await gates.send("GET", path, "g", role("gate"), **{"if-none-match": changed.headers["etag"]})
    assert (again.status, again.body) == (304, None)
    assert (await gates.send("GET", path, ANNA, role("buyer"))).status == 403


# --- The last walls, in the database


async def test_a_used_seat_gets_no_second_ticket_and_a_void_one_does(gates: Gates) -> None:
    ticket = await gates.issue("A-0001")
    await gates.scan(gates.code(ticket))
    with pytest.raises(asyncpg.UniqueViolationError):
        await gates.issue("A-0001", buyer="boris")
    other = await gates.issue("A-0002")
    await gates.pool.fetchval(VOID, other.ticket)
    assert (await gates.issue("A-0002", buyer="boris")).ticket != other.ticket


async def test_a_used_ticket_is_not_voided_by_a_refund(gates: Gates) -> None:
    ticket = await gates.issue("A-0001")
    await gates.scan(gates.code(ticket))
    assert await gates.pool.fetchval(VOID, ticket.ticket) is None
    with pytest.raises(asyncpg.CheckViolationError):
        await gates.pool.execute("UPDATE tickets SET state = 'ISSUED' WHERE id = $1", ticket.ticket)
