"""``tiketi verify`` and receipts: checked alone before the draw, and against it afterwards."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.verify.a_draw import (
    BUYERS,
    CLOSED_AT,
    LEAVES,
    STRANGER,
    Desk,
    draw_of,
    draw_of_leaves,
    leaf_of,
    receipt_of,
)


def test_a_receipt_is_checked_alone_before_the_draw(desk: Desk) -> None:
    keys = desk.options[:2]
    commitment = draw_of(BUYERS).facts.commitment
    for content in (receipt_of(5, BUYERS[4]) + "\n", {"receipt": receipt_of(5, BUYERS[4])}):
        receipt = desk.write("anna.jwt", content)
        said = desk.run("verify", receipt, *keys, "--commitment", commitment)
        assert said.code == 0, said.err
        assert said.out.startswith("Receipt for demo/show, line public: number 5\n")
        assert "signed by the ticket service" in said.out
        assert f"is the one you noted, {commitment}" in said.out
    said = desk.run("verify", receipt)
    assert said.code == 0
    assert "give --keys to check it" in said.out
    assert f"bound to {commitment}" in " ".join(said.out.split())
    assert desk.run("verify", receipt, "--commitment", "00" * 32).faults == ["commitment"]
    assert json.loads(desk.run("verify", receipt, "--json").out)["seq"] == 5
    assert desk.run("verify", receipt, "--root", "00" * 32).code == 2


def test_a_false_receipt_is_found_before_the_draw(desk: Desk) -> None:
    keys = desk.options[:2]
    assert desk.run("verify", desk.write("a.jwt", receipt_of(5, "anna", STRANGER)), *keys).faults == ["signature"]
    assert desk.run("verify", desk.write("a.jwt", receipt_of(5, "anna", leaf="00" * 32)), *keys).faults == ["entry"]
    unbound = desk.run("verify", desk.write("a.jwt", receipt_of(5, "anna", beacon=None)), *keys)
    assert unbound.code == 0
    assert "you trust the operator" in unbound.out
    statement = desk.run("verify", desk.write("a.jwt", draw_of(BUYERS).facts.statement))
    assert (statement.code, statement.err.count("\n")) == (2, 1)
    never = desk.run("verify", desk.write("a.jwt", receipt_of(5, "anna", joined_at=10**17)))
    assert (never.code, never.err.count("\n")) == (2, 1)


def test_an_answer_from_before_the_draw_is_told_as_one(desk: Desk) -> None:
    answer = {"code": "not-drawn", "detail": "The order is not drawn yet."}
    known = {"commitment": "ab" * 32, "root": "cd" * 32, "drawAt": "2026-11-01T10:00:00Z"}
    said = desk.verify(answer | known)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "not drawn yet" in said.err
    assert f"--commitment {'ab' * 32} --root {'cd' * 32}" in said.err
    assert "not drawn yet" in desk.verify(answer).err


def test_a_receipt_is_found_in_the_draw_with_its_place(desk: Desk) -> None:
    file = draw_of(BUYERS)
    receipt = desk.write("anna.jwt", receipt_of(5, BUYERS[4]) + "\n")
    answered = desk.write("boris.json", {"receipt": receipt_of(6, BUYERS[5])})
    said = desk.verify(file, "--receipt", receipt, "--receipt", answered)
    assert said.code == 0
    assert f"number 5 is in the draw and has place {file.facts.draw.place(5)}" in said.out
    assert f"number 6 is in the draw and has place {file.facts.draw.place(6)}" in said.out


HOLE = leaf_of(5, None)
FALSE_DRAWS = {
    "dropped: the file says that number 5 belongs to nobody": [*LEAVES[:4], HOLE, *LEAVES[5:]],
    "dropped: number 5 was given out at 09:59:00Z, before the entries closed": LEAVES[:4],
    "altered: at number 5 stands another entry": [*LEAVES[:4], leaf_of(5, "friend"), *LEAVES[5:]],
    "reordered: number 5 stands at 6; or entries before it were added": [*LEAVES[:2], leaf_of(3, "x"), *LEAVES[2:]],
    "reordered: number 5 stands at 4; or entries before it were dropped": [*LEAVES[:2], *LEAVES[3:]],
    "reordered: number 5 stands at 12": [*LEAVES[:4], LEAVES[11], *LEAVES[5:11], LEAVES[4]],
}


@pytest.mark.parametrize("what", FALSE_DRAWS)
def test_a_receipt_convicts_an_operator_who_tampers_before_signing(desk: Desk, what: str) -> None:
    """The file agrees with itself: everything in it was made anew, and signed with the true key."""
    file = draw_of_leaves(FALSE_DRAWS[what])
    receipt = desk.write("anna.jwt", receipt_of(5, BUYERS[4]))
    alone = desk.verify(file).faults
    assert alone == (["entries"] if "nobody" in what else [])
    said = desk.verify(file, "--receipt", receipt)
    assert said.faults == [*alone, "receipt"]
    assert what in " ".join(said.out.split())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"event": "demo/other"}, "is for demo/other, line public"),
        ({"line": "fans"}, "is for demo/show, line fans"),
        ({"commitment": "00" * 32}, "bound to 0000"),
        ({"leaf": "00" * 32}, "its leaf is not that of its entry"),
        ({"nonce": "guessed"}, "altered: at number 5"),
        ({"sub": "somebody"}, "altered: at number 5"),
    ],
)
def test_a_receipt_of_something_else_is_a_fault(desk: Desk, changes: dict[str, Any], text: str) -> None:
    receipt = desk.write("anna.jwt", receipt_of(5, BUYERS[4], **changes))
    said = desk.verify(draw_of(BUYERS), "--receipt", receipt)
    assert said.code == 1
    assert text in " ".join(said.out.split())


def test_a_forged_receipt_is_found_by_the_keys(desk: Desk) -> None:
    receipt = desk.write("anna.jwt", receipt_of(5, BUYERS[4], STRANGER))
    said = desk.verify(draw_of(BUYERS), "--receipt", receipt)
    assert said.faults == ["receipt"]
    assert "not signed with the keys given" in said.out


def test_a_statement_is_no_receipt(desk: Desk) -> None:
    receipt = desk.write("anna.jwt", draw_of(BUYERS).facts.statement)
    said = desk.verify(draw_of(BUYERS), "--receipt", receipt)
    assert said.code == 2
    assert "anna.jwt: not a receipt" in said.err


def test_who_joined_after_the_draw_follows_in_order_of_joining(desk: Desk) -> None:
    after = int((CLOSED_AT + timedelta(seconds=20)).timestamp() * 1000)
    receipt = desk.write("late.jwt", receipt_of(15, "late", joined_at=after))
    said = desk.verify(draw_of(BUYERS), "--receipt", receipt)
    assert said.code == 0
    assert "place 15, in order of joining" in said.out


def test_a_beacon_changed_after_the_receipt_was_given_is_told(desk: Desk) -> None:
    receipt = desk.write("anna.jwt", receipt_of(5, BUYERS[4], beacon=None))
    said = desk.verify(draw_of(BUYERS), "--receipt", receipt)
    assert said.code == 0
    assert "another beacon, or none, was named" in said.out
