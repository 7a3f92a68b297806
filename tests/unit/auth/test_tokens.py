"""What the tokens of a session say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import Mac, TokenSigner, TokenVerifier, identity_from_claims
from tiketi_services.auth.domain import Account, Email, RoleGrant, SessionId
from tiketi_services.auth.tokens import ACCESS, ISSUER, Tokens, Turn

KEY = Ed25519PrivateKey.generate()
SIGNER = TokenSigner(KEY, ISSUER)
TOKENS = Tokens(SIGNER, timedelta(minutes=15))
ANNA = Account(BuyerId("a-1"), Email("anna@example.com"), "Anna", "hash", (RoleGrant("gate", "arena"),))
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
    assert set(claims) == {"sub", "sid", "name", "roles", "iss", "aud", "iat", "exp"}


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
