"""What people come to auth for. One method, one intent."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.auth.domain import (
    Account,
    Email,
    EmailVerifiedBefore,
    RoleGrant,
    SessionEnded,
    SessionId,
    TooManyAttempts,
    TooManyMails,
    UnknownAccount,
    VerificationNotValid,
    WrongCredentials,
)
from tiketi_services.auth.passwords import Passwords
from tiketi_services.auth.repository import Accounts, Budget, Sessions, TokenReused
from tiketi_services.auth.tokens import TokenPair, Tokens, Turn, VerificationTokens

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Lets people in, and out again."""

    accounts: Accounts
    sessions: Sessions
    attempts: Budget
    """Log-ins that fail, by address."""
    mails: Budget
    """Verification mails asked for, by account."""
    passwords: Passwords
    tokens: Tokens
    verifications: VerificationTokens

    async def sign_up(self, email: Email, password: str, name: str) -> TokenPair:
        """Open an account and begin its first session; a mail that verifies the address follows.

        Raises EmailTaken or Busy.
        """
        new, password_hash = BuyerId(str(uuid4())), await self.passwords.hash(password)
        turn = await self._begin_session(new)  # first: with Redis away nothing is half done
        try:
            account = await self.accounts.add(new, email, name, password_hash)
        except BaseException:
            await self.sessions.end(turn.session)
            raise
        log.info("signed up", extra={"account": account.id})
        return self.tokens.pair(account, turn)

    async def log_in(self, email: Email, password: str) -> TokenPair:
        """Begin a session. Raises WrongCredentials, TooManyAttempts or Busy."""
        self.passwords.check_room()
        wait = await self.attempts.charge(email)
        if wait:
            raise TooManyAttempts("Log-in failed too often; wait a little.", retryAfter=wait.total_seconds())
        account = await self.accounts.by_email(email)
        verdict = await self.passwords.verify(account.password_hash if account else None, password)
        if account is None or not verdict.is_right:
            log.info("log-in refused", extra={"account": account and account.id})
            raise WrongCredentials("The e-mail address or the password is wrong.")
        await self.attempts.forgive(email)
        if verdict.is_outdated:
            await self.accounts.renew_password_hash(account, await self.passwords.hash(password))
        return self.tokens.pair(account, await self._begin_session(account.id))

    async def refresh(self, token: str) -> TokenPair:
        """The next pair of tokens, with what holds of the account today. Raises InvalidToken or SessionEnded."""
        turn = self.tokens.read_refresh(token)
        try:
            owner, number = await self.sessions.rotate(turn.session, turn.number)
        except TokenReused as error:
            log.warning("refresh token reused", extra={"account": error.account, "session": turn.session})
            raise
        account = await self.accounts.by_id(owner)
        if account is None:
            await self.sessions.end(turn.session)
            raise SessionEnded("The account is closed.")
        return self.tokens.pair(account, Turn(turn.session, number))

    async def log_out(self, token: str) -> None:
        """End the session of a refresh token, whichever of its turns this is. Raises InvalidToken."""
        turn = self.tokens.read_refresh(token)
        await self.sessions.end(turn.session)
        log.info("logged out", extra={"session": turn.session})

    async def verify_email(self, token: str) -> None:
        """Mark the address as verified that a mail's token was sent to; again and again, if that is asked for.

        Sessions see it from their next refresh on. Raises VerificationNotValid or VerificationExpired.
        """
        account, email = self.verifications.read(token, datetime.now(UTC))
        if not await self.accounts.verify(account, email):
            raise VerificationNotValid("The account does not have this address any more.")
        log.info("e-mail verified", extra={"account": account})

    async def ask_verification_mail(self, account: BuyerId) -> None:
        """Have the mail sent again. Raises EmailVerifiedBefore, TooManyMails or SessionEnded."""
        if (await self.account(account)).is_verified:
            raise EmailVerifiedBefore("Your e-mail address is verified; refresh your session.")
        wait = await self.mails.charge(account)
        if wait:
            raise TooManyMails("Mails were asked for too often; wait a little.", retryAfter=wait.total_seconds())
        await self.accounts.ask_verification_mail(account)

    async def _begin_session(self, account: BuyerId) -> Turn:
        turn = Turn(session := SessionId(str(uuid4())), await self.sessions.start(session, account))
        log.info("session begun", extra={"account": account, "session": session})
        return turn

    async def account(self, account: BuyerId) -> Account:
        """The caller's own account. Raises SessionEnded if it is closed."""
        found = await self.accounts.by_id(account)
        if found is None:
            raise SessionEnded("The account is closed.")
        return found


async def grant(accounts: Accounts, email: Email, grant: RoleGrant, actor: str) -> bool:
    """Give a role; False if it was there already. Holds from the next refresh on. Raises UnknownAccount."""
    return await accounts.grant((await _account_of(accounts, email)).id, grant, actor)


async def revoke(accounts: Accounts, email: Email, grant: RoleGrant, actor: str) -> bool:
    """Take a role away; False if there was none. Access tokens keep it until they run out. Raises UnknownAccount."""
    return await accounts.revoke((await _account_of(accounts, email)).id, grant, actor)


async def grants(accounts: Accounts, email: Email) -> tuple[RoleGrant, ...]:
    """Roles given to an account, beside that of buyer which all have. Raises UnknownAccount."""
    return (await _account_of(accounts, email)).grants


async def _account_of(accounts: Accounts, email: Email) -> Account:
    account = await accounts.by_email(email)
    if account is None:
        raise UnknownAccount(f"No account has the address {email}.")
    return account
