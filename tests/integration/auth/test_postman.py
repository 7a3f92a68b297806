"""Mails are sent beside the requests, whatever becomes of the mail server meanwhile, and none is lost."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import asyncpg
import pytest
from prometheus_client import REGISTRY
from tests.integration.auth.conftest import Client, new_email
from tests.integration.serving import serve_app

from tiketi_local.mail import smtp
from tiketi_local.mail.box import Mailbox
from tiketi_local.mail.catcher import Catcher
from tiketi_services.auth.app import build_app
from tiketi_services.auth.settings import AuthSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def auth_that_mails_to(port: int, settings: AuthSettings, **changes: object) -> AsyncIterator[Client]:
    settings = settings.model_copy(update={"smtp_url": f"smtp://127.0.0.1:{port}", **changes})
    async with serve_app(build_app(settings)) as url, aiohttp.ClientSession(url) as session:
        yield Client(session, url)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def waiting(name: str) -> float:
    return metric(f"tiketi_auth_{name}", kind="verification")


async def until_nothing_waits(rows: asyncpg.Connection) -> None:
    async with asyncio.timeout(20):
        while await rows.fetchval("SELECT count(*) FROM verification_mails"):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.05)


async def test_while_the_mail_server_is_away_people_sign_up_and_get_their_mail_when_it_is_back(
    alone: AuthSettings,
) -> None:
    port, box, emails = free_port(), Mailbox(), [new_email() for _ in range(5)]
    async with auth_that_mails_to(port, alone) as client:
        answers = [await client.sign_up(email) for email in emails]
        assert {answer.status for answer in answers} == {201}
        async with asyncio.timeout(20):
            while (waiting("mails_waiting"), waiting("mails_oldest_seconds")) < (5, 0.5):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        server = await smtp.listen(box, "127.0.0.1", port)
        try:
            mails = [await box.wait(email, 0, 20) for email in emails]
        finally:
            server.close()
    assert [len(found) for found in mails] == [1] * 5


async def test_a_hundred_mails_that_wait_for_many_processes_are_sent_once_each(
    alone: AuthSettings, catcher: Catcher, rows: asyncpg.Connection
) -> None:
    run = new_email().partition("@")[0]
    await rows.execute(
        "INSERT INTO accounts (id, email, name, password_hash)"
        " SELECT gen_random_uuid(), $1 || n || '@example.com', 'Anna', 'x' FROM generate_series(1, 100) n",
        run,
    )
    await rows.execute("INSERT INTO verification_mails (account) SELECT id FROM accounts")
    async with (
        auth_that_mails_to(catcher.smtp_port, alone),
        auth_that_mails_to(catcher.smtp_port, alone),
        auth_that_mails_to(catcher.smtp_port, alone),
    ):
        await until_nothing_waits(rows)
    caught = [mail.to for mail in catcher.box.find() if mail.to.startswith(run)]
    assert sorted(caught) == sorted(f"{run}{n}@example.com" for n in range(1, 101))


async def test_an_address_that_is_refused_holds_up_nobody_and_is_given_up_in_the_end(
    alone: AuthSettings, catcher: Catcher, rows: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    email, nobody = new_email(), f"nobody@{new_email().partition('@')[0]}.example.com"
    given_up = metric("tiketi_auth_mails_total", kind="verification", outcome="given-up")
    changes = {"mail_first_pause": timedelta(milliseconds=200), "mail_patience": timedelta(seconds=1)}
    async with auth_that_mails_to(catcher.smtp_port, alone, **changes) as client:
        with caplog.at_level(logging.WARNING, "tiketi_services.auth.postman"):
            assert (await client.sign_up(nobody)).status == 201
            assert (await client.sign_up(email)).status == 201
            assert await catcher.box.wait(email, 0, 10)
            await until_nothing_waits(rows)
    refused = [record for record in caplog.records if record.message == "mail not taken"]
    assert len(refused) >= 2
    assert nobody not in str([record.__dict__ for record in refused])
    assert "550" in str(refused[0].__dict__)
    assert catcher.box.find(nobody) == []
    assert metric("tiketi_auth_mails_total", kind="verification", outcome="given-up") == given_up + 1


async def test_a_greylisted_mail_is_tried_again(alone: AuthSettings, catcher: Catcher) -> None:
    grey = f"grey-{new_email()}"
    async with auth_that_mails_to(catcher.smtp_port, alone) as client:
        await client.sign_up(grey)
        assert await catcher.box.wait(grey, 0, 10)


async def test_a_mail_whose_sender_died_with_it_is_sent_when_its_lease_ends(
    alone: AuthSettings, catcher: Catcher, rows: asyncpg.Connection
) -> None:
    email = new_email()
    await rows.execute(
        "WITH anna AS (INSERT INTO accounts (id, email, name, password_hash)"
        " VALUES (gen_random_uuid(), $1, 'Anna', 'x') RETURNING id)"
        " INSERT INTO verification_mails (account, attempts, due_at)"
        " SELECT id, 1, clock_timestamp() + interval '1 second' FROM anna",
        email,
    )
    async with auth_that_mails_to(catcher.smtp_port, alone):
        assert catcher.box.find(email) == []
        assert await catcher.box.wait(email, 0, 10)


async def test_a_server_that_dies_in_the_middle_of_a_mail_gets_it_again(alone: AuthSettings) -> None:
    box, email, broken = Mailbox(), new_email(), asyncio.Event()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                broken.set()
                break
            writer.write(b"250 OK\r\n")
        writer.close()

    port = free_port()
    async with auth_that_mails_to(port, alone) as elsewhere:
        async with await asyncio.start_server(break_off, "127.0.0.1", port):
            await elsewhere.sign_up(email)
            async with asyncio.timeout(10):
                await broken.wait()
        server = await smtp.listen(box, "127.0.0.1", port)
        try:
            assert await box.wait(email, 0, 15)
        finally:
            server.close()


async def test_signing_up_does_not_wait_for_a_mail_server_that_does_not_answer(alone: AuthSettings) -> None:
    signed_up = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await signed_up.wait()
        writer.close()

    async with (
        await asyncio.start_server(say_nothing, "127.0.0.1", port := free_port()),
        auth_that_mails_to(port, alone) as client,
    ):
        try:
            async with asyncio.timeout(8):  # a mail is waited for longer
                assert (await client.sign_up(new_email())).status == 201
        finally:
            signed_up.set()
