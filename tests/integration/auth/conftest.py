"""Auth on real stores, behind a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.serving import serve_app

from tiketi_local.mail.box import CaughtMail
from tiketi_local.mail.catcher import Catcher, catching
from tiketi_local.world import World
from tiketi_runtime import postgres
from tiketi_services.auth.app import build_app
from tiketi_services.auth.repository import PACKAGE
from tiketi_services.auth.settings import AuthSettings

PASSWORD = "correct horse battery staple"


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any


class Client:
    """Speaks to auth as a browser or an app would."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def ask(
        self, method: str, path: str, body: object = None, token: str | None = None, **options: Any
    ) -> Answer:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        async with self.session.request(method, path, json=body, headers=headers, **options) as answer:
            is_json = "json" in answer.headers.get("content-type", "")
            return Answer(
                answer.status, answer.headers, await (answer.json(content_type=None) if is_json else answer.text())
            )

    def url(self, path: str) -> str:
        """For somebody else to ask."""
        return f"{self.base}{path}"

    async def post(self, path: str, **body: object) -> Answer:
        return await self.ask("POST", path, body)

    async def sign_up(self, email: str, password: str = PASSWORD, name: str = "Anna") -> Answer:
        return await self.post("/auth/sign-up", email=email, password=password, name=name)

    async def log_in(self, email: str, password: str = PASSWORD) -> Answer:
        return await self.post("/auth/log-in", email=email, password=password)

    async def refresh(self, token: str) -> Answer:
        return await self.post("/auth/refresh", refreshToken=token)

    async def new_session(self) -> dict[str, Any]:
        """Tokens of somebody who has just signed up."""
        answer = await self.sign_up(new_email())
        assert answer.status == 201
        tokens: dict[str, Any] = answer.body
        return tokens


def token_in(mail: CaughtMail) -> str:
    """What the link of a mail carries."""
    [link] = [line for line in mail.text.splitlines() if line.startswith("http")]
    address, _, token = link.partition("#")
    assert address == "https://tickets.example.com/auth/verify-email"
    return token


def new_email() -> str:
    return f"{uuid4().hex}@example.com"


@pytest.fixture(scope="session")
def signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def signing_key_file(signing_key: Ed25519PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "auth.pem"
    path.write_bytes(signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture(scope="session")
async def catcher() -> AsyncIterator[Catcher]:
    async with catching() as catcher:
        yield catcher


@pytest.fixture(scope="module")
async def settings(
    database: Callable[[str], Awaitable[str]],
    redis_url: str,
    signing_key_file: Path,
    catcher: Catcher,
    world: World,
    vhost: str,
) -> AuthSettings:
    return AuthSettings(
        database_url=await database("auth"),
        redis_url=redis_url,
        amqp_url=world.amqp_url("auth", vhost),
        signing_key_file=signing_key_file,
        smtp_url=f"smtp://127.0.0.1:{catcher.smtp_port}",
        mail_from="Tiketi <no-reply@tickets.example.com>",
        public_url="https://tickets.example.com",
        mail_interval=timedelta(milliseconds=50),
        mail_first_pause=timedelta(seconds=1),
        verification_mails=2,
        verification_mail_refill=timedelta(seconds=1),
        argon2_memory_kib=64,
        argon2_time_cost=1,
        refresh_grace=timedelta(seconds=1),
        failed_log_ins=3,
        failed_log_in_refill=timedelta(seconds=1),
    )


@pytest.fixture(scope="module")
async def client(settings: AuthSettings) -> AsyncIterator[Client]:
    async with serve_app(build_app(settings)) as url, aiohttp.ClientSession(url) as session:
        yield Client(session, url)


@pytest.fixture
async def alone(settings: AuthSettings, database: Callable[[str], Awaitable[str]]) -> AuthSettings:
    """With a database of its own: no other process takes the mails out of it."""
    alone = settings.model_copy(update={"database_url": await database("auth")})
    await postgres.migrate(alone.database_url, PACKAGE)
    return alone


@pytest.fixture
async def rows(alone: AuthSettings) -> AsyncIterator[asyncpg.Connection]:
    """What is in the database of ``alone``."""
    connection = await asyncpg.connect(alone.database_url)
    yield connection
    await connection.close()
