"""The mail catcher: takes everything, delivers nothing, shows it to whoever reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage

import aiohttp
import aiosmtplib
import pytest

from tiketi_local.crowd.mailbox import Mailbox
from tiketi_local.mail.box import Mailbox as Box
from tiketi_local.mail.catcher import Catcher, catching

LONG = 30
"""Seconds somebody is ready to wait for a mail: far more than a mail takes on a busy machine."""


@pytest.fixture
async def catcher() -> AsyncIterator[Catcher]:
    async with catching() as catcher:
        yield catcher


@pytest.fixture
async def http(catcher: Catcher) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{catcher.http_port}") as http:
        yield http


def mail_to(
    *recipients: str, subject: str = "확인", text: str = "안녕하세요\nhttps://x.example/#token\n"
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "no-reply@example.com"
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message.set_content(text)
    return message


async def send(catcher: Catcher, *messages: EmailMessage) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=catcher.smtp_port, start_tls=False) as smtp:
        for message in messages:
            await smtp.send_message(message)


async def test_a_mail_is_shown_to_each_of_its_recipients_as_it_was_sent(
    catcher: Catcher, http: aiohttp.ClientSession
) -> None:
    await send(catcher, mail_to("anna@example.com", "boris@example.com"))
    async with http.get("/mails") as answer:
        mails = await answer.json()
    assert [mail["to"] for mail in mails] == ["anna@example.com", "boris@example.com"]
    assert {mail["subject"] for mail in mails} == {"확인"}
    assert mails[0]["text"].splitlines() == ["안녕하세요", "https://x.example/#token"]
    async with http.get("/mails", params={"to": "Anna@example.com"}) as answer:
        assert len(await answer.json()) == 1
    async with http.get("/mails", params={"after": mails[-1]["id"]}) as answer:
        assert await answer.json() == []
    async with http.get("/mails/last") as answer:
        assert (await answer.json())["id"] == mails[-1]["id"]


async def test_who_waits_for_a_mail_gets_it_when_it_comes(catcher: Catcher, http: aiohttp.ClientSession) -> None:
    async def wait() -> list[dict[str, str]]:
        async with http.get("/mails", params={"to": "anna@example.com", "wait": LONG}) as answer:
            mails: list[dict[str, str]] = await answer.json()
            return mails

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    await send(catcher, mail_to("boris@example.com"), mail_to("anna@example.com"))
    started = time.monotonic()
    assert [mail["to"] for mail in await waiting] == ["anna@example.com"]
    assert time.monotonic() - started < LONG / 2


async def test_nothing_in_a_mail_runs_on_the_page(catcher: Catcher, http: aiohttp.ClientSession) -> None:
    script, image = "<script>alert(1)</script>", "<img src=x> http://a.b/?c=1&d"
    await send(catcher, mail_to("anna@example.com", subject=script, text=image))
    async with http.get("/") as page:
        assert "<script>" not in await page.text()
        assert "default-src 'none'" in page.headers["content-security-policy"]
    async with http.get("/read/1") as page:
        text = await page.text()
    assert "<img" not in text
    assert "<script>" not in text
    assert '<a href="http://a.b/?c=1&amp;d">' in text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/read/7", 404), ("/read/x", 404), ("/mails?after=x", 400), ("/mails?wait=x", 400), ("/nowhere", 404)],
)
async def test_nonsense_is_refused(http: aiohttp.ClientSession, path: str, status: int) -> None:
    async with http.get(path) as answer:
        assert answer.status == status


async def test_some_addresses_refuse_mail_as_on_a_bad_day(catcher: Catcher) -> None:
    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await send(catcher, mail_to("nobody@example.com"))
        assert refused.value.recipients[0].code == 550
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await send(catcher, mail_to("grey-anna@example.com"))
    assert refused.value.recipients[0].code == 450
    await send(catcher, mail_to("grey-anna@example.com"))
    assert [mail.to for mail in catcher.box.find()] == ["grey-anna@example.com"]


async def test_the_oldest_mails_are_forgotten() -> None:
    box = Box(most=3)
    for number in range(5):
        box.put("a@example.com", [f"b{number}@example.com"], mail_to("x@example.com"))
    assert [mail.id for mail in box.find()] == [3, 4, 5]
    assert [mail.id for mail in box.find(after=4)] == [5]
    assert [mail.id for mail in box.newest(2)] == [5, 4]
    assert box.mail(1) is None
    assert box.last_id == 5
    kept = box.mail(4)
    assert kept is not None
    assert kept.to == "b3@example.com"


async def test_the_crowd_finds_each_buyer_s_mail_among_those_that_come_later(
    catcher: Catcher, http: aiohttp.ClientSession
) -> None:
    await send(catcher, mail_to("anna@example.com", text="http://x/#old\n"))
    async with Mailbox(http, f"http://127.0.0.1:{catcher.http_port}") as mailbox:
        waiting = asyncio.gather(*(mailbox.verification(f"{name}@example.com") for name in ("anna", "boris")))
        await send(
            catcher,
            mail_to("boris@example.com", text="http://x/#b\n"),
            mail_to("anna@example.com", text="http://x/#a\n"),
        )
        assert await waiting == ["a", "b"]
