"""What tokens say, and whether the ticket service has signed it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from tiketi_runtime.contracts.draw_file import ISSUER
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import TokenVerifier
from tiketi_services.verify.findings import BadInput

_OF_EVERY_TOKEN: Final = ("iss", "aud", "iat", "exp")


@dataclass(frozen=True, slots=True)
class Said:
    """The content of a token."""

    claims: Mapping[str, Any]
    is_signed: bool | None
    """None: no keys were given to check it with."""


class Signatures:
    """Reads tokens; checks them if the service's public keys (a JWK Set) are there."""

    def __init__(self, jwks: Mapping[str, Any] | None) -> None:
        """Raises BadInput if the keys are none."""
        try:
            self._verifier = None if jwks is None else TokenVerifier.of(jwks)
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise BadInput(f"the keys cannot be used: {error}") from error

    def read(self, token: str, typ: str) -> Said:
        """The content of a token of this kind. Raises BadInput if it is no token at all."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise BadInput(f"not a signed token: {error}") from error
        return Said(
            {name: claim for name, claim in claims.items() if name not in _OF_EVERY_TOKEN}, self._check(token, typ)
        )

    def _check(self, token: str, typ: str) -> bool | None:
        if self._verifier is None:
            return None
        try:
            asyncio.run(self._verifier.verify(token, typ, ISSUER))
        except InvalidToken:
            return False
        return True
