"""Rules of accounts: what an address, a name, a password and a role are. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NewType, get_args

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.errors import Conflict, InvalidRequest, NotFound, TooManyRequests, Unauthenticated

Email = NewType("Email", str)
"""A normalised address: two spellings of one mailbox are the same text."""
SessionId = NewType("SessionId", str)
Role = Literal["buyer", "organiser", "gate", "sre"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
EVERYWHERE: Final = "*"
"""In place of a namespace: all of them."""
PASSWORD_LENGTH: Final = (10, 128)
"""Fewest and most characters."""
_LONGEST_EMAIL = 254
_LONGEST_NAME = 100
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@.]+(\.[^\s@.]+)+")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class EmailTaken(Conflict):
    """There is an account with this address."""

    code, title = "email-taken", "E-mail address taken"


class WrongCredentials(Unauthenticated):
    """Unknown address or wrong password: nobody is told which."""

    code, title = "wrong-credentials", "Wrong e-mail address or password"


class SessionEnded(Unauthenticated):
    """The session was logged out, ran out, or was ended because a used token of it turned up again."""

    code, title = "session-ended", "Session ended"


class Busy(TooManyRequests):
    """More passwords wait to be checked than may wait."""

    code, title = "busy", "Busy"


class TooManyAttempts(TooManyRequests):
    """Log-in to one account failed too often."""

    code, title = "too-many-attempts", "Too many attempts"


class EmailVerifiedBefore(Conflict):
    """No mail is needed: the address is verified."""

    code, title = "email-verified-before", "E-mail address verified before"


class TooManyMails(TooManyRequests):
    """Verification mails to one account were asked for too often."""

    code, title = "too-many-mails", "Too many mails"


class VerificationNotValid(InvalidRequest):
    """The link of a mail that is not ours, was cut or altered, or is for an address the account no longer has."""

    code, title = "verification-not-valid", "Verification not valid"


class VerificationExpired(InvalidRequest):
    """The link of a mail is too old; another mail can be asked for."""

    code, title = "verification-expired", "Verification expired"


class UnknownAccount(NotFound):
    """No account has this address."""

    code, title = "unknown-account", "Unknown account"


@dataclass(frozen=True, slots=True, order=True)
class RoleGrant:
    """A role in one namespace, or EVERYWHERE."""

    role: Role
    namespace: str


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who signed up."""

    id: BuyerId
    email: Email
    name: str
    password_hash: str
    registered_at: datetime
    is_verified: bool = False
    """Whether mail to the address has reached its owner."""
    grants: tuple[RoleGrant, ...] = ()


def normalise_email(text: str) -> Email:
    """Trim and fold. Raises ValueError if it cannot be an address."""
    email = unicodedata.normalize("NFKC", text.strip()).casefold()
    if len(email) > _LONGEST_EMAIL or not _EMAIL.fullmatch(email) or not _is_writable(email):
        raise ValueError("an e-mail address such as anna@example.com is needed")
    return Email(email)


def check_name(text: str) -> str:
    """The name without spaces around it. Raises ValueError if nothing is left, or too much."""
    name = text.strip()
    if not 1 <= len(name) <= _LONGEST_NAME or not _is_writable(name):
        raise ValueError(f"a name of 1 to {_LONGEST_NAME} characters on one line is needed")
    return name


def check_password(text: str) -> str:
    """The password in the one form that is hashed (RFC 8265, OpaqueString).

    Raises ValueError if it is too short, too long or not text.
    """
    password = unicodedata.normalize("NFC", text)
    fewest, most = PASSWORD_LENGTH
    if not fewest <= len(password) <= most or not _is_writable(password):
        raise ValueError(f"a password of {fewest} to {most} characters without control characters is needed")
    return password


def check_role(text: str) -> Role:
    """Raises ValueError if there is no such role."""
    for role in ROLES:
        if role == text:
            return role
    raise ValueError(f"role {text!r}: one of {', '.join(ROLES)} is needed")


def check_namespace(text: str) -> str:
    """Raises ValueError if it is neither a Kubernetes namespace nor EVERYWHERE."""
    if text != EVERYWHERE and not _NAMESPACE.fullmatch(text):
        raise ValueError(f"namespace {text!r}: a DNS label or {EVERYWHERE!r} is needed")
    return text


def roles_claim(grants: Iterable[RoleGrant]) -> list[dict[str, object]]:
    """Roles as tokens carry them: each once, with its namespaces. Everybody may buy everywhere."""
    namespaces: dict[str, set[str]] = {"buyer": {EVERYWHERE}}
    for grant in grants:
        namespaces.setdefault(grant.role, set()).add(grant.namespace)
    return [
        {"role": role, "namespaces": [EVERYWHERE] if EVERYWHERE in named else sorted(named)}
        for role, named in sorted(namespaces.items())
    ]


def _is_writable(text: str) -> bool:
    """No control characters, no NUL, no half of a surrogate pair."""
    return all(unicodedata.category(character) not in ("Cc", "Cs") for character in text)
