"""What ticket tells of orders, refunds and cancelled events reaches buyers by mail: once, and whatever is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.integration.auth.conftest import new_email
from tests.integration.auth.test_postman import auth_that_mails_to, free_port, metric

from tiketi_local.mail import smtp
from tiketi_local.mail.box import Mailbox
from tiketi_local.mail.catcher import Catcher
from tiketi_local.world import World
from tiketi_runtime.contracts.identity import BuyerId, EventId, OrderId, SeatId
from tiketi_runtime.contracts.messages import (
    EventCancelled,
    EventDetails,
    Message,
    RefundDone,
    TicketsIssued,
    encode_message,
)
from tiketi_runtime.outbox import key_of
from tiketi_runtime.rabbitmq import Broker, NobodyListens
from tiketi_services.auth.settings import AuthSettings

DETAILS = EventDetails(
    title="첫 공연", venue="올림픽홀", time_zone="Asia/Seoul", starts_at=datetime(2027, 5, 1, 10, tzinfo=UTC)
)


@pytest.fixture
def heard(alone: AuthSettings) -> AuthSettings:
    """Hurried, with the rights that auth has at the broker of a world."""
    return alone.model_copy(update={"letters_per_second": 1000.0})


@pytest.fixture
async def ticket(world: World, vhost: str) -> AsyncIterator[Broker]:
    """Where messages of ticket come from."""
    async with Broker(world.amqp_url("ticket", vhost), "ticket") as broker:
        yield broker


async def tell(broker: Broker, message: Message) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await broker.publish(encode_message(message), key_of(message), str(message.id))
            except NobodyListens:
                await asyncio.sleep(0.1)
            else:
                return


async def account(rows: asyncpg.Connection, email: str, *, is_verified: bool = True) -> BuyerId:
    found = await rows.fetchval(
        "INSERT INTO accounts (id, email, name, password_hash, verified_at)"
        " VALUES (gen_random_uuid(), $1, 'Anna Kim', 'x', CASE WHEN $2 THEN now() END) RETURNING id",
        email,
        is_verified,
    )
    return BuyerId(str(found))


def facts(buyer: BuyerId, **changes: Any) -> dict[str, Any]:
    return {
        "order": OrderId(str(uuid4())),
        "event": EventId("demo/first-sale"),
        "buyer": buyer,
        "seats": (SeatId("A-01-01"),),
        "amount": 99_000,
        "currency": "KRW",
        "details": DETAILS,
    } | changes


async def until_heard(rows: asyncpg.Connection, message: UUID) -> None:
    async with asyncio.timeout(20):
        while not await rows.fetchval("SELECT count(*) FROM inbox WHERE id = $1", message):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_all_sent(rows: asyncpg.Connection) -> None:
    async with asyncio.timeout(30):
        while await rows.fetchval("SELECT count(*) FROM letters"):  # noqa: ASYNC110 - another process sends them
            await asyncio.sleep(0.05)


async def test_buyers_hear_of_order_cancelled_event_and_refund(
    heard: AuthSettings, catcher: Catcher, rows: asyncpg.Connection, ticket: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    email = new_email()
    about = facts(await account(rows, email))
    with caplog.at_level(logging.DEBUG, "tiketi_services"):
        async with auth_that_mails_to(catcher.smtp_port, heard):
            for message in (
                TicketsIssued(**about),
                EventCancelled(refund=uuid4(), **about),
                RefundDone(refund=uuid4(), reason="event-cancelled", **about),
            ):
                await tell(ticket, message)
                await until_heard(rows, message.id)
            await until_all_sent(rows)
    mails = catcher.box.find(email)
    assert sorted(mail.subject for mail in mails) == [
        "[Tiketi] 예매 완료 / Your tickets: 첫 공연",
        "[Tiketi] 행사 취소 / Event cancelled: 첫 공연",
        "[Tiketi] 환불 완료 / Refund done: 첫 공연",
    ]
    assert all(about["order"] in mail.text and "A-01-01" in mail.text for mail in mails)
    told = str([record.__dict__ for record in caplog.records])
    assert email not in told
    assert "Anna Kim" not in told


async def test_a_message_that_comes_again_and_again_makes_one_mail(
    heard: AuthSettings, catcher: Catcher, rows: asyncpg.Connection, ticket: Broker
) -> None:
    email = new_email()
    buyer = await account(rows, email)
    message, last = TicketsIssued(**facts(buyer)), TicketsIssued(**facts(buyer))
    async with auth_that_mails_to(catcher.smtp_port, heard), auth_that_mails_to(catcher.smtp_port, heard):
        await tell(ticket, message)
        await until_heard(rows, message.id)
        await until_all_sent(rows)
        for _ in range(5):
            await tell(ticket, message)
        await tell(ticket, last)
        await until_heard(rows, last.id)
        await until_all_sent(rows)
    ids = [dict(mail.headers)["Message-ID"] for mail in catcher.box.find(email)]
    assert sorted(id_.strip()[1:37] for id_ in ids) == sorted([str(message.id), str(last.id)])


async def test_nobody_is_written_to_without_an_account_or_a_verified_address_and_nothing_dies(
    heard: AuthSettings, catcher: Catcher, rows: asyncpg.Connection, ticket: Broker
) -> None:
    stranger = new_email()
    unverified = await account(rows, stranger, is_verified=False)
    dead = metric("tiketi_messages_consumed_total", queue="auth.letters", result="dead")
    async with auth_that_mails_to(catcher.smtp_port, heard):
        for buyer in (unverified, BuyerId(str(uuid4())), BuyerId("anna")):
            message = TicketsIssued(**facts(buyer))
            await tell(ticket, message)
            await until_heard(rows, message.id)
        assert await rows.fetchval("SELECT count(*) FROM letters") == 0
    assert catcher.box.find(stranger) == []
    assert metric("tiketi_messages_consumed_total", queue="auth.letters", result="dead") == dead


async def test_who_deletes_their_account_gets_no_letter_that_waits(
    heard: AuthSettings, rows: asyncpg.Connection, ticket: Broker
) -> None:
    email, port, box = new_email(), free_port(), Mailbox()
    other = new_email()
    buyer, stays = await account(rows, email), await account(rows, other)
    async with auth_that_mails_to(port, heard):
        for each in (buyer, stays):
            message = TicketsIssued(**facts(each))
            await tell(ticket, message)
            await until_heard(rows, message.id)
        await rows.execute("DELETE FROM accounts WHERE id = $1", UUID(buyer))
        server = await smtp.listen(box, "127.0.0.1", port)
        try:
            assert await box.wait(other, 0, 20)
            await until_all_sent(rows)
        finally:
            server.close()
    assert box.find(email) == []


async def test_while_the_mail_server_is_away_messages_are_taken_and_letters_wait_in_the_database(
    heard: AuthSettings, rows: asyncpg.Connection, ticket: Broker
) -> None:
    port, box, emails = free_port(), Mailbox(), [new_email() for _ in range(40)]
    async with auth_that_mails_to(port, heard):
        messages = [TicketsIssued(**facts(await account(rows, email))) for email in emails]
        for message in messages:
            await tell(ticket, message)
        for message in messages:
            await until_heard(rows, message.id)
        assert await rows.fetchval("SELECT count(*) FROM letters WHERE attempts = 0") == 40
    async with auth_that_mails_to(port, heard):  # whoever took them may be gone
        server = await smtp.listen(box, "127.0.0.1", port)
        try:
            await until_all_sent(rows)
        finally:
            server.close()
    assert sorted(mail.to for mail in box.find()) == sorted(emails)


async def test_letters_leave_at_a_bounded_rate_and_who_signs_up_does_not_wait_behind_them(
    heard: AuthSettings, catcher: Catcher, rows: asyncpg.Connection, ticket: Broker
) -> None:
    buyer, newcomer = await account(rows, email := new_email()), new_email()
    message = TicketsIssued(**facts(buyer))
    await rows.execute(
        "INSERT INTO letters (id, account, message)"
        " SELECT gen_random_uuid(), $1, $2::jsonb FROM generate_series(1, 120)",
        UUID(buyer),
        encode_message(message).decode(),
    )
    loop = asyncio.get_running_loop()
    async with auth_that_mails_to(catcher.smtp_port, heard, letters_per_second=40.0) as client:
        began = loop.time()
        await client.sign_up(newcomer)
        assert await catcher.box.wait(newcomer, 0, 5)
        assert await rows.fetchval("SELECT count(*) FROM letters") > 0
        await until_all_sent(rows)
        assert loop.time() - began > 1.5  # 80 at once, then two seconds
    assert len(catcher.box.find(email)) == 120


async def test_a_letter_that_is_never_taken_or_cannot_be_written_is_given_up_and_counted(
    heard: AuthSettings, catcher: Catcher, rows: asyncpg.Connection, ticket: Broker
) -> None:
    given_up = metric("tiketi_auth_mails_total", kind="letter", outcome="given-up")
    refused = await account(rows, f"nobody@{new_email().partition('@')[0]}.example.com")
    broken = await account(rows, new_email())
    await rows.execute("INSERT INTO letters (id, account, message) VALUES (gen_random_uuid(), $1, '{}')", UUID(broken))
    changes = {"mail_first_pause": timedelta(milliseconds=200), "mail_patience": timedelta(seconds=1)}
    async with auth_that_mails_to(catcher.smtp_port, heard, **changes):
        message = TicketsIssued(**facts(refused))
        await tell(ticket, message)
        await until_heard(rows, message.id)
        await until_all_sent(rows)
    assert metric("tiketi_auth_mails_total", kind="letter", outcome="given-up") == given_up + 2
