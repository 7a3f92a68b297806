"""``tiketi proof``: one entry's way into the draw, to be checked alone."""

from __future__ import annotations

import json

import pytest
from tests.unit.verify.a_draw import (
    BUYERS,
    Desk,
    draw_of,
    receipt_of,
)
from tests.unit.verify.tampering import document, other


def proof_of(desk: Desk, seq: int) -> str:
    draw = desk.write("draw.json", draw_of(BUYERS))
    receipt = desk.write("anna.jwt", receipt_of(seq, BUYERS[seq - 1]))
    said = desk.run("proof", draw, "--receipt", receipt)
    assert said.code == 0, said.err
    return said.out


@pytest.mark.parametrize("seq", [1, 5, 8, 12])
def test_a_proof_is_checked_alone(desk: Desk, seq: int) -> None:
    proof = proof_of(desk, seq)
    assert len(json.loads(proof)["path"]) <= 4
    said = desk.verify(proof)
    assert said.code == 0, said.out
    assert f"number {seq} is in the draw" in said.out


PROOF_FIELDS = ["seq", "leaf", "place", "receipt"]


@pytest.mark.parametrize("name", [*PROOF_FIELDS, "path"])
def test_a_change_of_any_field_of_a_proof_is_found(desk: Desk, name: str) -> None:
    content = json.loads(proof_of(desk, 5))
    genuine = desk.verify(content).out
    if name == "path":
        content["path"][0] = other(content["path"][0])
    else:
        content[name] = other(content[name])
    said = desk.verify(content)
    assert said.code in (1, 2)
    assert "is in the draw and has place" in genuine
    assert "is in the draw and has place" not in said.out
    if name == "path":
        content["path"].pop()
        assert desk.verify(content).faults == ["path"]


def test_a_proof_for_somebody_else_is_not_ours(desk: Desk) -> None:
    mine = desk.write("mine.jwt", receipt_of(6, BUYERS[5]))
    said = desk.verify(proof_of(desk, 5), "--receipt", mine)
    assert said.code == 1
    assert "is of another entry" in said.out


def test_there_is_no_proof_for_an_entry_that_is_not_there(desk: Desk) -> None:
    draw = desk.write("draw.json", draw_of(BUYERS))
    receipt = desk.write("anna.jwt", receipt_of(5, "somebody"))
    said = desk.run("proof", draw, "--receipt", receipt)
    assert (said.code, said.out) == (2, "")
    assert "anna.jwt: this entry is not in the draw" in said.err


def test_no_proof_comes_from_a_draw_that_is_false(desk: Desk) -> None:
    content = document(draw_of(BUYERS))
    content["leaves"][0] = other(content["leaves"][0])
    receipt = desk.write("anna.jwt", receipt_of(5, BUYERS[4]))
    assert desk.run("proof", desk.write("draw.json", content), "--receipt", receipt).code == 1


def test_a_proof_has_no_order_to_write(desk: Desk) -> None:
    said = desk.verify(proof_of(desk, 5), "--order", str(desk.folder / "order"))
    assert said.code == 2
    assert desk.run("proof", str(desk.folder / "draw.json"), "--receipt", str(desk.folder / "anna.jwt")).code == 2
