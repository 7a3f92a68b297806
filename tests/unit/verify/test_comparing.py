"""``tiketi verify --compare``: two copies of one draw, and every difference by name."""

from __future__ import annotations

import json

from tests.unit.verify.a_draw import (
    BUYERS,
    LEAVES,
    Desk,
    draw_of,
    draw_of_leaves,
    leaf_of,
)


def differences(desk: Desk, leaves: list[bytes]) -> list[str]:
    theirs = desk.write("theirs.json", draw_of_leaves(LEAVES))
    said = json.loads(desk.verify(draw_of_leaves(leaves), "--compare", theirs, "--json").out)
    found = [finding["text"] for finding in said["findings"] if finding["check"] == "comparison"]
    assert found[0] == "the copies differ in: " + (
        "entries, key, root, statement" if len(leaves) != len(LEAVES) else "key, root, statement"
    )
    assert "the operator has signed both" in found[-1]
    return found[1:-1]


def test_a_copy_from_somebody_else_names_every_difference(desk: Desk) -> None:
    stranger, friend = leaf_of(3, "stranger"), leaf_of(7, "friend")
    assert differences(desk, [*LEAVES[:4], *LEAVES[5:]]) == ["dropped: number 5"]
    assert differences(desk, [*LEAVES[:2], stranger, *LEAVES[2:]]) == ["added: number 3 is in this copy only"]
    assert differences(desk, [*LEAVES[:6], friend, *LEAVES[7:]]) == ["altered: number 7 is another entry"]
    assert differences(desk, [LEAVES[11], *LEAVES[:11]]) == ["reordered: number 12 stands at 1"]
    assert differences(desk, []) == [f"dropped: number {number}" for number in range(1, 13)]


def test_equal_copies_say_the_same(desk: Desk) -> None:
    theirs = desk.write("theirs.json", draw_of(BUYERS))
    said = desk.verify(draw_of(BUYERS), "--compare", theirs)
    assert said.code == 0
    assert "both copies say the same" in said.out


def test_very_different_copies_are_told_in_a_few_lines(desk: Desk) -> None:
    theirs = desk.write("theirs.json", draw_of([f"other-{number}" for number in range(100)]))
    said = desk.verify(draw_of(BUYERS), "--compare", theirs)
    assert said.code == 1
    assert "further differences" in said.out
    assert len(said.out.splitlines()) < 50
