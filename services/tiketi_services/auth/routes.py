"""HTTP: accounts, sessions, verified addresses, and the keys that verify our tokens."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response
from fastapi import Request as HttpRequest

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.errors import InvalidToken, Unauthenticated
from tiketi_runtime.refusals import Kinds, refuses
from tiketi_runtime.security import Identity
from tiketi_runtime.web import bearer_identity
from tiketi_services.auth.domain import (
    Busy,
    Email,
    EmailTaken,
    EmailVerifiedBefore,
    SessionEnded,
    TooManyAttempts,
    TooManyMails,
    VerificationExpired,
    VerificationNotValid,
    WrongCredentials,
)
from tiketi_services.auth.schemas import (
    AccountView,
    LogInRequest,
    RefreshRequest,
    SignUpRequest,
    TokensView,
    VerificationRequest,
)
from tiketi_services.auth.usecases import Doorkeeper
from tiketi_services.auth.verification_page import PAGE, PAGE_HEADERS


async def _doorkeeper(request: HttpRequest) -> Doorkeeper:
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper


async def _never_stored(response: Response) -> None:
    response.headers["cache-control"] = "no-store"


router = APIRouter(tags=["auth"])
Door = Annotated[Doorkeeper, Depends(_doorkeeper)]
Caller = Annotated[Identity, Depends(bearer_identity)]
never_stored = Depends(_never_stored)
_SIGNED_IN: Final[Kinds] = (Unauthenticated, InvalidToken, SessionEnded)


@router.post("/auth/sign-up", status_code=201, dependencies=[never_stored], responses=refuses(EmailTaken, Busy))
async def sign_up(body: SignUpRequest, door: Door) -> TokensView:
    """Open an account and begin its first session; a mail follows. 409 ``email-taken``, 429 ``busy``."""
    return TokensView.of(await door.sign_up(Email(body.email), body.password, body.name))


@router.post("/auth/log-in", dependencies=[never_stored], responses=refuses(WrongCredentials, Busy, TooManyAttempts))
async def log_in(body: LogInRequest, door: Door) -> TokensView:
    """Begin a session. 401 ``wrong-credentials``, 429 ``busy`` or ``too-many-attempts``."""
    return TokensView.of(await door.log_in(Email(body.email), body.password))


@router.post("/auth/refresh", dependencies=[never_stored], responses=refuses(InvalidToken, SessionEnded))
async def refresh(body: RefreshRequest, door: Door) -> TokensView:
    """Spend a refresh token for the next pair. 401 ``session-ended`` or ``invalid-token``."""
    return TokensView.of(await door.refresh(body.refresh_token))


@router.post("/auth/log-out", status_code=204, responses=refuses(InvalidToken))
async def log_out(body: RefreshRequest, door: Door) -> None:
    """End the session of a refresh token."""
    await door.log_out(body.refresh_token)


@router.post("/auth/verify-email", status_code=204, responses=refuses(VerificationNotValid, VerificationExpired))
async def verify_email(body: VerificationRequest, door: Door) -> None:
    """Verify the address that a mail was sent to; twice is no error. Refresh to see it in the access token.

    422 ``verification-not-valid`` or ``verification-expired``.
    """
    await door.verify_email(body.token)


@router.post(
    "/auth/verification-mail",
    status_code=202,
    dependencies=[never_stored],
    responses=refuses(*_SIGNED_IN, EmailVerifiedBefore, TooManyMails),
)
async def ask_verification_mail(caller: Caller, door: Door) -> None:
    """Send the caller's verification mail again. 409 ``email-verified-before``, 429 ``too-many-mails``."""
    await door.ask_verification_mail(BuyerId(caller.subject))


@router.get("/auth/verify-email", include_in_schema=False)
async def show_verification() -> Response:
    """Where the link of a mail leads."""
    return Response(PAGE, headers=PAGE_HEADERS, media_type="text/html")


@router.get("/auth/me", dependencies=[never_stored], responses=refuses(*_SIGNED_IN))
async def me(caller: Caller, door: Door) -> AccountView:
    """The caller's account, with the roles of today."""
    return AccountView.of(await door.account(BuyerId(caller.subject)))


@router.get("/.well-known/jwks.json", include_in_schema=False)
@router.get("/auth/.well-known/jwks.json")
async def jwks(request: HttpRequest, response: Response) -> dict[str, Any]:
    """Public keys of our tokens (RFC 7517)."""
    response.headers["cache-control"] = "public, max-age=60"
    keys: dict[str, Any] = request.app.state.signer.jwks()
    return keys
