"""Bodies of requests and answers."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tiketi_services.auth.domain import (
    PASSWORD_LENGTH,
    Account,
    check_name,
    check_password,
    normalise_email,
    roles_claim,
)
from tiketi_services.auth.tokens import TokenPair

EmailText = Annotated[str, Field(max_length=320), AfterValidator(normalise_email)]
NameText = Annotated[str, Field(max_length=1000), AfterValidator(check_name)]
PasswordText = Annotated[
    str,
    Field(min_length=PASSWORD_LENGTH[0], max_length=PASSWORD_LENGTH[1], repr=False),
    AfterValidator(check_password),
]
TokenText = Annotated[str, Field(min_length=1, max_length=1024, repr=False)]


class Request(BaseModel):
    """JSON in camelCase. A field we do not know is refused: it would be a wish we silently ignore."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class SignUpRequest(Request):
    """A new account."""

    email: EmailText
    password: PasswordText
    name: NameText


class LogInRequest(Request):
    """Proof of who somebody is."""

    email: EmailText
    password: PasswordText


class RefreshRequest(Request):
    """The newest refresh token of a session."""

    refresh_token: TokenText


class VerificationRequest(Request):
    """What the link in a mail carries after its ``#``."""

    token: TokenText


class View(BaseModel):
    """JSON in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class TokensView(View):
    """A session: whose it is, and both its tokens."""

    buyer: str
    """The id by which everything else knows the account."""
    access_token: str
    refresh_token: str
    """Good for one refresh; the answer holds the next."""
    expires_in: int
    """Seconds the access token lives."""

    @classmethod
    def of(cls, pair: TokenPair) -> Self:
        """The view of a pair."""
        return cls(
            buyer=pair.account,
            access_token=pair.access,
            refresh_token=pair.refresh,
            expires_in=int(pair.lifetime.total_seconds()),
        )


class RoleView(View):
    """A role and the namespaces it covers; ``*`` covers all."""

    role: str
    namespaces: list[str]


class AccountView(View):
    """The caller."""

    buyer: str
    email: str
    name: str
    email_verified: bool
    """Whether mail to the address has reached its owner. Needed to take a place in a line."""
    roles: list[RoleView]

    @classmethod
    def of(cls, account: Account) -> Self:
        """The view of an account."""
        roles = [RoleView.model_validate(role) for role in roles_claim(account.grants)]
        return cls(
            buyer=account.id,
            email=account.email,
            name=account.name,
            email_verified=account.is_verified,
            roles=roles,
        )
