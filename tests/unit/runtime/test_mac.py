"""Compact seals: only what we sealed, for the purpose it was sealed for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import Mac

OLD, NEW = b"o" * 32, b"n" * 32
MAC = Mac("k2", {"k1": OLD, "k2": NEW})
PAYLOAD = {"event": "arena/first", "seq": 7}
SEALED = MAC.seal("place-receipt", PAYLOAD)
KID, BODY, TAG = SEALED.split(".")


def test_what_was_sealed_is_opened() -> None:
    assert MAC.open("place-receipt", SEALED) == PAYLOAD


def test_a_key_that_is_no_longer_current_still_opens() -> None:
    assert MAC.open("place-receipt", Mac("k1", {"k1": OLD}).seal("place-receipt", PAYLOAD)) == PAYLOAD


def test_a_key_that_was_removed_opens_nothing() -> None:
    with pytest.raises(InvalidToken):
        Mac("k1", {"k1": OLD}).open("place-receipt", SEALED)


FORGERIES = {
    "another kid": f"k1.{BODY}.{TAG}",
    "an unknown kid": f"k9.{BODY}.{TAG}",
    "no kid": f".{BODY}.{TAG}",
    "another body": f"{KID}.{BODY[:-1]}A.{TAG}",
    "an empty body": f"{KID}..{TAG}",
    "a short tag": f"{KID}.{BODY}.{TAG[:-1]}",
    "an empty tag": f"{KID}.{BODY}.",
    "a padded tag": f"{KID}.{BODY}.{TAG}=",
    "the bits of the tag nobody reads": f"{KID}.{BODY}.{TAG[:-1]}{chr(ord(TAG[-1]) + 1)}",
    "no tag": f"{KID}.{BODY}",
    "one more part": f"{SEALED}.x",
    "JSON": json.dumps(PAYLOAD),
    "nothing": "",
    "not ASCII": f"{KID}.{BODY}é.{TAG}",
    "NUL": f"{SEALED}\0",
    "far too long": f"{KID}.{'a' * 10_000}.{TAG}",
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        MAC.open("place-receipt", token)


def test_a_receipt_cannot_be_opened_as_a_pass() -> None:
    with pytest.raises(InvalidToken, match="admission pass"):
        MAC.open("admission-pass", SEALED)


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(InvalidToken):
        MAC.open("place-receipt", text)


@given(
    st.dictionaries(st.text(max_size=20), st.integers(-(2**60), 2**60) | st.text(max_size=50) | st.none(), max_size=8)
)
def test_any_payload_survives(payload: dict[str, Any]) -> None:
    sealed = MAC.seal("admission-pass", payload)
    assert MAC.open("admission-pass", sealed) == payload
    assert sealed.isascii()


def _b64(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"current": "k2", "keys": {"k1": _b64(OLD), "k2": _b64(NEW)}}))
    assert Mac.from_file(path).open("place-receipt", SEALED) == PAYLOAD


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"current": "k1"}),
        json.dumps({"current": "k1", "keys": []}),
        json.dumps({"current": "k1", "keys": {"k1": 7}}),
        json.dumps({"current": "k1", "keys": {"k1": "not base64!"}}),
        json.dumps({"current": "k1", "keys": {"k1": _b64(b"short")}}),
        json.dumps({"current": "k2", "keys": {"k1": _b64(OLD)}}),
        json.dumps({"current": "a.b", "keys": {"a.b": _b64(OLD)}}),
    ],
)
def test_a_key_file_of_another_shape_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ValueError):  # noqa: PT011 - some texts are the parser's
        Mac.from_file(path)
