"""What mails say. Pure.

Korean first, then English, in one text: nobody is asked for a language to sign up. Nothing in the mail that verifies an
address was typed by whoever signed up: an account in a stranger's name must not carry words to that stranger. Letters
about orders carry words of the organiser (title, venue), each made one harmless line.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiketi_runtime.contracts.messages import EventCancelled, EventDetails, RefundDone, TicketsIssued

SUBJECT: Final = "[Tiketi] 이메일 주소를 확인해 주세요 / Please verify your e-mail address"

_VERIFICATION: Final = """\
안녕하세요, Tiketi입니다.

아래 링크를 열고 '확인' 버튼을 누르면 이메일 주소 확인이 끝납니다.
확인된 계정만 예매 대기열에 설 수 있습니다.

{link}

이 링크는 {hours}시간 동안 쓸 수 있습니다.
가입한 적이 없다면 이 메일을 무시해 주세요. 아무 일도 일어나지 않습니다.

----

Hello from Tiketi.

Open the link above and press "Verify" to verify your e-mail address.
Only verified accounts can take a place in the line for tickets.

The link works for {hours} hours.
If you did not sign up, ignore this mail; nothing will happen.
"""

_LETTER: Final = """\
안녕하세요, Tiketi입니다.

{korean}

{korean_facts}

----

Hello from Tiketi.

{english}

{english_facts}
"""

_ISSUED: Final = (
    "결제가 확인되어 예매가 완료되었습니다. 입장에 쓸 QR 코드는 로그인한 뒤 '내 티켓'에서 볼 수 있습니다.",
    "Your payment has arrived and the tickets are yours. Log in to see their QR codes among your tickets.",
)
_REFUNDED: Final = {
    "buyer": ("요청하신 환불이 끝났습니다.", "The refund you asked for is done."),
    "organiser": ("주최 측이 요청한 환불이 끝났습니다.", "The organiser has refunded your tickets."),
    "event-cancelled": (
        "행사가 취소되어 진행한 환불이 끝났습니다.",
        "The event was cancelled; the refund of your tickets is done.",
    ),
}
_MONEY_IS_BACK: Final = (
    "결제하신 수단으로 돌려드렸습니다. 카드사나 은행에 따라 보이기까지 며칠 걸릴 수 있습니다.",
    "The money goes back the way it came. It may take your bank or card company a few days to show it.",
)
_CANCELLED: Final = (
    "아래 행사가 취소되었습니다. 티켓은 이제 쓸 수 없습니다.",
    "The event below is cancelled. Your tickets are not valid any more.",
)
_MONEY_WILL_BE_BACK: Final = (
    "결제하신 금액은 결제하신 수단으로 모두 환불됩니다. 따로 하실 일은 없으며, 환불이 끝나면 메일로 알려드립니다.",
    "All of your money goes back the way it came. You need not do anything; another mail follows when it is done.",
)

_KOREAN_DAYS: Final = "월화수목금토일"
_ENGLISH_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ENGLISH_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DIGITS: Final = {"KRW": 0, "JPY": 0, "USD": 2}
"""Digits of the minor unit (ISO 4217)."""
_LONGEST: Final = 120
"""As in the TicketEvent."""
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They could make a line read other than it is."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail without its address."""

    subject: str
    text: str


Occasion = TicketsIssued | RefundDone | EventCancelled
"""Messages that a buyer gets a letter about."""


def verification(public_url: str, token: str, lifetime: timedelta) -> Letter:
    """The mail that asks to verify an address.

    The token stands behind the ``#``: browsers do not send that part, so it is in no log and in no referrer. Opening
    the link alone verifies nothing, a button does: programs that look into mails open every link.
    """
    hours = max(1, round(lifetime / timedelta(hours=1)))
    return Letter(SUBJECT, _VERIFICATION.format(link=f"{public_url}/auth/verify-email#{token}", hours=hours))


def letter_about(message: Occasion) -> Letter:
    """The letter to the buyer of an order. It has no link: there is nothing in it to press."""
    title = _title(message)
    if isinstance(message, TicketsIssued):
        subject, words, money, paid = f"예매 완료 / Your tickets: {title}", _ISSUED, None, ("결제 금액", "Total")
    elif isinstance(message, RefundDone):
        subject, words = f"환불 완료 / Refund done: {title}", _REFUNDED[message.reason]
        money, paid = _MONEY_IS_BACK, ("환불 금액", "Amount")
    else:
        subject, words = f"행사 취소 / Event cancelled: {title}", _CANCELLED
        money, paid = _MONEY_WILL_BE_BACK, ("환불 금액", "Amount")
    korean, english = words
    if money is not None and message.amount > 0:
        korean, english = f"{korean}\n{money[0]}", f"{english}\n{money[1]}"
    korean_facts, english_facts = _facts(message, title, paid)
    text = _LETTER.format(korean=korean, korean_facts=korean_facts, english=english, english_facts=english_facts)
    return Letter(f"[Tiketi] {subject}", text)


def _facts(message: Occasion, title: str, paid: tuple[str, str]) -> tuple[str, str]:
    """What it is about, line by line, in Korean and in English."""
    facts: list[tuple[str, str, str, str]] = [("행사", title, "Event", title)]
    if message.details is not None:
        venue = one_line(message.details.venue)
        facts.append(("일시", *_when(message.details)))
        facts.append(("장소", venue, "Venue", venue))
    seats = ", ".join(map(one_line, message.seats))
    amount = amount_text(message.amount, message.currency)
    facts.append(("좌석", seats, "Seats", seats))
    facts.append((paid[0], amount, paid[1], amount))
    facts.append(("주문 번호", message.order, "Order", message.order))
    korean = "\n".join(f"- {name}: {value}" for name, value, _, _ in facts)
    return korean, "\n".join(f"- {name}: {value}" for _, _, name, value in facts)


def _title(message: Occasion) -> str:
    return one_line(message.details.title if message.details is not None else message.event)


def _when(details: EventDetails) -> tuple[str, str, str]:
    """When it begins, as the clock of the venue shows it: Korean, name of the English line, English."""
    zone, name = _zone(details.time_zone)
    at: datetime = details.starts_at.astimezone(zone)
    day = at.weekday()
    korean = f"{at.year}년 {at.month}월 {at.day}일 ({_KOREAN_DAYS[day]}) {at:%H:%M} ({name})"
    english = f"{_ENGLISH_DAYS[day]}, {at.day} {_ENGLISH_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} ({name})"
    return korean, "Time", english


def _zone(name: str) -> tuple[tzinfo, str]:
    """The zone, and what to call it; UTC if there is none of that name."""
    try:
        return ZoneInfo(name), name
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last: the name of a folder, such as "America"
        return UTC, "UTC"


def amount_text(amount: int, currency: str) -> str:
    """An amount of minor units as people write it: 99,000 KRW, 12.50 USD."""
    digits = _DIGITS.get(currency, 2)
    whole, rest = divmod(amount, 10**digits)
    return f"{whole:,}.{rest:0{digits}} {currency}" if digits else f"{whole:,} {currency}"


def one_line(text: str) -> str:
    """Words of others as one line of printable characters: they make neither headers nor lines of their own."""
    kept = (
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character
        for character in text
        if character not in _BIDI and unicodedata.category(character) != "Cs"
    )
    line = " ".join("".join(kept).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
