"""Roles: granted at a terminal, seen in the next token, written down."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

import asyncpg
import pytest
from tests.integration.auth.conftest import Client, new_email

from tiketi_services.auth.settings import AuthSettings


@dataclass
class Ended:
    code: int
    out: str
    err: str


class Terminal:
    """Runs the real command."""

    def __init__(self, settings: AuthSettings) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "USER": "sora",
            "TIKETI_AUTH_DATABASE_URL": settings.database_url,
            "TIKETI_AUTH_REDIS_URL": settings.redis_url,
            "TIKETI_AUTH_AMQP_URL": settings.amqp_url,
            "TIKETI_AUTH_SIGNING_KEY_FILE": str(settings.signing_key_file),
            "TIKETI_AUTH_SMTP_URL": settings.smtp_url,
            "TIKETI_AUTH_MAIL_FROM": settings.mail_from,
            "TIKETI_AUTH_PUBLIC_URL": settings.public_url,
        }

    async def type(self, *words: str, **environment: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tiketi_services.auth.app",
            *words,
            env={**self.environment, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
def terminal(settings: AuthSettings) -> Terminal:
    return Terminal(settings)


async def roles_of(client: Client, token: str) -> list[dict[str, object]]:
    roles: list[dict[str, object]] = (await client.ask("GET", "/auth/me", token=token)).body["roles"]
    return roles


async def test_a_role_is_granted_listed_revoked_and_audited(
    client: Client, terminal: Terminal, settings: AuthSettings
) -> None:
    email = new_email()
    buyer = (await client.sign_up(email)).body["buyer"]
    assert await terminal.type("grant", email.upper(), "organiser", "--namespace", "arena") == Ended(
        0, "organiser in arena: granted\n", ""
    )
    assert (
        await terminal.type("grant", email, "organiser", "--namespace", "arena")
    ).out == "organiser in arena: was granted before\n"
    assert (await terminal.type("grant", email, "sre", "--namespace", "*")).code == 0
    assert (await terminal.type("roles", email)).out == "organiser arena\nsre *\n"
    everybody = (await terminal.type("roles")).out.splitlines()
    assert [line for line in everybody if line.startswith(f"{email} ")] == [
        f"{email} organiser arena",
        f"{email} sre *",
    ]

    tokens = (await client.log_in(email)).body
    assert [role["role"] for role in await roles_of(client, tokens["accessToken"])] == ["buyer", "organiser", "sre"]

    assert (
        await terminal.type("revoke", email, "organiser", "--namespace", "arena")
    ).out == "organiser in arena: revoked\n"
    assert (
        await terminal.type("revoke", email, "organiser", "--namespace", "arena")
    ).out == "organiser in arena: was not granted\n"
    refreshed = (await client.refresh(tokens["refreshToken"])).body
    assert [role["role"] for role in await roles_of(client, refreshed["accessToken"])] == ["buyer", "sre"]

    connection = await asyncpg.connect(settings.database_url)
    rows = await connection.fetch("SELECT actor, action, role FROM audit WHERE account = $1 ORDER BY id", buyer)
    await connection.close()
    assert [tuple(row) for row in rows] == [
        ("sora", "grant", "organiser"),
        ("sora", "grant", "sre"),
        ("sora", "revoke", "organiser"),
    ]


async def test_an_unknown_account_is_said_to_be_so(terminal: Terminal) -> None:
    ended = await terminal.type("grant", "nobody@example.com", "sre", "--namespace", "*")
    assert ended == Ended(2, "", "tiketi-auth: No account has the address nobody@example.com.\n")


async def test_a_wrong_role_ends_with_2_and_one_line(terminal: Terminal) -> None:
    ended = await terminal.type("grant", "anna@example.com", "king", "--namespace", "*")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIKETI_AUTH_PORT", "none"),
        ("TIKETI_AUTH_SIGNING_KEY_FILE", "/nowhere/auth.pem"),
        ("TIKETI_AUTH_ACCESS_TOKEN_LIFETIME", "soon"),
        ("TIKETI_AUTH_HASHING_WORKERS", "0"),
        ("TIKETI_AUTH_PUBLIC_URL", "tickets.example.com"),
    ],
)
async def test_a_setting_that_cannot_be_used_ends_with_2_and_one_line(
    terminal: Terminal, name: str, value: str
) -> None:
    ended = await terminal.type(**{name: value})
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert name in ended.err or value in ended.err


async def test_a_database_that_is_away_ends_a_command_with_one_line(terminal: Terminal) -> None:
    ended = await terminal.type("roles", "anna@example.com", TIKETI_AUTH_DATABASE_URL="postgresql://auth@127.0.0.1:1/x")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
