"""Access tokens at the door: ours only, however they are dressed up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.integration.auth.conftest import Client

from tiketi_runtime.security import TokenSigner, TokenVerifier


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Forger:
    """Takes a good token apart and puts it together anew."""

    def __init__(self, good: str, key: Ed25519PrivateKey) -> None:
        self.good = good
        self.key = key
        head, body, self.signature = good.split(".")
        self.header: dict[str, Any] = json.loads(_unb64(head))
        self.claims: dict[str, Any] = json.loads(_unb64(body))

    def signed(self, key: Ed25519PrivateKey, header: dict[str, Any] | None = None, **claims: Any) -> str:
        text = self._text({**self.header, **(header or {})}, {**self.claims, **claims})
        return f"{text}.{_b64(key.sign(text.encode()))}"

    def unsigned(self, algorithm: str) -> str:
        return f"{self._text({**self.header, 'alg': algorithm}, self.claims)}."

    def with_mac(self) -> str:
        """HS256 with the bytes everybody can read in the JWKS as its secret."""
        text = self._text({**self.header, "alg": "HS256"}, self.claims)
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"{text}.{_b64(hmac.digest(public, text.encode(), hashlib.sha256))}"

    def promoted(self) -> str:
        """The old signature under new claims."""
        claims = {**self.claims, "roles": [{"role": "sre", "namespaces": ["*"]}]}
        return f"{self._text(self.header, claims)}.{self.signature}"

    def _text(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"


@pytest.fixture(scope="module")
async def forger(client: Client, signing_key: Ed25519PrivateKey) -> Forger:
    return Forger((await client.new_session())["accessToken"], signing_key)


def forgeries(forger: Forger) -> dict[str, str]:
    stranger = Ed25519PrivateKey.generate()
    embedded = {"jwk": TokenSigner(stranger, "tiketi-auth").jwks()["keys"][0]}
    return {
        "alg none": forger.unsigned("none"),
        "alg NONE": forger.unsigned("NONE"),
        "HS256 with the public key": forger.with_mac(),
        "a stranger's key": forger.signed(stranger),
        "an embedded key": forger.signed(stranger, embedded),
        "an embedded key with its own kid": forger.signed(stranger, {**embedded, "kid": embedded["jwk"]["kid"]}),
        "a key address": forger.signed(stranger, {"jku": "http://127.0.0.1:1/jwks.json"}),
        "a wrong kid": forger.signed(forger.key, {"kid": "other"}),
        "crit": forger.signed(forger.key, {"crit": ["x"], "x": 1}),
        "another typ": forger.signed(forger.key, {"typ": "payment-intent+jwt"}),
        "typ JWT": forger.signed(forger.key, {"typ": "JWT"}),
        "another audience": forger.signed(forger.key, aud="other"),
        "another issuer": forger.signed(forger.key, iss="tiketi-ticket"),
        "expired": forger.signed(forger.key, exp=int(time.time()) - 60),
        "promoted": forger.promoted(),
        "no signature": f"{forger.good.rpartition('.')[0]}.",
        "roles that are none": forger.signed(forger.key, roles="sre"),
        "nonsense": "nonsense",
    }


_SAMPLE_KEY = Ed25519PrivateKey.generate()
NAMES = list(forgeries(Forger(TokenSigner(_SAMPLE_KEY, "any").sign("any", {}, timedelta(1)), _SAMPLE_KEY)))


@pytest.mark.parametrize("name", NAMES)
async def test_a_forged_token_is_refused(client: Client, forger: Forger, name: str) -> None:
    answer = await client.ask("GET", "/auth/me", token=forgeries(forger)[name])
    assert (answer.status, answer.body["code"]) == (401, "invalid-token")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_forger_s_tools_make_good_tokens_when_told_the_truth(client: Client, forger: Forger) -> None:
    assert (await client.ask("GET", "/auth/me", token=forger.signed(forger.key))).status == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_no_token_is_told_how_to_send_one(client: Client, header: str) -> None:
    async with client.session.get("/auth/me", headers={"authorization": header}) as answer:
        body = await answer.json(content_type=None)
    assert (answer.status, body["code"]) == (401, "unauthenticated")


async def test_a_refresh_token_is_no_access_token_and_the_other_way_round(client: Client) -> None:
    tokens = await client.new_session()
    assert (await client.ask("GET", "/auth/me", token=tokens["refreshToken"])).status == 401
    assert (await client.refresh(tokens["accessToken"])).status == 401


@pytest.mark.parametrize("path", ["/auth/.well-known/jwks.json", "/.well-known/jwks.json"])
async def test_published_keys_verify_our_tokens(client: Client, forger: Forger, path: str) -> None:
    answer = await client.ask("GET", path)
    assert answer.status == 200
    assert "max-age" in answer.headers["cache-control"]
    assert "d" not in answer.body["keys"][0]
    claims = await TokenVerifier.of(answer.body).verify(forger.good, "at+jwt", "tiketi-auth")
    assert claims["sid"]


async def test_another_service_fetches_the_keys_by_itself(client: Client, forger: Forger) -> None:
    verifier = TokenVerifier(client.url("/.well-known/jwks.json"))
    assert (await verifier.verify(forger.good, "at+jwt", "tiketi-auth"))["name"] == "Anna"
