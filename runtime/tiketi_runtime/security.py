"""Proofs: signed tokens between services (EdDSA, RFC 8037), and compact MACs for the hot path.

The algorithm is fixed here and never read from a token; a key is looked up by ``kid`` in our own set only; every
kind of token has its own ``typ``, so that one can never be taken for another (RFC 8725, 3.1, 3.10, 3.11).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
import jwt
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from tiketi_runtime.errors import InvalidToken, Unavailable

ALGORITHM = "EdDSA"
AUDIENCE = "tiketi"
LEEWAY = timedelta(seconds=5)
"""Clocks of two hosts may differ by this much."""
_REFETCH_AFTER_SECONDS = 5.0
_RETRY_AFTER_SECONDS = 1.0
_MAX_TOKEN_CHARACTERS = 8192
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role and the namespaces it covers; ``*`` covers all."""

    role: str
    namespaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling."""

    subject: str
    grants: tuple[Grant, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def has_role(self, role: str, namespace: str) -> bool:
        """Whether the caller holds ``role`` over ``namespace``."""
        return any(
            grant.role == role and ("*" in grant.namespaces or namespace in grant.namespaces) for grant in self.grants
        )


class TokenSigner:
    """Signs tokens of one issuer with one Ed25519 key."""

    def __init__(self, key: Ed25519PrivateKey, issuer: str) -> None:
        self._key = key
        self.issuer = issuer
        self._jwk = json.loads(OKPAlgorithm.to_jwk(key.public_key()))
        self.kid = _thumbprint(self._jwk)

    @classmethod
    def from_pem_file(cls, path: Path, issuer: str) -> Self:
        """Read the key. Raises ValueError if the file holds no Ed25519 private key."""
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path}: an Ed25519 private key in PEM is needed")
        return cls(key, issuer)

    def sign(self, typ: str, claims: Mapping[str, Any], ttl: timedelta, *, issued_at: datetime | None = None) -> str:
        """A compact JWS with ``iss``, ``aud``, ``iat`` and ``exp`` set.

        ``issued_at`` (now, if not given) makes the token repeatable: the same arguments give the same bytes.
        """
        now = int(time.time() if issued_at is None else issued_at.timestamp())
        payload = {
            **claims,
            "iss": self.issuer,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + int(ttl.total_seconds()),
        }
        return jwt.encode(payload, self._key, algorithm=ALGORITHM, headers={"typ": typ, "kid": self.kid})

    def derive_key(self, purpose: str) -> bytes:
        """32 bytes that only a holder of the private key can know, others for each purpose (HKDF, RFC 5869)."""
        return HKDF(hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(self._key.private_bytes_raw())

    def jwks(self) -> dict[str, Any]:
        """The public half as a JWK Set (RFC 7517)."""
        return {"keys": [{**self._jwk, "kid": self.kid, "use": "sig", "alg": ALGORITHM}]}


class TokenVerifier:
    """Verifies tokens with the keys another service publishes.

    Keys are fetched at the first need, kept for ever, and fetched again when a token names an unknown one: the issuer
    may be down as long as its keys do not change. It is asked at most every 5 s, or 1 s while it does not answer,
    whatever tokens strangers send.
    """

    def __init__(self, jwks_url: str) -> None:
        self._url = jwks_url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetch_at = float("-inf")
        self._lock = asyncio.Lock()

    @classmethod
    def of(cls, jwks: Mapping[str, Any]) -> Self:
        """A verifier for tokens of our own: it has the keys and asks nobody."""
        verifier = cls("")
        verifier._keys = _keys_of(jwks)
        verifier._fetch_at = float("inf")
        return verifier

    async def verify(self, token: str, typ: str, issuer: str) -> dict[str, Any]:
        """The claims. Raises InvalidToken, or Unavailable when the issuer's keys cannot be had yet."""
        try:
            if len(token) > _MAX_TOKEN_CHARACTERS:
                raise jwt.InvalidTokenError("the token is too long")
            header = jwt.get_unverified_header(token)
            if header.get("typ") != typ or header.get("alg") != ALGORITHM or "crit" in header:
                raise jwt.InvalidTokenError(f"a token of type {typ} is needed")
            key = await self._key(str(header.get("kid", "")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidToken(f"The token is not valid: {error}.") from error
        return claims

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys:
            await self._refetch()
        if not self._keys:
            raise Unavailable("The keys that verify tokens cannot be fetched yet.", retryAfter=_RETRY_AFTER_SECONDS)
        try:
            return self._keys[kid]
        except KeyError:
            raise jwt.InvalidTokenError("signed with an unknown key") from None

    async def _refetch(self) -> None:
        async with self._lock:
            if time.monotonic() < self._fetch_at:
                return
            try:
                self._keys = _keys_of(await _fetch_json(self._url))
                self._fetch_at = time.monotonic() + _REFETCH_AFTER_SECONDS
            except (aiohttp.ClientError, OSError, ValueError, jwt.PyJWTError) as error:
                self._fetch_at = time.monotonic() + _RETRY_AFTER_SECONDS
                log.warning("keys not fetched", extra={"url": self._url, "error": f"{type(error).__name__}: {error}"})


def _keys_of(document: Any) -> dict[str, jwt.PyJWK]:
    """Keys of a JWK Set by ``kid``. Raises ValueError or PyJWTError if it is none, or holds none of our kind."""
    if not isinstance(document, Mapping) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWK Set")
    ours = [jwk for jwk in document["keys"] if isinstance(jwk, dict) and jwk.get("crv") == "Ed25519" and jwk.get("kid")]
    if not ours:
        raise ValueError("no Ed25519 key in the JWK Set")
    return {str(jwk["kid"]): jwt.PyJWK(jwk, ALGORITHM) for jwk in ours}


def identity_from_claims(claims: Mapping[str, Any]) -> Identity:
    """Read ``sub`` and ``roles`` of an access token. Raises InvalidToken if they have another shape."""
    try:
        grants = tuple(Grant(str(item["role"]), tuple(map(str, item["namespaces"]))) for item in claims["roles"])
        return Identity(str(claims["sub"]), grants, claims)
    except (KeyError, TypeError) as error:
        raise InvalidToken("The token is not valid: it names no subject or roles.") from error


class Mac:
    """Seals small payloads with HMAC-SHA256 (1 us each): ``kid.payload.tag`` in base64url.

    Keys come from a JSON file ``{"current": kid, "keys": {kid: base64}}``; old ones stay valid until removed.
    ``purpose`` is part of what is authenticated: a receipt can never be opened as a pass.
    """

    def __init__(self, current: str, keys: Mapping[str, bytes]) -> None:
        if current not in keys or any(len(key) < 32 for key in keys.values()):
            raise ValueError("MAC keys: 'current' must name one of 'keys', and each must have 32 bytes or more")
        if not all(_KID.fullmatch(kid) for kid in keys):
            raise ValueError("MAC keys: a name may hold letters, digits, '_' and '-' only")
        self._current = current
        self._keys = dict(keys)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read the keys. Raises ValueError if the file has another shape."""
        try:
            document = json.loads(path.read_text())
            keys = {str(kid): base64.b64decode(key, validate=True) for kid, key in document["keys"].items()}
            return cls(str(document["current"]), keys)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'{path}: {{"current": kid, "keys": {{kid: base64}}}} is needed') from error

    def seal(self, purpose: str, payload: Mapping[str, Any]) -> str:
        """The payload and its proof, as one URL-safe word."""
        body = _b64(msgspec.json.encode(payload))
        return f"{self._current}.{body}.{_b64(self._tag(self._current, purpose, body))}"

    def open(self, purpose: str, token: str) -> dict[str, Any]:
        """The payload of a word that ``seal`` made for this purpose. Raises InvalidToken."""
        kid, _, rest = token.partition(".")
        body, _, tag = rest.partition(".")
        if len(token) <= _MAX_TOKEN_CHARACTERS and kid in self._keys and token.isascii():
            expected = _b64(self._tag(kid, purpose, body))
            if hmac.compare_digest(expected, tag):
                payload: dict[str, Any] = msgspec.json.decode(_unb64(body))
                return payload
        raise InvalidToken(f"This is not a valid {purpose.replace('-', ' ')}.")

    def _tag(self, kid: str, purpose: str, body: str) -> bytes:
        return hmac.digest(self._keys[kid], f"{purpose}\0{body}".encode(), hashlib.sha256)


async def _fetch_json(url: str) -> Any:
    if url.startswith("file://"):
        return json.loads(await asyncio.to_thread(Path(url.removeprefix("file://")).read_text))
    timeout = aiohttp.ClientTimeout(total=2)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, raise_for_status=True) as answer,
    ):
        return await answer.json(content_type=None)


def _thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638 thumbprint of an OKP key."""
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x")}, separators=(",", ":"), sort_keys=True)
    return _b64(hashlib.sha256(canonical.encode()).digest())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
