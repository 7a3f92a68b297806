"""What a ticket's code says."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.ticket_code import TYP, TicketCode
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import TokenSigner

CODE = TicketCode("5052fa14-74ba-45da-ba95-78838621ce07", EventId("demo/first-sale"), SeatId("VIP-01-01"), "김안나")
SIGNER = TokenSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)), "tiketi-ticket")
VERSION_14_M = 362
"""Bytes in a QR code of 73 x 73 modules that may lose 15 % of them (ISO/IEC 18004, table 7)."""
VERSION_26_M = 1059
"""In one of 121 x 121."""


def test_it_says_again_what_was_said() -> None:
    assert TicketCode.from_claims(CODE.claims()) == CODE
    nameless = TicketCode(CODE.ticket, CODE.event, CODE.seat, None)
    assert TicketCode.from_claims(nameless.claims()) == nameless


def test_further_claims_are_for_later_versions() -> None:
    assert TicketCode.from_claims({**CODE.claims(), "colour": "red"}) == CODE


@pytest.mark.parametrize(
    "change",
    [
        {"tkt": "1"},
        {"tkt": 7},
        {"tkt": None},
        {"evt": "demo"},
        {"evt": None},
        {"evt": "a/b/c"},
        {"seat": None},
        {"seat": 7},
        {"name": 7},
        {"name": ["a"]},
    ],
)
def test_anything_else_is_no_ticket(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        TicketCode.from_claims({**CODE.claims(), **change})


@pytest.mark.parametrize("missing", ["tkt", "evt", "seat", "name"])
def test_nothing_may_be_missing(missing: str) -> None:
    claims: dict[str, Any] = CODE.claims()
    del claims[missing]
    with pytest.raises(InvalidToken):
        TicketCode.from_claims(claims)


def test_it_fits_a_code_that_a_cheap_camera_reads() -> None:
    assert len(SIGNER.seal(TYP, CODE.claims())) <= VERSION_14_M
    longest = TicketCode(
        CODE.ticket, EventId(f"{'n' * 63}/{'e' * 40}"), SeatId("ABCDEFGHIJKL-100-1000"), "\N{GRINNING FACE}" * 100
    )
    assert len(SIGNER.seal(TYP, longest.claims())) <= VERSION_26_M
