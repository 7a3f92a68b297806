"""Signed words that are opened offline, with the keys that count."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import ForeignSignature, PublicKeys, TokenSigner

TYP = "ticket+jws"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = TokenSigner(KEY, "tiketi-ticket")
NEXT = TokenSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)), "tiketi-ticket")
KEYS = PublicKeys(SIGNER.jwks())
CLAIMS = {"seat": "A-1", "name": "김안나"}
WORD = SIGNER.seal(TYP, CLAIMS)


def b64(content: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_by(key: Ed25519PrivateKey, header: dict[str, Any], claims: object = CLAIMS) -> str:
    word = f"{b64(header)}.{b64(claims)}"
    return f"{word}.{b64(key.sign(word.encode()))}"


def test_what_was_sealed_is_read_and_is_the_same_each_time() -> None:
    assert KEYS.read(WORD, TYP) == CLAIMS
    assert SIGNER.seal(TYP, CLAIMS) == WORD


def test_a_standard_library_reads_it_too() -> None:
    assert jwt.decode(WORD, KEY.public_key(), algorithms=["EdDSA"]) == CLAIMS


@given(place=st.integers(0, len(WORD) - 1), character=st.sampled_from("AZaz09-_.=+/\0é"))
def test_one_other_character_and_it_counts_no_more(place: int, character: str) -> None:
    altered = WORD[:place] + character + WORD[place + 1 :]
    try:
        # The last character of each part has bits that mean nothing: the same content may be spelled in two ways.
        assert KEYS.read(altered, TYP) == CLAIMS
        assert place in (WORD.index(".") - 1, WORD.rindex(".") - 1, len(WORD) - 1) or altered == WORD
    except InvalidToken:
        assert altered != WORD


@given(st.text(max_size=300))
def test_whatever_is_scanned_is_refused_and_nothing_breaks(text: str) -> None:
    with pytest.raises(InvalidToken):
        KEYS.read(text, TYP)


@pytest.mark.parametrize(
    "word",
    [
        signed_by(KEY, {"alg": "none", "kid": SIGNER.kid, "typ": TYP}),
        signed_by(KEY, {"alg": "HS256", "kid": SIGNER.kid, "typ": TYP}),
        signed_by(KEY, {"alg": "EdDSA", "kid": SIGNER.kid, "typ": "at+jwt"}),
        signed_by(KEY, {"alg": "EdDSA", "kid": SIGNER.kid}),
        signed_by(KEY, {"alg": "EdDSA", "kid": SIGNER.kid, "typ": TYP, "crit": ["b64"], "b64": False}),
        signed_by(KEY, {"alg": "EdDSA", "kid": SIGNER.kid, "typ": TYP}, [1, 2]),
        signed_by(KEY, {"alg": "EdDSA", "kid": SIGNER.kid, "typ": TYP}, b"not json"),
        "https://tickets.example.com/1",
        WORD[:-40].rpartition(".")[0],
        "A" * 9000,
    ],
)
def test_words_of_another_kind_are_none(word: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        KEYS.read(word, TYP)
    assert not isinstance(refused.value, ForeignSignature)


@pytest.mark.parametrize(
    "word",
    [
        NEXT.seal(TYP, CLAIMS),
        signed_by(Ed25519PrivateKey.generate(), {"alg": "EdDSA", "kid": SIGNER.kid, "typ": TYP}),
        signed_by(KEY, {"alg": "EdDSA", "kid": "another", "typ": TYP}),
        signed_by(KEY, {"alg": "EdDSA", "kid": NEXT.kid, "typ": TYP, "jwk": NEXT.jwks()["keys"][0]}),
        f"{WORD.rpartition('.')[0]}.{b64(bytes(64))}",
    ],
)
def test_words_of_the_kind_that_others_made_are_foreign(word: str) -> None:
    with pytest.raises(ForeignSignature):
        KEYS.read(word, TYP)


# --- Two keys at a time


def pem(folder: Path, key: Ed25519PrivateKey) -> Path:
    path = folder / "signing.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_former_and_next_keys_are_published_and_count(tmp_path: Path) -> None:
    others = tmp_path / "others.json"
    others.write_text(json.dumps(NEXT.jwks()))
    both = TokenSigner.from_pem_file(pem(tmp_path, KEY), "tiketi-ticket", others)
    published = both.jwks()
    assert [key["kid"] for key in published["keys"]] == [SIGNER.kid, NEXT.kid]
    assert PublicKeys(published).read(NEXT.seal(TYP, CLAIMS), TYP) == CLAIMS
    assert PublicKeys(published).read(both.seal(TYP, CLAIMS), TYP) == CLAIMS


def test_the_own_key_among_the_others_is_published_once(tmp_path: Path) -> None:
    others = tmp_path / "others.json"
    others.write_text(json.dumps(SIGNER.jwks()))
    assert TokenSigner.from_pem_file(pem(tmp_path, KEY), "tiketi-ticket", others).jwks() == SIGNER.jwks()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"keys": []}',
        json.dumps({"keys": [{**NEXT.jwks()["keys"][0], "d": "c2VjcmV0"}]}),
        json.dumps({"keys": [{**NEXT.jwks()["keys"][0], "x": "short"}]}),
    ],
)
def test_a_file_of_other_keys_that_cannot_be_used_is_refused_by_name(tmp_path: Path, content: str) -> None:
    others = tmp_path / "others.json"
    others.write_text(content)
    with pytest.raises(ValueError, match=r"others\.json"):
        TokenSigner.from_pem_file(pem(tmp_path, KEY), "tiketi-ticket", others)
