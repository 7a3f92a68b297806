"""An address is verified by what was mailed to it, and by nothing else."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.auth.conftest import Client, new_email, token_in
from tests.integration.serving import serve_app

from tiketi_local.mail.catcher import Catcher
from tiketi_runtime.security import TokenSigner
from tiketi_services.auth.app import build_app
from tiketi_services.auth.domain import Email
from tiketi_services.auth.settings import AuthSettings
from tiketi_services.auth.tokens import VerificationTokens


def claims_of(tokens: dict[str, Any]) -> dict[str, Any]:
    body = tokens["accessToken"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


async def mailed_token(catcher: Catcher, email: str, after: int = 0) -> str:
    [mail] = await catcher.box.wait(email, after, 10)
    return token_in(mail)


async def test_who_opens_the_mail_and_presses_the_button_is_verified_from_the_next_refresh_on(
    client: Client, catcher: Catcher
) -> None:
    email = new_email()
    signed_up = (await client.sign_up(email)).body
    assert claims_of(signed_up)["email_verified"] is False
    token = await mailed_token(catcher, email)
    for _ in range(2):
        assert (await client.post("/auth/verify-email", token=token)).status == 204
    refreshed = (await client.refresh(signed_up["refreshToken"])).body
    assert claims_of(refreshed)["email_verified"] is True
    assert claims_of((await client.log_in(email)).body)["email_verified"] is True
    assert (await client.ask("GET", "/auth/me", token=refreshed["accessToken"])).body["emailVerified"] is True


async def test_the_token_says_when_the_account_was_registered(client: Client) -> None:
    before = time.time()
    tokens = await client.new_session()
    registered = claims_of(tokens)["registered_at"]
    assert before - 2 < registered < time.time() + 2
    await asyncio.sleep(1.1)
    assert claims_of((await client.refresh(tokens["refreshToken"])).body)["registered_at"] == registered


async def test_a_mail_names_who_it_is_from_and_nothing_the_caller_typed(client: Client, catcher: Catcher) -> None:
    email = new_email()
    await client.sign_up(email, name="Visit http://evil.example")
    [mail] = await catcher.box.wait(email, 0, 10)
    headers = dict(mail.headers)
    assert (mail.to, headers["To"]) == (email, email)
    assert headers["From"] == "Tiketi <no-reply@tickets.example.com>"
    assert headers["Content-Type"].startswith("text/plain")
    assert "evil" not in mail.text
    assert "이메일" in mail.text


async def test_one_account_s_mail_does_not_verify_another(client: Client, catcher: Catcher) -> None:
    anna, boris = new_email(), new_email()
    await client.sign_up(anna)
    signed_up = (await client.sign_up(boris)).body
    await client.post("/auth/verify-email", token=await mailed_token(catcher, anna))
    assert claims_of((await client.refresh(signed_up["refreshToken"])).body)["email_verified"] is False


@pytest.mark.parametrize("change", ["cut", "altered", "invented", "foreign key", "refresh token", "empty"])
async def test_what_was_not_mailed_verifies_nothing(client: Client, catcher: Catcher, change: str) -> None:
    email = new_email()
    signed_up = (await client.sign_up(email)).body
    token = await mailed_token(catcher, email)
    stranger = VerificationTokens(TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth"), timedelta(days=1))
    head, body, tag = token.split(".")
    wrong = {
        "cut": token[:-3],
        "altered": f"{head}.{body[:-2]}AA.{tag}",
        "invented": "x.y.z",
        "foreign key": stranger.seal(signed_up["buyer"], Email(email), datetime.now(UTC)),
        "refresh token": signed_up["refreshToken"],
        "empty": "",
    }[change]
    answer = await client.post("/auth/verify-email", token=wrong)
    assert answer.status == 422
    assert answer.body["code"] == ("invalid-request" if change == "empty" else "verification-not-valid")
    assert claims_of((await client.refresh(signed_up["refreshToken"])).body)["email_verified"] is False


async def test_a_link_ends_after_its_time(alone: AuthSettings, catcher: Catcher) -> None:
    brief = alone.model_copy(update={"verification_lifetime": timedelta(seconds=1)})
    async with serve_app(build_app(brief)) as url, aiohttp.ClientSession(url) as session:
        client, email = Client(session, url), new_email()
        await client.sign_up(email)
        token = await mailed_token(catcher, email)
        await asyncio.sleep(2.1)
        answer = await client.post("/auth/verify-email", token=token)
    assert (answer.status, answer.body["code"]) == (422, "verification-expired")


async def test_a_link_to_an_address_the_account_had_before_is_refused(
    alone: AuthSettings, catcher: Catcher, rows: asyncpg.Connection
) -> None:
    async with serve_app(build_app(alone)) as url, aiohttp.ClientSession(url) as session:
        client, email = Client(session, url), new_email()
        await client.sign_up(email)
        token = await mailed_token(catcher, email)
        await rows.execute("UPDATE accounts SET email = $2 WHERE email = $1", email, new_email())
        answer = await client.post("/auth/verify-email", token=token)
    assert (answer.status, answer.body["code"]) == (422, "verification-not-valid")


async def test_a_mail_can_be_had_again_but_not_without_end(client: Client, catcher: Catcher) -> None:
    email = new_email()
    signed_up = (await client.sign_up(email)).body
    [first] = await catcher.box.wait(email, 0, 10)
    last = first.id
    for _ in range(2):
        answer = await client.ask("POST", "/auth/verification-mail", token=signed_up["accessToken"])
        assert answer.status == 202
        [mail] = await catcher.box.wait(email, last, 10)
        last = mail.id
    refused = await client.ask("POST", "/auth/verification-mail", token=signed_up["accessToken"])
    assert (refused.status, refused.body["code"]) == (429, "too-many-mails")
    assert int(refused.headers["retry-after"]) >= 1
    await asyncio.sleep(1.1)
    assert (await client.ask("POST", "/auth/verification-mail", token=signed_up["accessToken"])).status == 202
    assert (await client.post("/auth/verify-email", token=token_in(first))).status == 204  # the older link still works


async def test_who_is_verified_gets_no_more_mail(client: Client, catcher: Catcher) -> None:
    email = new_email()
    signed_up = (await client.sign_up(email)).body
    await client.post("/auth/verify-email", token=await mailed_token(catcher, email))
    answer = await client.ask("POST", "/auth/verification-mail", token=signed_up["accessToken"])
    assert (answer.status, answer.body["code"]) == (409, "email-verified-before")


async def test_nobody_asks_for_mail_in_another_s_name(client: Client) -> None:
    answer = await client.ask("POST", "/auth/verification-mail")
    assert (answer.status, answer.body["code"]) == (401, "unauthenticated")


async def test_the_link_leads_to_a_page_that_changes_nothing_by_being_opened(client: Client, catcher: Catcher) -> None:
    email = new_email()
    signed_up = (await client.sign_up(email)).body
    token = await mailed_token(catcher, email)
    page = await client.ask("GET", f"/auth/verify-email?token={token}")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert claims_of((await client.refresh(signed_up["refreshToken"])).body)["email_verified"] is False
