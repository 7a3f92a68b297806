"""Signed tokens: what the verifier takes, and every forgery it must not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.errors import InvalidToken, Unavailable
from tiketi_runtime.security import TokenSigner, TokenVerifier, identity_from_claims

TYP, ISSUER, MINUTE = "at+jwt", "tiketi-auth", timedelta(minutes=1)
KEY = Ed25519PrivateKey.generate()
SIGNER = TokenSigner(KEY, ISSUER)
CLAIMS = {"sub": "anna", "iss": ISSUER, "aud": "tiketi", "iat": int(time.time()), "exp": int(time.time()) + 3600}
HEADER = {"typ": TYP, "alg": "EdDSA", "kid": SIGNER.kid}


@pytest.fixture
def verifier(tmp_path: Path) -> TokenVerifier:
    return TokenVerifier(_publish(tmp_path, SIGNER))


def _publish(folder: Path, *signers: TokenSigner) -> str:
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": [key for signer in signers for key in signer.jwks()["keys"]]}))
    return f"file://{path}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _forged(header: dict[str, Any], claims: Any = CLAIMS, key: Ed25519PrivateKey = KEY) -> str:
    """A token with exactly this header and payload, properly signed with ``key``."""
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
    return f"{signed}.{_b64(key.sign(signed.encode()))}"


async def test_a_signed_token_is_read_back(verifier: TokenVerifier) -> None:
    claims = await verifier.verify(SIGNER.sign(TYP, {"sub": "anna"}, MINUTE), TYP, ISSUER)
    assert claims["sub"] == "anna"
    assert claims["exp"] - claims["iat"] == 60
    assert (await verifier.verify(_forged(HEADER), TYP, ISSUER))["sub"] == "anna"


def _hs256_with_the_public_key() -> str:
    """The classic confusion: a MAC keyed with what everybody may know."""
    signed = f"{_b64(json.dumps({**HEADER, 'alg': 'HS256'}).encode())}.{_b64(json.dumps(CLAIMS).encode())}"
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"{signed}.{_b64(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def _of_an_embedded_key() -> str:
    stranger = Ed25519PrivateKey.generate()
    return _forged({**HEADER, "jwk": TokenSigner(stranger, ISSUER).jwks()["keys"][0]}, key=stranger)


def _rs256() -> str:
    return jwt.encode(CLAIMS, generate_private_key(65537, 2048), "RS256", headers={"typ": TYP, "kid": SIGNER.kid})


_GOOD = _forged(HEADER)
_HEAD, _BODY, _SIGNATURE = _GOOD.split(".")

FORGERIES = {
    "alg none": f"{_b64(json.dumps({**HEADER, 'alg': 'none'}).encode())}.{_BODY}.",
    "alg None with the old signature": f"{_b64(json.dumps({**HEADER, 'alg': 'None'}).encode())}.{_BODY}.{_SIGNATURE}",
    "no alg": _forged({"typ": TYP, "kid": SIGNER.kid}),
    "HS256 keyed with the public key": _hs256_with_the_public_key(),
    "RS256": _rs256(),
    "alg Ed448": _forged({**HEADER, "alg": "Ed448"}),
    "an embedded key": _of_an_embedded_key(),
    "a stranger's key under our kid": _forged(HEADER, key=Ed25519PrivateKey.generate()),
    "an unknown kid": _forged({**HEADER, "kid": "other"}),
    "no kid": _forged({"typ": TYP, "alg": "EdDSA"}),
    "a kid that is a number": _forged({**HEADER, "kid": 7}),
    "a kid that is a list": _forged({**HEADER, "kid": [SIGNER.kid]}),
    "a kid that is a path": _forged({**HEADER, "kid": "../../dev/null"}),
    "another typ": _forged({**HEADER, "typ": "payment-intent+jwt"}),
    "plain JWT": _forged({**HEADER, "typ": "JWT"}),
    "no typ": _forged({"alg": "EdDSA", "kid": SIGNER.kid}),
    "crit": _forged({**HEADER, "crit": ["exp"]}),
    "unencoded payload": _forged({**HEADER, "b64": False}),
    "another audience": _forged(HEADER, {**CLAIMS, "aud": "other"}),
    "no audience": _forged(HEADER, {k: v for k, v in CLAIMS.items() if k != "aud"}),
    "another issuer": _forged(HEADER, {**CLAIMS, "iss": "tiketi-payment"}),
    "an issuer list": _forged(HEADER, {**CLAIMS, "iss": [ISSUER]}),
    "expired": _forged(HEADER, {**CLAIMS, "exp": int(time.time()) - 6}),
    "no expiry": _forged(HEADER, {k: v for k, v in CLAIMS.items() if k != "exp"}),
    "expiry as text": _forged(HEADER, {**CLAIMS, "exp": "never"}),
    "expiry without end": _forged(HEADER, {**CLAIMS, "exp": float("inf")}),
    "issued in the future": _forged(HEADER, {**CLAIMS, "iat": int(time.time()) + 3600}),
    "not valid yet": _forged(HEADER, {**CLAIMS, "nbf": int(time.time()) + 3600}),
    "claims that are a list": _forged(HEADER, [CLAIMS]),
    "another payload": f"{_HEAD}.{_b64(json.dumps({**CLAIMS, 'sub': 'eve'}).encode())}.{_SIGNATURE}",
    "half a signature": f"{_HEAD}.{_BODY}.{_SIGNATURE[:40]}",
    "an empty signature": f"{_HEAD}.{_BODY}.",
    "two parts": f"{_HEAD}.{_BODY}",
    "four parts": f"{_GOOD}.x",
    "five parts": f"{_GOOD}.x.y",
    "nothing": "",
    "dots": "...",
    "not base64": "!!.!!.!!",
    "not ASCII": f"{_GOOD}é",
    "NUL": f"\0{_GOOD}",
    "a header nested without end": f"{_b64(b'[' * 6000)}.{_BODY}.{_SIGNATURE}",
    "a header that is a list": f"{_b64(b'[1]')}.{_BODY}.{_SIGNATURE}",
    "a header that is not UTF-8": f"{_b64(bytes([255, 254]))}.{_BODY}.{_SIGNATURE}",
    "an endless number": f"{_b64(b'9' * 6000)}.{_BODY}.{_SIGNATURE}",
    "far too long": "a" * 100_000,
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forgery_is_refused(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(token, TYP, ISSUER)


async def test_a_new_key_is_found_without_a_restart(
    verifier: TokenVerifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verifier.verify(_GOOD, TYP, ISSUER)
    rotated = TokenSigner(Ed25519PrivateKey.generate(), ISSUER)
    _publish(tmp_path, SIGNER, rotated)
    later = time.monotonic() + 6
    monkeypatch.setattr("time.monotonic", lambda: later)
    for signer in (rotated, SIGNER):
        await verifier.verify(signer.sign(TYP, {"sub": "anna"}, MINUTE), TYP, ISSUER)


async def test_known_keys_outlive_their_issuer(verifier: TokenVerifier, tmp_path: Path) -> None:
    await verifier.verify(_GOOD, TYP, ISSUER)
    (tmp_path / "jwks.json").unlink()
    await verifier.verify(_GOOD, TYP, ISSUER)
    with pytest.raises(InvalidToken):
        await verifier.verify(_forged({**HEADER, "kid": "other"}), TYP, ISSUER)


async def test_a_token_seen_before_is_not_verified_again_but_expires_all_the_same(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = SIGNER.sign(TYP, {"sub": "anna"}, MINUTE)
    claims = await verifier.verify(token, TYP, ISSUER)
    monkeypatch.setattr(verifier, "_check", None)  # nothing is verified from here on
    assert await verifier.verify(token, TYP, ISSUER) == claims
    monkeypatch.undo()
    ended = claims["exp"] + 5  # the leeway
    monkeypatch.setattr("time.time", lambda: ended - 0.5)
    assert await verifier.verify(token, TYP, ISSUER) == claims
    monkeypatch.setattr("time.time", lambda: ended)
    with pytest.raises(InvalidToken, match="expired"):
        await verifier.verify(token, TYP, ISSUER)


async def test_a_token_seen_before_is_still_none_of_another_type_or_issuer(verifier: TokenVerifier) -> None:
    await verifier.verify(_GOOD, TYP, ISSUER)
    for typ, issuer in (("payment-intent+jwt", ISSUER), (TYP, "tiketi-payment")):
        with pytest.raises(InvalidToken):
            await verifier.verify(_GOOD, typ, issuer)


async def test_what_one_caller_does_to_the_claims_does_not_reach_the_next(verifier: TokenVerifier) -> None:
    (await verifier.verify(_GOOD, TYP, ISSUER))["sub"] = "eve"
    assert (await verifier.verify(_GOOD, TYP, ISSUER))["sub"] == "anna"


async def test_a_token_of_a_key_that_was_withdrawn_is_refused_though_it_was_seen(
    verifier: TokenVerifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verifier.verify(_GOOD, TYP, ISSUER)
    successor = TokenSigner(Ed25519PrivateKey.generate(), ISSUER)
    _publish(tmp_path, successor)
    later = time.monotonic() + 6
    monkeypatch.setattr("time.monotonic", lambda: later)
    await verifier.verify(successor.sign(TYP, {"sub": "boris"}, MINUTE), TYP, ISSUER)
    with pytest.raises(InvalidToken):
        await verifier.verify(_GOOD, TYP, ISSUER)


async def test_only_so_many_tokens_are_remembered_and_the_least_used_go_first(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiketi_runtime.security.MOST_TOKENS", 2)
    anna, boris, carla = (SIGNER.sign(TYP, {"sub": name}, MINUTE) for name in ("anna", "boris", "carla"))
    for token in (anna, boris, anna, carla):
        await verifier.verify(token, TYP, ISSUER)
    monkeypatch.setattr(verifier, "_check", None)
    for token in (anna, carla):
        await verifier.verify(token, TYP, ISSUER)
    with pytest.raises(TypeError):  # verified again, which cannot be any more
        await verifier.verify(boris, TYP, ISSUER)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([ISSUER, "tiketi", "other", [], ["tiketi"], ["other", "tiketi"], [1], {}]),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.integers(int(time.time()) - 20, int(time.time()) + 20),
)


@given(changes=st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "nbf"]), VALUES, max_size=3))
def test_nothing_is_taken_that_the_library_everybody_uses_refuses(changes: dict[str, Any]) -> None:
    """PyJWT is the judge of what the claims mean; we may be stricter."""
    token = _forged(HEADER, {**CLAIMS, **changes})
    try:
        asyncio.run(TokenVerifier.of(SIGNER.jwks()).verify(token, TYP, ISSUER))
    except InvalidToken:
        return
    jwt.decode(
        token,
        jwt.PyJWK(SIGNER.jwks()["keys"][0]),
        algorithms=["EdDSA"],
        audience="tiketi",
        issuer=ISSUER,
        leeway=6,  # a second of ours may have passed in between
        options={"require": ["exp", "iat", "iss", "aud"]},
    )


@given(place=st.integers(0, len(_GOOD) - 1), sign=st.sampled_from("AZaz09-_.=+/ "))
def test_no_character_of_a_token_can_be_changed(place: int, sign: str) -> None:
    """But for the last of the signature, of which four bits mean nothing."""
    changed = _GOOD[:place] + sign + _GOOD[place + 1 :]
    if changed == _GOOD or place == len(_GOOD) - 1:
        return
    with pytest.raises(InvalidToken):
        asyncio.run(TokenVerifier.of(SIGNER.jwks()).verify(changed, TYP, ISSUER))


async def test_a_stranger_cannot_make_us_ask_the_issuer_again_and_again(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def fetch(url: str) -> object:
        asked.append(url)
        return SIGNER.jwks()

    monkeypatch.setattr("tiketi_runtime.security._fetch_json", fetch)
    for number in range(20):
        with pytest.raises(InvalidToken):
            await verifier.verify(_forged({**HEADER, "kid": str(number)}), TYP, ISSUER)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '{"keys": 7}', '{"keys": [7]}', '{"keys": []}', '{"keys": [{"kty": "RSA"}]}']
)
async def test_keys_that_cannot_be_read_make_the_service_unavailable(tmp_path: Path, content: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(content)
    with pytest.raises(Unavailable) as caught:
        await TokenVerifier(f"file://{path}").verify(_GOOD, TYP, ISSUER)
    assert caught.value.members["retryAfter"] > 0


async def test_an_issuer_that_cannot_be_reached_makes_the_service_unavailable() -> None:
    with pytest.raises(Unavailable):
        await TokenVerifier("http://127.0.0.1:1/jwks.json").verify(_GOOD, TYP, ISSUER)


def test_a_key_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    rsa = generate_private_key(65537, 2048)
    path.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="Ed25519"):
        TokenSigner.from_pem_file(path, ISSUER)
    path.write_text("no key at all")
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the library's
        TokenSigner.from_pem_file(path, ISSUER)


def test_the_published_key_holds_no_private_part() -> None:
    (key,) = SIGNER.jwks()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert key["kid"] == TokenSigner(KEY, "any").kid


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"roles": []},
        {"sub": "anna", "roles": 7},
        {"sub": "anna", "roles": [7]},
        {"sub": "anna", "roles": [{"role": "sre"}]},
        {"sub": "anna", "roles": [{"role": "sre", "namespaces": 7}]},
    ],
)
def test_claims_of_another_shape_are_no_identity(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        identity_from_claims(claims)


def test_a_token_that_says_nothing_of_roles_has_none() -> None:
    assert identity_from_claims({"sub": "anna"}).grants == ()


def test_a_role_covers_its_namespaces_only() -> None:
    roles = [{"role": "organiser", "namespaces": ["arena"]}, {"role": "buyer", "namespaces": ["*"]}]
    anna = identity_from_claims({"sub": "anna", "roles": roles})
    assert anna.has_role("organiser", "arena")
    assert not anna.has_role("organiser", "other")
    assert anna.has_role("buyer", "other")
    assert not anna.has_role("sre", "arena")
