"""``tiketi verify``: a true draw verifies; whatever is changed in it is found."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.verify.a_draw import (
    BEACON,
    BUYERS,
    CLOSED_AT,
    FIXED_AT,
    STRANGER,
    Desk,
    a_loss,
    draw_of,
    draw_of_leaves,
    leaf_of,
    sign,
)
from tests.unit.verify.tampering import changed, document, other, paths

from tiketi_runtime.contracts.draw_file import NamedBeacon

# --- True draws


def test_a_true_draw_verifies(desk: Desk) -> None:
    said = desk.verify(draw_of(BUYERS))
    assert said.code == 0, said.out
    assert "VERIFIED" in said.out
    assert "nobody could foresee the order" in said.out
    assert "signed by the ticket service" in said.out


@pytest.mark.parametrize("n", [0, 1, 2])
def test_draws_of_hardly_anybody_verify(desk: Desk, n: int) -> None:
    assert desk.verify(draw_of(BUYERS[:n])).code == 0


def test_holes_are_counted_and_no_fault_after_a_loss(desk: Desk) -> None:
    gone = draw_of([BUYERS[0], None, None, BUYERS[3]], losses=(a_loss(),))
    said = desk.verify(gone)
    assert said.code == 0
    text = " ".join(said.out.split())
    assert "4 numbers, 2 of them nobody's" in text
    assert "warning losses Redis lost who waited once: 2026-11-01 09:59:30Z, 9 waited" in text
    assert "2 numbers of before the last one are in the draw; 9 buyers waited then" in text


def test_holes_without_a_loss_are_a_fault(desk: Desk) -> None:
    said = desk.verify(draw_of([BUYERS[0], None, None, BUYERS[3]]))
    assert said.faults == ["entries"]
    assert "2 numbers are nobody's, and no loss is told" in " ".join(said.out.split())


def test_losses_that_contradict_each_other_or_the_draw_are_a_fault(desk: Desk) -> None:
    first, second = a_loss(), a_loss(epoch=3, at=FIXED_AT, numbers_to=40_000)
    assert desk.verify(draw_of(BUYERS, losses=(first, second))).code == 0
    for losses in (
        (second, first),
        (first, first),
        (first, a_loss(epoch=3, numbers_to=19_999)),
        (first, a_loss(epoch=3, at=first.at - timedelta(minutes=1))),
        (a_loss(at=FIXED_AT + timedelta(minutes=1)),),
    ):
        assert desk.verify(draw_of(BUYERS, losses=losses)).faults == ["losses"]


def test_losses_are_part_of_what_is_signed(desk: Desk) -> None:
    file = document(draw_of(BUYERS))
    file["facts"]["losses"] = document(draw_of(BUYERS, losses=(a_loss(),)))["facts"]["losses"]
    said = desk.verify(file)
    assert said.faults == ["statement"]
    assert "says something else of: losses" in said.out


def test_a_file_of_version_1_tells_no_losses_and_is_read_as_such(desk: Desk) -> None:
    file = document(draw_of(BUYERS, losses=None))
    assert file["version"] == 1
    assert "losses" not in file["facts"]
    said = desk.verify(file)
    assert said.code == 0
    assert "a file of version 1 tells none" in said.out
    for version, losses in ((2, None), (1, ())):
        said = desk.verify({**document(draw_of(BUYERS, losses=losses)), "version": version})
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert f"facts: it has {'no ' if losses is None else ''}losses, unlike files of version {version}" in said.err


@pytest.mark.parametrize("name", ["version", "facts", "leaves"])
def test_a_field_of_its_head_that_is_missing_is_named(desk: Desk, name: str) -> None:
    file = document(draw_of(BUYERS))
    del file[name]
    said = desk.verify(file)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert f"draw.json: {name}: Field required" in said.err


def test_without_a_beacon_the_operator_is_trusted_and_it_says_so(desk: Desk) -> None:
    said = desk.verify(draw_of(BUYERS, None))
    assert said.code == 0
    assert "You trust the operator" in said.out
    assert "follows from secret and entries\n" in said.out


def test_a_beacon_that_was_public_too_early_is_no_beacon(desk: Desk) -> None:
    late = draw_of(BUYERS, fixed_at=FIXED_AT + timedelta(minutes=5), drawn_at=FIXED_AT + timedelta(minutes=6))
    said = desk.verify(late)
    assert said.code == 0
    assert "known when the entries were fixed: you trust the operator" in said.out


def test_a_withdrawn_beacon_is_told(desk: Desk) -> None:
    named = (
        NamedBeacon(chain=BEACON.chain, round=BEACON.round, version=1, named_at=CLOSED_AT - timedelta(days=1)),
        NamedBeacon(version=2, named_at=FIXED_AT + timedelta(seconds=9)),
    )
    said = desk.verify(draw_of(BUYERS, None, beacons_named=named))
    assert said.code == 0
    text = " ".join(said.out.split())
    assert "changed once since it was first named, withdrawn at 2026-11-01 10:00:10Z, after the entries had" in text
    assert "ask the organiser why" in text


def test_a_beacon_changed_early_is_told_with_what_the_file_does_not_know(desk: Desk) -> None:
    """Before the first buyer could join a change is harmless, and the file does not say when that was."""
    days = [CLOSED_AT - timedelta(days=days) for days in (3, 2, 1)]
    named = tuple(
        NamedBeacon(chain=BEACON.chain, round=BEACON.round, version=version, named_at=at)
        for version, at in enumerate(days, start=1)
    )
    said = desk.verify(draw_of(BUYERS, beacons_named=named))
    assert said.code == 0
    text = " ".join(said.out.split())
    assert "changed 2 times since it was first named, last at 2026-10-31 10:00:00Z. That is harmless before" in text
    assert "which the file does not say" in text


def test_without_keys_it_is_said_that_nobody_vouches(desk: Desk) -> None:
    desk.options = desk.options[2:]
    said = desk.verify(draw_of(BUYERS))
    assert said.code == 0
    assert "give --keys to check who signed it" in said.out
    assert "it agrees with itself" in said.out


def test_what_was_noted_beforehand_is_held_against_it(desk: Desk) -> None:
    facts = draw_of(BUYERS).facts
    said = desk.verify(draw_of(BUYERS), "--commitment", facts.commitment, "--root", facts.root)
    assert said.code == 0
    assert "it agrees with itself" not in said.out
    assert desk.verify(draw_of(BUYERS), "--commitment", "00" * 32).faults == ["commitment"]
    assert desk.verify(draw_of(BUYERS), "--root", "00" * 32).faults == ["root"]


def test_the_order_can_be_written_down(desk: Desk) -> None:
    file = draw_of(BUYERS)
    path = desk.folder / "order.tsv"
    assert desk.verify(file, "--order", str(path)).code == 0
    head, *rows = path.read_text().splitlines()
    assert head == "place\tnumber\tleaf"
    assert [int(row.split("\t")[1]) for row in rows] == list(file.facts.draw.order())
    assert [int(row.split("\t")[0]) for row in rows] == list(range(1, 13))


def test_programs_are_answered_in_json(desk: Desk) -> None:
    said = json.loads(desk.verify(draw_of(BUYERS), "--json").out)
    assert said["verified"] is True
    assert (said["event"], said["line"], said["entries"]) == ("demo/show", "public", 12)
    assert {finding["level"] for finding in said["findings"]} <= {"ok", "note", "warning"}


# --- Tampered ones: every field of the file, one after the other


FIELDS = list(paths(document(draw_of(BUYERS, losses=(a_loss(),)))))


def test_the_tampering_below_reaches_every_field() -> None:
    assert {path[-1] for path in FIELDS if isinstance(path[-1], str)} == {
        *("format", "version", "event", "line", "entries", "commitment", "root", "secret", "key", "statement"),
        *("chain", "round", "randomness", "signature", "previousSignature", "namedAt"),
        *("committedAt", "drawAt", "closedAt", "fixedAt", "drawnAt"),
        *("epoch", "at", "numbersTo", "waiting"),
    }
    assert len([path for path in FIELDS if path[0] == "leaves"]) == 12


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_a_change_of_any_field_is_found(desk: Desk, path: tuple[str | int, ...]) -> None:
    said = desk.verify(changed(document(draw_of(BUYERS, losses=(a_loss(),))), path))
    assert said.code in (1, 2)
    assert said.code == 2 if path in (("format",), ("version",)) else said.faults, said.out + said.err


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_even_without_keys(desk: Desk, path: tuple[str | int, ...]) -> None:
    """The statement in the file says the same as the file; who changes both is found by the keys."""
    if path == ("facts", "statement"):
        return
    desk.options = desk.options[2:]
    assert desk.verify(changed(document(draw_of(BUYERS, losses=(a_loss(),))), path)).code in (1, 2)


def test_facts_that_were_changed_with_their_statement_are_found_by_the_keys(desk: Desk) -> None:
    facts = draw_of(BUYERS).facts.facts()
    forged = sign(facts.model_copy(update={"closed_at": facts.closed_at + timedelta(seconds=1)}), STRANGER)
    said = desk.verify(draw_of(BUYERS).model_copy(update={"facts": forged}))
    assert said.faults == ["statement"]


def test_a_field_nobody_knows_is_refused(desk: Desk) -> None:
    content = document(draw_of(BUYERS))
    content["facts"]["winner"] = "me"
    said = desk.verify(content)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "facts.winner" in said.err


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"commitment": "00" * 32}, "commitment"),
        ({"key": "00" * 32}, "key"),
        ({"beacons_named": ()}, "beacon"),
        ({"closed_at": CLOSED_AT - timedelta(minutes=1)}, "times"),
        ({"drawn_at": FIXED_AT + timedelta(seconds=1)}, "beacon"),
    ],
)
def test_a_false_draw_does_not_verify_though_the_operator_signs_it(
    desk: Desk, changes: dict[str, Any], check: str
) -> None:
    assert check in desk.verify(draw_of(BUYERS, **changes)).faults


def test_a_beacon_named_when_its_order_could_be_chosen_is_a_fault(desk: Desk) -> None:
    named = NamedBeacon(chain=BEACON.chain, round=BEACON.round, version=1, named_at=FIXED_AT + timedelta(seconds=1))
    said = desk.verify(draw_of(BUYERS, beacons_named=(named,)))
    assert said.faults == ["beacon"]
    assert "named after the entries were fixed" in said.out


def test_one_entry_with_two_numbers_is_found(desk: Desk) -> None:
    leaves = [leaf_of(1, "a"), leaf_of(2, "b"), leaf_of(1, "a")]
    said = desk.verify(draw_of_leaves(leaves))
    assert said.faults == ["entries"]
    assert "several numbers: 1, 3" in said.out


def test_an_unknown_chain_cannot_be_verified(desk: Desk) -> None:
    desk.options = desk.options[:2]
    said = desk.verify(draw_of(BUYERS))
    assert said.faults == ["beacon"]
    assert "cannot be judged: chain unknown, give --chains" in said.out
    assert "trust the operator" not in said.out


@pytest.mark.parametrize("name", ["signature", "randomness", "round"])
def test_a_forged_beacon_is_nothing_to_trust(desk: Desk, name: str) -> None:
    content = document(draw_of(BUYERS))
    content["facts"]["beacon"][name] = other(content["facts"]["beacon"][name])
    said = json.loads(desk.verify(content, "--json").out)
    assert [finding["level"] for finding in said["findings"] if finding["check"] == "trust"] == ["warning"]


@pytest.mark.parametrize("number", [10**15, 2**64, 10**30])
def test_a_round_that_never_comes_is_a_fault(desk: Desk, number: int) -> None:
    content = document(draw_of(BUYERS))
    content["facts"]["beacon"]["round"] = number
    assert "beacon" in desk.verify(content).faults
