"""What a mail looks like, and which mail servers and senders can be used."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.mail import Mail, MailServer, _message
from tiketi_services.auth.domain import normalise_email

SENDER = Address("Tiketi", addr_spec="no-reply@example.com")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def mail_to(address: str) -> Mail:
    return Mail(address, "확인", "안녕하세요\nhttps://example.com/#token\n", "a-1.5", NOW)


def is_an_address(text: str) -> bool:
    try:
        normalise_email(text)
    except ValueError:
        return False
    return True


ADDRESSES = st.builds(
    lambda local, domain: f"{local}@{domain}.com", st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=10)
).filter(is_an_address)


@given(ADDRESSES)
def test_whatever_an_address_holds_the_mail_goes_to_one_mailbox_or_is_refused(text: str) -> None:
    address = normalise_email(text)
    try:
        message = _message(mail_to(address), SENDER)
    except ValueError:
        return
    headers, _, _ = bytes(message).partition(b"\r\n\r\n")
    assert [name for name in message if name.lower() in ("to", "cc", "bcc")] == ["To"]
    assert len(message["To"].addresses) == 1
    assert message["To"].addresses[0].username == address.rpartition("@")[0]
    assert headers.count(b"\r\nTo:") == 1


@pytest.mark.parametrize("address", ["a,b@example.com", 'a"b@example.com', "a<b@example.com", "안나@example.com"])
def test_an_odd_address_stays_what_it_is(address: str) -> None:
    [recipient] = _message(mail_to(address), SENDER)["To"].addresses
    assert recipient.username == address.rpartition("@")[0]


def test_a_mail_is_plain_text_that_no_machine_answers() -> None:
    message = _message(mail_to("anna@example.com"), SENDER)
    assert message.get_content_type() == "text/plain"
    assert message.get_content().splitlines() == ["안녕하세요", "https://example.com/#token"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == "<a-1.5@example.com>"
    assert message["Date"].datetime == NOW


@pytest.mark.parametrize("url", ["", "smtp://", "http://mail.example.com", "mail.example.com:25", "smtps:///x"])
def test_a_mail_server_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="mail server"):
        MailServer.from_url(url, "no-reply@example.com")


@pytest.mark.parametrize("sender", ["", "Tiketi", "a@", "a@b.example, c@d.example", "@example.com"])
def test_a_sender_that_is_none_is_refused(sender: str) -> None:
    with pytest.raises(ValueError, match="sender of mails"):
        MailServer.from_url("smtp://localhost", sender)


@pytest.mark.parametrize("url", ["smtp://h", "smtps://user:pa%40ss@h:10465", "smtp+starttls://u:p@h"])
def test_a_mail_server_is_known_by_its_url(url: str) -> None:
    assert MailServer.from_url(url, "Tiketi <no-reply@example.com>")
