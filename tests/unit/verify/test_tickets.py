"""A ticket's code at a gate without a network."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from tests.unit.verify.a_draw import SIGNER, STRANGER, Desk

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.ticket_code import TYP, TicketCode
from tiketi_runtime.security import TokenSigner

CODE = TicketCode("5052fa14-74ba-45da-ba95-78838621ce07", EventId("demo/show"), SeatId("A-0001"), "김안나")


def word(signer: TokenSigner = SIGNER) -> str:
    return signer.seal(TYP, CODE.claims())


def keys(desk: Desk) -> list[str]:
    return ["--keys", desk.write("keys.json", SIGNER.jwks())]


def void_list(desk: Desk, *tickets: str, event: str = "demo/show") -> list[str]:
    return ["--void", desk.write("void.json", {"event": event, "void": tickets})]


def test_a_genuine_ticket_is_shown_and_what_cannot_be_known_is_said(desk: Desk) -> None:
    said = desk.run("ticket", word(), *keys(desk))
    assert said.code == 0
    assert said.out.startswith("Ticket for demo/show, seat A-0001: 김안나\n")
    assert "only the service knows" in said.out
    assert "VERIFIED" in said.out


def test_for_programs(desk: Desk) -> None:
    said = desk.run("ticket", word(), *keys(desk), *void_list(desk), "--event", "demo/show", "--json")
    shown = json.loads(said.out)
    assert (said.code, shown["verified"]) == (0, True)
    assert (shown["ticket"], shown["event"], shown["seat"], shown["owner"]) == (
        CODE.ticket,
        "demo/show",
        "A-0001",
        "김안나",
    )


def test_from_standard_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(word() + "\n"))
    assert desk.run("ticket", "-", *keys(desk)).code == 0


def test_a_forged_one_does_not_verify_and_nothing_it_says_is_shown(desk: Desk) -> None:
    said = desk.run("ticket", word(STRANGER), *keys(desk))
    assert (said.code, said.faults) == (1, ["signature"])
    assert "A-0001" not in said.out
    assert json.loads(desk.run("ticket", word(STRANGER), *keys(desk), "--json").out)["verified"] is False


def test_one_of_another_event_does_not_verify(desk: Desk) -> None:
    said = desk.run("ticket", word(), *keys(desk), "--event", "demo/other")
    assert (said.code, said.faults) == (1, ["event"])


def test_a_void_one_does_not_verify(desk: Desk) -> None:
    said = desk.run("ticket", word(), *keys(desk), *void_list(desk, CODE.ticket))
    assert (said.code, said.faults) == (1, ["void"])
    assert desk.run("ticket", word(), *keys(desk), *void_list(desk, "another")).code == 0
    foreign = desk.run("ticket", word(), *keys(desk), *void_list(desk, event="demo/other"))
    assert (foreign.code, foreign.faults) == (1, ["void"])


@pytest.mark.parametrize("code", ["", "x", "https://example.com", SIGNER.seal("at+jwt", CODE.claims()), "\udcff"])
def test_what_is_no_ticket_is_refused_in_one_line(desk: Desk, code: str) -> None:
    said = desk.run("ticket", code, *keys(desk))
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("content", ["", "{}", "[]", {"event": "demo/show", "void": [1]}, {"void": []}])
def test_lists_and_keys_that_are_none_are_refused_in_one_line(desk: Desk, content: Any) -> None:
    bad = desk.write("bad.json", content)
    for options in ([*keys(desk), "--void", bad], ["--keys", bad]):
        said = desk.run("ticket", word(), *options)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert "bad.json" in said.err
