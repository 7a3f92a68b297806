"""What the tokens of a session say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import Mac, TokenSigner, TokenVerifier, identity_from_claims
from tiketi_services.auth.domain import (
    Account,
    Email,
    RoleGrant,
    SessionId,
    VerificationExpired,
    VerificationNotValid,
)
from tiketi_services.auth.tokens import ACCESS, ISSUER, Tokens, Turn, VerificationTokens

KEY = Ed25519PrivateKey.generate()
SIGNER = TokenSigner(KEY, ISSUER)
TOKENS = Tokens(SIGNER, timedelta(minutes=15))
REGISTERED = datetime(2026, 11, 1, 9, 0, 0, 999_999, UTC)
ANNA = Account(
    BuyerId("a-1"), Email("anna@example.com"), "Anna", "hash", REGISTERED, grants=(RoleGrant("gate", "arena"),)
)
TURN = Turn(SessionId("s-1"), 3)
PAIR = TOKENS.pair(ANNA, TURN)


async def test_the_access_token_says_who_and_which_session_and_which_roles() -> None:
    claims = await TokenVerifier.of(SIGNER.jwks()).verify(PAIR.access, ACCESS, ISSUER)
    assert {name: claims[name] for name in ("sub", "sid", "name", "aud")} == {
        "sub": "a-1",
        "sid": "s-1",
        "name": "Anna",
        "aud": "tiketi",
    }
    assert claims["exp"] - claims["iat"] == 15 * 60
    identity = identity_from_claims(claims)
    assert identity.has_role("buyer", "anywhere")
    assert identity.has_role("gate", "arena")
    assert not identity.has_role("gate", "other")


async def test_the_access_token_holds_no_address_and_no_hash() -> None:
    claims = await TokenVerifier.of(SIGNER.jwks()).verify(PAIR.access, ACCESS, ISSUER)
    shown = {"sub", "sid", "name", "email_verified", "registered_at", "roles"}
    assert set(claims) == {*shown, "iss", "aud", "iat", "exp"}


@pytest.mark.parametrize("is_verified", [False, True])
async def test_the_access_token_says_since_when_there_is_the_account_and_whether_its_address_is_verified(
    is_verified: bool,
) -> None:
    pair = TOKENS.pair(replace(ANNA, is_verified=is_verified), TURN)
    claims = await TokenVerifier.of(SIGNER.jwks()).verify(pair.access, ACCESS, ISSUER)
    assert claims["email_verified"] is is_verified
    assert claims["registered_at"] == 1_793_523_600


def test_a_refresh_token_is_read_back() -> None:
    assert TOKENS.read_refresh(PAIR.refresh) == TURN


def test_the_same_turn_has_the_same_token_and_another_turn_another() -> None:
    assert TOKENS.pair(ANNA, TURN).refresh == PAIR.refresh
    assert TOKENS.pair(ANNA, Turn(TURN.session, 4)).refresh != PAIR.refresh


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        PAIR.access,
        PAIR.refresh[:-1],
        PAIR.refresh + "A",
        Tokens(TokenSigner(Ed25519PrivateKey.generate(), ISSUER), timedelta(1)).pair(ANNA, TURN).refresh,
        Mac(SIGNER.kid, {SIGNER.kid: b"x" * 32}).seal("refresh-token", {"session": "s-1", "turn": 3}),
        Mac(SIGNER.kid, {SIGNER.kid: SIGNER.derive_key("other")}).seal("refresh-token", {"session": "s-1", "turn": 3}),
    ],
)
def test_a_refresh_token_of_another_make_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.read_refresh(token)


async def test_a_refresh_token_is_no_access_token() -> None:
    with pytest.raises(InvalidToken):
        await TokenVerifier.of(SIGNER.jwks()).verify(PAIR.refresh, ACCESS, ISSUER)


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
VERIFICATIONS = VerificationTokens(SIGNER, DAY)
LINK = VERIFICATIONS.seal(ANNA.id, ANNA.email, NOW)


def test_a_link_says_whose_address_it_verifies_until_it_is_too_old() -> None:
    assert VERIFICATIONS.read(LINK, NOW) == (ANNA.id, ANNA.email)
    assert VERIFICATIONS.read(LINK, NOW + DAY) == (ANNA.id, ANNA.email)
    with pytest.raises(VerificationExpired):
        VERIFICATIONS.read(LINK, NOW + DAY + timedelta(seconds=1))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "-",
        LINK[:-1],
        f"{LINK}A",
        PAIR.access,
        PAIR.refresh,
        VerificationTokens(TokenSigner(Ed25519PrivateKey.generate(), ISSUER), DAY).seal(ANNA.id, ANNA.email, NOW),
    ],
)
def test_a_link_of_another_make_is_refused(token: str) -> None:
    with pytest.raises(VerificationNotValid):
        VERIFICATIONS.read(token, NOW)


def test_a_link_is_no_token_of_a_session() -> None:
    with pytest.raises(InvalidToken):
        TOKENS.read_refresh(LINK)
