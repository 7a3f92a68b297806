"""Proofs: signed tokens between services (EdDSA, RFC 8037), and compact MACs for the hot path.

The algorithm is fixed here and never read from a token; a key is looked up by ``kid`` in our own set only; every
kind of token has its own ``typ``, so that one can never be taken for another (RFC 8725, 3.1, 3.10, 3.11).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import jwt
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from tiketi_runtime.errors import Forbidden, InvalidToken, Unavailable

ALGORITHM = "EdDSA"
AUDIENCE = "tiketi"
LEEWAY = timedelta(seconds=5)
"""Clocks of two hosts may differ by this much."""
_REFETCH_AFTER_SECONDS = 5.0
_RETRY_AFTER_SECONDS = 1.0
_MAX_TOKEN_CHARACTERS = 8192
MOST_TOKENS: Final = 20_000
"""Verified tokens a process remembers: as many as it takes live connections."""
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = logging.getLogger(__name__)


class RoleNeeded(Forbidden):
    """The caller holds none of the ``roles`` that may do this in the ``namespace``."""

    code, title = "role-needed", "Role needed"


class ForeignSignature(InvalidToken):
    """A signed word of the right kind, but not signed with a key of ours: made by somebody else, or altered."""

    code, title = "foreign-signature", "Foreign signature"


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

    def require_role(self, roles: Sequence[str], namespace: str) -> None:
        """Raises RoleNeeded unless the caller holds one of ``roles`` over ``namespace``."""
        if not any(self.has_role(role, namespace) for role in roles):
            needed = " or ".join(roles)
            raise RoleNeeded(
                f"This needs the role {needed} in the namespace {namespace}. Who was given it after logging in gets it "
                "with the next refresh of the session.",
                roles=list(roles),
                namespace=namespace,
            )


class TokenSigner:
    """Signs tokens of one issuer with one Ed25519 key.

    ``others`` are public keys (JWK) that are published with its own: the next one, before anything is signed with it,
    and former ones, as long as what they have signed is to be believed.
    """

    def __init__(self, key: Ed25519PrivateKey, issuer: str, others: Sequence[Mapping[str, str]] = ()) -> None:
        self._key = key
        self.issuer = issuer
        self._jwk = json.loads(OKPAlgorithm.to_jwk(key.public_key()))
        self.kid = _thumbprint(self._jwk)
        self._others = [dict(jwk) for jwk in others if jwk["kid"] != self.kid]

    @classmethod
    def from_pem_file(cls, path: Path, issuer: str, others_file: Path | None = None) -> Self:
        """Read the key, and other public keys from a JWK Set.

        Raises ValueError if a file holds something else, a private key among the others included.
        """
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path}: an Ed25519 private key in PEM is needed")
        return cls(key, issuer, () if others_file is None else _public_jwks(others_file))

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

    def seal(self, typ: str, claims: Mapping[str, Any]) -> str:
        """A compact JWS of exactly these claims, the same bytes each time. It says nothing of time: what it means ends
        when somebody who keeps books says so. ``PublicKeys.read`` opens it.
        """
        header = msgspec.json.encode({"alg": ALGORITHM, "kid": self.kid, "typ": typ})
        signed = f"{_b64(header)}.{_b64(msgspec.json.encode(claims))}"
        return f"{signed}.{_b64(self._key.sign(signed.encode()))}"

    def derive_key(self, purpose: str) -> bytes:
        """32 bytes that only a holder of the private key can know, others for each purpose (HKDF, RFC 5869)."""
        return HKDF(hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(self._key.private_bytes_raw())

    def jwks(self) -> dict[str, Any]:
        """The public half as a JWK Set (RFC 7517), and the other keys."""
        return {"keys": [{**self._jwk, "kid": self.kid, "use": "sig", "alg": ALGORITHM}, *self._others]}


class PublicKeys:
    """Opens what ``TokenSigner.seal`` made, without asking anybody."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        """Raises ValueError or PyJWTError if this is no JWK Set, or holds no Ed25519 key."""
        self._keys = _keys_of(jwks)

    def read(self, word: str, typ: str) -> dict[str, Any]:
        """The claims. Raises InvalidToken if it is no signed word of this kind, ForeignSignature if not one of ours."""
        try:
            if len(word) > _MAX_TOKEN_CHARACTERS:
                raise jwt.InvalidTokenError("it is too long")
            signed, _, signature = word.rpartition(".")
            head, _, body = signed.partition(".")
            header = msgspec.json.decode(_unb64_strict(head), type=_Header)
            if header.typ != typ or header.alg != ALGORITHM or header.is_special:
                raise jwt.InvalidTokenError(f"it is not of type {typ}")
            claims = msgspec.json.decode(_unb64_strict(body), type=dict[str, Any])
            proof = _unb64_strict(signature)
        except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InvalidToken(f"This is no {typ}: {error}.") from error
        try:
            self._keys[header.kid].verify(proof, signed.encode("ascii"))
        except (KeyError, InvalidSignature) as error:
            raise ForeignSignature("It is not signed with any of the keys that count, or it was altered.") from error
        return claims


class TokenVerifier:
    """Verifies tokens with the keys another service publishes.

    Keys are fetched at the first need, kept for ever, and fetched again when a token names an unknown one: the issuer
    may be down as long as its keys do not change. It is asked at most every 5 s, or 1 s while it does not answer,
    whatever tokens strangers send.

    A token is verified once and then remembered, until it expires or keys were fetched anew: rows P1-first and P1 of
    ``make bench-line`` differ by that.
    """

    def __init__(self, jwks_url: str) -> None:
        self._url = jwks_url
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._seen = _SeenTokens()
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
            name = hashlib.sha256(f"{typ} {issuer} {token}".encode("ascii")).digest()
            if (claims := self._seen.claims(name, time.time())) is None:
                claims, expires = await self._check(token, typ, issuer)
                self._seen.add(name, claims, expires)
            content: dict[str, Any] = msgspec.json.decode(claims)
        except jwt.PyJWTError as error:
            raise InvalidToken(f"The token is not valid: {error}.") from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # a parser's words help no buyer
            raise InvalidToken("The token is not valid: it is no signed token, or was cut short.") from error
        return content

    async def _check(self, token: str, typ: str, issuer: str) -> tuple[bytes, float]:
        """The claims as JSON, and until when (s) they hold. Raises what ``verify`` translates.

        RFC 7515, 5.2 for one algorithm: PyJWT does the same, and more that is not for us, in twice the time.
        """
        signed, _, signature = token.rpartition(".")
        head, _, body = signed.partition(".")
        header = msgspec.json.decode(_unb64_strict(head), type=_Header)
        if header.typ != typ or header.alg != ALGORITHM or header.is_special:
            raise jwt.InvalidTokenError(f"a token of type {typ} is needed")
        key = await self._key(header.kid)
        try:
            key.verify(_unb64_strict(signature), signed.encode("ascii"))
        except InvalidSignature:
            raise jwt.InvalidSignatureError("signature verification failed") from None
        claims = _unb64_strict(body)
        return claims, _checked(msgspec.json.decode(claims, type=_Claims), issuer, time.time())

    async def _key(self, kid: str) -> Ed25519PublicKey:
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
                self._seen.clear()
                self._fetch_at = time.monotonic() + _REFETCH_AFTER_SECONDS
            except (aiohttp.ClientError, OSError, ValueError, jwt.PyJWTError) as error:
                self._fetch_at = time.monotonic() + _RETRY_AFTER_SECONDS
                log.warning("keys not fetched", extra={"url": self._url, "error": f"{type(error).__name__}: {error}"})


class _SeenTokens:
    """Claims of verified tokens, by digest: the token itself, which opens doors, is not kept. The oldest go first."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()

    def claims(self, name: bytes, now: float) -> bytes | None:
        """The claims as JSON; None if the token was not seen, or has expired by ``now`` (s)."""
        claims, expires = self._known.get(name, (None, 0.0))
        if claims is None:
            return None
        if now >= expires:
            del self._known[name]
            return None
        self._known.move_to_end(name)
        return claims

    def add(self, name: bytes, claims: bytes, expires: float) -> None:
        """Remember a verified token until ``expires`` (s)."""
        self._known[name] = (claims, expires)
        if len(self._known) > MOST_TOKENS:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()


class _Header(msgspec.Struct):
    typ: str
    alg: str
    kid: str
    crit: Any = msgspec.UNSET
    b64: Any = msgspec.UNSET

    @property
    def is_special(self) -> bool:
        """Whether it asks for something that we do not know (RFC 7515, 4.1.11; RFC 7797)."""
        return self.crit is not msgspec.UNSET or self.b64 is not msgspec.UNSET


class _Claims(msgspec.Struct):
    iss: str
    aud: str | list[str]
    exp: int | float
    iat: int | float
    nbf: int | float = 0


def _checked(claims: _Claims, issuer: str, now: float) -> float:
    """Until when (s) the claims hold. Raises PyJWTError if they do not hold now, or not here (RFC 7519, 4.1)."""
    leeway = LEEWAY.total_seconds()
    if claims.iss != issuer:
        raise jwt.InvalidIssuerError("made by another issuer")
    if AUDIENCE not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise jwt.InvalidAudienceError("made for another audience")
    if max(claims.iat, claims.nbf) > now + leeway:
        raise jwt.ImmatureSignatureError("not valid yet")
    if claims.exp <= now - leeway:
        raise jwt.ExpiredSignatureError("expired")
    return claims.exp + leeway


def _keys_of(document: Any) -> dict[str, Ed25519PublicKey]:
    """Keys of a JWK Set by ``kid``. Raises ValueError or PyJWTError if it is none, or holds none of our kind."""
    if not isinstance(document, Mapping) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWK Set")
    ours = [jwk for jwk in document["keys"] if isinstance(jwk, dict) and jwk.get("crv") == "Ed25519" and jwk.get("kid")]
    if not ours:
        raise ValueError("no Ed25519 key in the JWK Set")
    return {str(jwk["kid"]): jwt.PyJWK(jwk, ALGORITHM).key for jwk in ours}


def _public_jwks(path: Path) -> list[dict[str, str]]:
    """The keys of a JWK Set as they are published: known members only. Raises ValueError if one cannot be."""
    try:
        document = json.loads(path.read_text())
        _keys_of(document)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise ValueError(f"{path}: a JWK Set (RFC 7517) of Ed25519 keys is needed: {error}") from error
    if any("d" in jwk for jwk in document["keys"]):
        raise ValueError(f"{path}: holds a private key; public ones belong here")
    return [
        {"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "kid": jwk["kid"], "use": "sig", "alg": ALGORITHM}
        for jwk in document["keys"]
        if jwk.get("crv") == "Ed25519" and jwk.get("kid")
    ]


def identity_from_claims(claims: Mapping[str, Any]) -> Identity:
    """Read ``sub`` and ``roles`` of an access token: none, if it says nothing of roles.

    Raises InvalidToken if they have another shape.
    """
    try:
        grants = msgspec.convert(claims.get("roles", ()), tuple[Grant, ...])
        return Identity(str(claims["sub"]), grants, claims)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise InvalidToken("The token is not valid: it names no subject or roles.") from error


class Mac:
    """Seals small payloads with HMAC-SHA256: ``kid.payload.tag`` in base64url.

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
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE).decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_STANDARD: Final = str.maketrans("-_", "+/", "+/")


def _unb64_strict(text: str) -> bytes:
    """Unpadded base64url (RFC 7515, 2). Raises ValueError if a character is none of its alphabet."""
    return binascii.a2b_base64(text.translate(_STANDARD) + "=" * (-len(text) % 4), strict_mode=True)
