"""What mails say, and the page that the link of one leads to."""

from __future__ import annotations

import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.headerregistry import Address
from typing import Any, Literal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.identity import BuyerId, EventId, OrderId, SeatId
from tiketi_runtime.contracts.messages import EventCancelled, EventDetails, RefundDone, TicketsIssued
from tiketi_runtime.mail import Mail, _message
from tiketi_services.auth.letters import amount_text, letter_about, one_line, verification
from tiketi_services.auth.verification_page import PAGE, PAGE_HEADERS

TEXT = verification("https://tickets.example.com", "k.token.tag", timedelta(hours=6)).text
DETAILS = EventDetails(
    title="첫 공연", venue="올림픽홀", time_zone="Asia/Seoul", starts_at=datetime(2027, 5, 1, 10, tzinfo=UTC)
)
FACTS: dict[str, Any] = {
    "order": OrderId("5f0c"),
    "event": EventId("demo/first-sale"),
    "buyer": BuyerId(str(uuid4())),
    "seats": (SeatId("A-01-01"), SeatId("A-01-02")),
    "amount": 99_000,
    "currency": "KRW",
    "details": DETAILS,
}


def test_the_mail_has_one_link_with_the_token_where_no_server_sees_it() -> None:
    links = [word for word in TEXT.split() if "://" in word]
    assert links == ["https://tickets.example.com/auth/verify-email#k.token.tag"]


def test_the_mail_says_in_both_languages_how_long_the_link_works() -> None:
    assert "6시간" in TEXT
    assert "6 hours" in TEXT


def test_the_page_loads_nothing_and_runs_only_its_own_script() -> None:
    assert "src=" not in PAGE
    assert "http:" not in PAGE
    assert "https:" not in PAGE
    policy = PAGE_HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_an_order_s_letter_says_what_where_when_and_how_much_in_both_languages() -> None:
    letter = letter_about(TicketsIssued(**FACTS))
    assert letter.subject == "[Tiketi] 예매 완료 / Your tickets: 첫 공연"
    for line in (
        "- 행사: 첫 공연",
        "- 일시: 2027년 5월 1일 (토) 19:00 (Asia/Seoul)",
        "- 장소: 올림픽홀",
        "- 좌석: A-01-01, A-01-02",
        "- 결제 금액: 99,000 KRW",
        "- 주문 번호: 5f0c",
        "- Event: 첫 공연",
        "- Time: Sat, 1 May 2027, 19:00 (Asia/Seoul)",
        "- Venue: 올림픽홀",
        "- Seats: A-01-01, A-01-02",
        "- Total: 99,000 KRW",
        "- Order: 5f0c",
    ):
        assert line in letter.text.splitlines()


@pytest.mark.parametrize("reason", ["buyer", "organiser", "event-cancelled"])
def test_a_refund_s_letter_says_how_much_and_that_it_comes_back_the_way_it_came(
    reason: Literal["buyer", "organiser", "event-cancelled"],
) -> None:
    letter = letter_about(RefundDone(refund=uuid4(), reason=reason, **FACTS))
    assert letter.subject == "[Tiketi] 환불 완료 / Refund done: 첫 공연"
    assert "- Amount: 99,000 KRW" in letter.text
    assert "- 환불 금액: 99,000 KRW" in letter.text
    assert "the way it came" in letter.text


def test_the_letter_of_a_cancelled_event_says_what_happens_with_the_money() -> None:
    letter = letter_about(EventCancelled(refund=uuid4(), **FACTS))
    assert letter.subject == "[Tiketi] 행사 취소 / Event cancelled: 첫 공연"
    assert "All of your money goes back the way it came." in letter.text
    assert "모두 환불됩니다" in letter.text


def test_without_money_nothing_is_said_of_money_that_comes_back() -> None:
    free = FACTS | {"amount": 0}
    for message in (EventCancelled(refund=uuid4(), **free), RefundDone(refund=uuid4(), reason="buyer", **free)):
        assert "the way it came" not in letter_about(message).text


def test_no_letter_about_an_order_has_a_link() -> None:
    for message in (TicketsIssued(**FACTS), EventCancelled(refund=uuid4(), **FACTS)):
        assert "://" not in letter_about(message).text


def test_a_message_from_before_there_were_details_makes_a_letter_all_the_same() -> None:
    letter = letter_about(TicketsIssued(**FACTS | {"details": None}))
    assert "- Event: demo/first-sale" in letter.text
    assert "Time:" not in letter.text


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "../etc/passwd", ""])
def test_a_zone_that_does_not_exist_is_utc(zone: str) -> None:
    details = DETAILS.model_copy(update={"time_zone": zone})
    assert "- Time: Sat, 1 May 2027, 10:00 (UTC)" in letter_about(TicketsIssued(**FACTS | {"details": details})).text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (99_000, "KRW", "99,000 KRW"),
        (1_250_000, "JPY", "1,250,000 JPY"),
        (1205, "USD", "12.05 USD"),
        (0, "KRW", "0 KRW"),
    ],
)
def test_amounts_are_written_as_people_write_them(amount: int, currency: str, text: str) -> None:
    assert amount_text(amount, currency) == text


def test_words_of_others_are_one_line() -> None:
    assert one_line("A\r\nBcc: eve@example.com\u2028\u0085\x00 B") == "A Bcc: eve@example.com B"
    assert one_line("\u202eevil\u2069") == "evil"
    assert len(one_line("x" * 500)) == 120


WORDS = st.text(st.characters(), max_size=200) | st.sampled_from(
    ["\r\nBcc: eve@example.com", "\n.\r\nMAIL FROM:<x>", "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?="]
)


@given(title=WORDS, venue=WORDS)
def test_no_title_makes_a_header_or_a_second_mail(title: str, venue: str) -> None:
    clean = TicketsIssued(**FACTS | {"details": None})
    details = EventDetails.model_construct(
        title=title, venue=venue, time_zone="Asia/Seoul", starts_at=DETAILS.starts_at
    )
    letter = letter_about(clean.model_copy(update={"details": details}))
    mail = Mail("anna@example.com", letter.subject, letter.text, "1.2", datetime(2027, 1, 1, tzinfo=UTC))
    plain = replace(mail, subject="Hello", text="안녕")
    sender = Address("Tiketi", "no-reply", "tickets.example.com")
    read = message_from_bytes(bytes(_message(mail, sender)), policy=email.policy.default)
    assert read.keys() == _message(plain, sender).keys()
    sent = bytes(_message(mail, sender))
    assert max(map(len, sent.splitlines())) <= 78
    assert read["Subject"] == letter.subject
    assert read["To"] == "anna@example.com"
    assert read.get_content().splitlines() == letter.text.splitlines()
    assert len(letter.text.split("\n")) == 24
