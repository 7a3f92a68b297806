"""What a gate is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.ticket_code import TicketCode
from tiketi_runtime.errors import TiketiError
from tiketi_services.ticket.tickets.domain import CheckIn, Outcome, Reading, Verdict, conclude, judge

EVENT = EventId("demo/show")
CODE = TicketCode("5052fa14-74ba-45da-ba95-78838621ce07", EVENT, SeatId("A-0001"), "Anna")
AT = datetime(2026, 11, 23, 19, 0, tzinfo=UTC)
GENUINE, NONE = Reading(CODE), Reading(None)


def test_a_genuine_code_is_of_this_event_or_of_another() -> None:
    assert judge(EVENT, CODE) == Reading(CODE)
    assert judge(EventId("demo/other"), CODE) == Reading(CODE, Outcome.WRONG_EVENT)


def test_who_is_admitted_is_named() -> None:
    assert conclude(GENUINE, Verdict(Outcome.ADMITTED, AT, "North")) == CheckIn(CODE, AT, "North")


@pytest.mark.parametrize(
    ("reading", "verdict", "status", "code", "members"),
    [
        (
            GENUINE,
            Verdict(Outcome.USED, AT, "North"),
            409,
            "ticket-used",
            {"checkedInAt": AT.isoformat(), "gate": "North", "seat": "A-0001", "owner": "Anna"},
        ),
        (
            GENUINE,
            Verdict(Outcome.VOID, voided_at=AT),
            409,
            "ticket-void",
            {"voidedAt": AT.isoformat(), "seat": "A-0001", "owner": "Anna"},
        ),
        (GENUINE, Verdict(Outcome.UNKNOWN), 404, "unknown-ticket", {}),
        (
            Reading(CODE, Outcome.WRONG_EVENT),
            Verdict(Outcome.WRONG_EVENT),
            409,
            "wrong-event",
            {"event": EVENT, "seat": "A-0001", "owner": "Anna"},
        ),
        (Reading(None, Outcome.FORGED), Verdict(Outcome.FORGED), 422, "ticket-forged", {}),
        (Reading(None, Outcome.NOT_A_TICKET), Verdict(Outcome.NOT_A_TICKET), 422, "not-a-ticket", {}),
    ],
)
def test_who_is_not_is_told_why(
    reading: Reading, verdict: Verdict, status: int, code: str, members: dict[str, object]
) -> None:
    with pytest.raises(TiketiError) as refused:
        conclude(reading, verdict)
    error = refused.value
    assert (error.status, error.code, error.members) == (status, code, members)


@pytest.mark.parametrize("outcome", set(Outcome) - {Outcome.ADMITTED})
@pytest.mark.parametrize("reading", [GENUINE, NONE])
def test_nothing_but_admitted_lets_anybody_in(reading: Reading, outcome: Outcome) -> None:
    with pytest.raises(TiketiError):
        conclude(reading, Verdict(outcome, AT, "North") if outcome is Outcome.USED else Verdict(outcome))
