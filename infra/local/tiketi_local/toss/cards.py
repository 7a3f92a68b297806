"""Cards for trying things: the number decides what happens at confirm, as with other vendors' test cards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Mishap(StrEnum):
    """What becomes of an answer after the vendor has done its work."""

    NONE = "none"
    ANSWER_LOST = "answer-lost"
    """The connection is closed after the commit, without an answer."""
    SERVER_ERROR = "server-error"
    """500 after the commit."""


@dataclass(frozen=True, slots=True)
class CardBehaviour:
    """What a card does. ``refused``: the vendor's code at confirm."""

    refused: str | None = None
    mishap: Mishap = Mishap.NONE
    partially_cancelable: bool = True


_GOOD = CardBehaviour()
_BEHAVIOUR = {
    "4000000000000002": CardBehaviour(refused="REJECT_CARD_PAYMENT"),
    "4000000000000069": CardBehaviour(refused="INVALID_CARD_EXPIRATION"),
    "4000000000000341": CardBehaviour(refused="FDS_ERROR"),
    "4000000000000119": CardBehaviour(mishap=Mishap.ANSWER_LOST),
    "4000000000000127": CardBehaviour(mishap=Mishap.SERVER_ERROR),
    "4000000000003055": CardBehaviour(partially_cancelable=False),
}
_NUMBER = re.compile(r"[0-9]{12,19}")


def digits(card: str) -> str:
    """The number without spaces and hyphens. Raises ValueError if it is not a card number."""
    number = card.replace("-", "").replace(" ", "")
    if not _NUMBER.fullmatch(number):
        raise ValueError("a card number has 12 to 19 digits")
    return number


def behaviour_of(number: str) -> CardBehaviour:
    """What the card with these digits does; one that is not listed pays."""
    return _BEHAVIOUR.get(number, _GOOD)


def masked(number: str) -> str:
    """The number as the vendor shows it: ``433012******123*``, at most 20 characters."""
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:-1]}*"
