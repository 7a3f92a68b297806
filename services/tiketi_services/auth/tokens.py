"""The two tokens of a session: a short one everybody verifies, a long one that only auth reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import Mac, TokenSigner
from tiketi_services.auth.domain import (
    Account,
    Email,
    SessionId,
    VerificationExpired,
    VerificationNotValid,
    roles_claim,
)

ISSUER = "tiketi-auth"
ACCESS = "at+jwt"
_REFRESH = "refresh-token"
_VERIFICATION = "verification"


@dataclass(frozen=True, slots=True)
class Turn:
    """Which refresh token of a session this is: 1 at log-in, one more each time."""

    session: SessionId
    number: int


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client holds."""

    account: BuyerId
    access: str
    refresh: str
    lifetime: timedelta
    """Of the access token."""


class Tokens:
    """Makes and reads them.

    A refresh token is a seal over session and turn, made with a key that only auth can derive. So Redis holds no token
    and no hash of one, a used token is told from an invented one for ever and without a list, and the answer to a
    refresh that got lost can be given again, word for word.
    """

    def __init__(self, signer: TokenSigner, access_lifetime: timedelta) -> None:
        self._signer = signer
        self._access_lifetime = access_lifetime
        self._mac = Mac(signer.kid, {signer.kid: signer.derive_key(_REFRESH)})

    def pair(self, account: Account, turn: Turn) -> TokenPair:
        """Both tokens for this turn of the account's session."""
        claims = {
            "sub": account.id,
            "sid": turn.session,
            "name": account.name,
            "email_verified": account.is_verified,
            "registered_at": int(account.registered_at.timestamp()),
            "roles": roles_claim(account.grants),
        }
        return TokenPair(
            account=account.id,
            access=self._signer.sign(ACCESS, claims, self._access_lifetime),
            refresh=self._mac.seal(_REFRESH, {"session": turn.session, "turn": turn.number}),
            lifetime=self._access_lifetime,
        )

    def read_refresh(self, token: str) -> Turn:
        """Raises InvalidToken if we did not make it."""
        payload = self._mac.open(_REFRESH, token)
        return Turn(SessionId(payload["session"]), payload["turn"])


class VerificationTokens:
    """What the link in a mail carries: which account's address it verifies, and until when.

    A seal with a key of its own purpose, so nothing has to be kept of it. It names the address: a link that was mailed
    to an old address does not verify a new one. Using it twice changes nothing, so it need not be used up.
    """

    def __init__(self, signer: TokenSigner, lifetime: timedelta) -> None:
        self._lifetime = lifetime
        self._mac = Mac(signer.kid, {signer.kid: signer.derive_key(_VERIFICATION)})

    def seal(self, account: BuyerId, email: Email, now: datetime) -> str:
        """The token for a mail that is sent now."""
        expires = int((now + self._lifetime).timestamp())
        return self._mac.seal(_VERIFICATION, {"account": account, "email": email, "expires": expires})

    def read(self, token: str, now: datetime) -> tuple[BuyerId, Email]:
        """Whose address it verifies, and which. Raises VerificationNotValid or VerificationExpired."""
        try:
            payload = self._mac.open(_VERIFICATION, token)
        except InvalidToken as error:
            raise VerificationNotValid("This is not a link of ours, or only a part of one.") from error
        if now.timestamp() > payload["expires"]:
            raise VerificationExpired("The link is too old; log in and ask for another mail.")
        return BuyerId(payload["account"]), Email(payload["email"])
