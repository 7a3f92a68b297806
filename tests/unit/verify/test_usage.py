"""What cannot be used is refused in one line, with exit code 2; and what the command says of itself."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.unit.verify.a_draw import (
    BUYERS,
    SIGNER,
    SIMULATOR,
    STRANGER,
    Desk,
    draw_of,
)


@pytest.mark.parametrize(
    "content", ["", "not json", "[]", "{}", '{"format": "tiketi-draw"}', "[" * 100_000, '{"format": []}', "\udcff"]
)
def test_a_file_that_is_no_draw_is_refused_in_one_line(desk: Desk, content: str) -> None:
    path = desk.folder / "bad.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    said = desk.run("verify", str(path))
    assert said.code == 2
    assert said.err.startswith("tiketi: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--keys", "--receipt", "--chains", "--compare"])
@pytest.mark.parametrize(
    "content", ["", "{}", '{"keys": []}', '{"keys": [{"kid": 1, "crv": "Ed25519"}]}', "a.b.c", "[{}]"]
)
def test_so_is_everything_else_that_is_given(desk: Desk, option: str, content: str) -> None:
    bad = desk.write("bad", content)
    said = desk.run("verify", desk.write("draw.json", draw_of(BUYERS)), option, bad)
    assert said.code == 2, said
    assert said.err.count("\n") == 1


def test_a_name_that_is_said_twice_is_refused(desk: Desk) -> None:
    """Another reader would take the other one."""
    path = Path(desk.write("draw.json", draw_of(BUYERS)))
    path.write_text('{"version":1,' + path.read_text().lstrip()[1:])
    said = desk.run("verify", str(path))
    assert (said.code, said.out) == (2, "")
    assert "version is there twice" in said.err


def test_a_file_that_is_not_there_is_refused_in_one_line(desk: Desk) -> None:
    said = desk.run("verify", str(desk.folder / "nothing.json"))
    assert (said.code, said.err.count("\n")) == (2, 1)
    said = desk.run("verify", str(desk.folder))
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_an_order_that_cannot_be_written_is_said(desk: Desk) -> None:
    said = desk.verify(draw_of(BUYERS), "--order", str(desk.folder / "nowhere" / "order.tsv"))
    assert (said.code, said.out) == (2, "")
    assert "order.tsv" in said.err


@pytest.mark.parametrize("option", ["--root", "--commitment"])
@pytest.mark.parametrize("text", ["abc", "", "AB" * 32, "00" * 33])
def test_what_was_noted_is_a_hash(desk: Desk, option: str, text: str) -> None:
    said = desk.verify(draw_of(BUYERS), option, text)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert option in said.err


@pytest.mark.parametrize("content", ["[[]]", "5", {"hash": "\n\n"}, SIMULATOR.info() | {"hash": "a\nb"}, "\x00"])
def test_chains_that_are_none_are_refused_in_one_line(desk: Desk, content: Any) -> None:
    said = desk.verify(draw_of(BUYERS), "--chains", desk.write("bad.json", content))
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "bad.json" in said.err
    missing = desk.verify(draw_of(BUYERS), "--chains", str(desk.folder / "nothing.json"))
    assert (missing.code, missing.err) == (2, f"tiketi: {desk.folder}/nothing.json: No such file or directory\n")


def test_it_says_its_version(desk: Desk) -> None:
    said = desk.run("--version")
    assert (said.code, said.out) == (0, f"tiketi {version('tiketi')}\n")


def test_keys_are_those_of_the_service(desk: Desk) -> None:
    assert SIGNER.jwks() != STRANGER.jwks()
    stranger = desk.write("stranger.json", STRANGER.jwks())
    desk.options = ["--keys", stranger, "--chains", desk.write("chains.json", SIMULATOR.info())]
    assert desk.verify(draw_of(BUYERS)).faults == ["statement"]
