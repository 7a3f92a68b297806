"""From a paid order to tickets: once, whoever brings the news and however often."""

from __future__ import annotations

from uuid import uuid4

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    EVENT,
    FRONT,
    NEXT,
    Stage,
    all_at_once,
    messages_of,
    new_signer,
    paid,
)

from tiketi_runtime.contracts.identity import SeatId
from tiketi_runtime.contracts.messages import TicketsIssued
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    InvalidOutcome,
    OrderState,
    OrderUnfulfillable,
    OrderWithoutSeats,
    OutcomeMismatch,
)


async def test_a_paid_order_becomes_tickets_once_whoever_brings_the_news_and_however_often(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT, NEXT)
    messages = [uuid4() for _ in range(10)]
    results = await all_at_once(
        *(usecases.settle(stage.office, paid(order), message) for message in [*messages, *messages]),
        *(stage.settle(order) for _ in range(10)),
    )
    assert {result.state for result in results} == {OrderState.PAID}
    assert await stage.states() == {FRONT: "SOLD", NEXT: "SOLD"}
    tickets = await stage.office.book.tickets_of_order(order.id)
    assert sorted(ticket.seat for ticket in tickets) == [FRONT, NEXT]
    [message] = await messages_of(stage, "tickets.issued")
    assert isinstance(message, TicketsIssued)
    assert (message.order, message.seats, message.amount) == (order.id, (FRONT, NEXT), 300_000)


async def test_sold_seats_are_shown_and_counted_once_and_the_session_ends(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT, SeatId("ST-0001"))
    await stage.settle(order)
    await stage.office.paint.show(EVENT, await stage.office.book.taken(EVENT))
    assert await stage.paint(FRONT) == "sold"
    counts = await stage.redis.hgetall(stage.keys.counts)
    assert {name: counts[name] for name in (b"sold", b"sold:A", b"sold:ST")} == {
        b"sold": b"2",
        b"sold:A": b"1",
        b"sold:ST": b"1",
    }
    assert stage.admissions.ended == [ANNA]


async def test_a_late_brush_does_not_paint_a_sold_seat_as_held(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await stage.settle(order)
    await stage.office.paint.show(EVENT, order.taken_seats())
    assert await stage.paint(FRONT) == "sold"


@pytest.mark.parametrize(
    "claims",
    [
        {"amount": 149_999},
        {"currency": "USD"},
        {"buyer": BORIS},
        {"event": "arena/other"},
        {"order": str(uuid4())},
    ],
    ids=lambda claims: next(iter(claims)),
)
async def test_an_outcome_that_differs_from_the_order_issues_nothing(stage: Stage, claims: dict[str, object]) -> None:
    order = await stage.place(ANNA, FRONT)
    with pytest.raises(OutcomeMismatch):
        await stage.settle(order, **claims)
    assert await stage.states() == {FRONT: "PLACED"}


@pytest.mark.parametrize("claims", [{"status": "REFUSED"}, {"amount": "150000"}, {"order": "1"}], ids=str)
async def test_an_outcome_that_says_something_else_is_no_outcome(stage: Stage, claims: dict[str, object]) -> None:
    order = await stage.place(ANNA, FRONT)
    with pytest.raises(InvalidOutcome):
        await stage.settle(order, **claims)


async def test_an_outcome_that_payment_did_not_sign_is_refused(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    stage.payment_signer = new_signer("tiketi-payment")
    with pytest.raises(InvalidOutcome):
        await stage.settle(order)


async def test_payment_of_an_order_that_was_closed_issues_no_ticket(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await stage.office.book.close(order.id)
    with pytest.raises(OrderUnfulfillable):
        await stage.settle(order)
    assert await stage.pool.fetchval("SELECT count(*) FROM tickets") == 0
    assert await stage.states() == {FRONT: "HELD"}  # it lingers


async def test_an_order_that_lost_a_seat_is_neither_settled_nor_closed(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT, NEXT)
    await stage.pool.execute("DELETE FROM seats WHERE seat = $1", NEXT)
    with pytest.raises(OrderWithoutSeats):
        await stage.settle(order)
    with pytest.raises(OrderWithoutSeats):
        await stage.office.book.close(order.id)
    assert (await stage.office.book.find(order.id)).state is OrderState.OPEN  # type: ignore[union-attr]
    assert await stage.states() == {FRONT: "PLACED"}
    await stage.pool.execute("DELETE FROM seats; DELETE FROM orders; DELETE FROM outbox; DELETE FROM holds")
