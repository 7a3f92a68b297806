"""What messages told, kept in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import permutations
from uuid import uuid4

import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.stats.on_sale import PRICE, Order

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.contracts.messages import AnyMessage, RefundRequested
from tiketi_services.stats import usecases
from tiketi_services.stats.domain import OrderState, Totals
from tiketi_services.stats.repository import Orders


@pytest.fixture(scope="module")
async def orders(database: MakeDatabase) -> AsyncIterator[Orders]:
    url = await database("stats")
    await postgres.migrate(url, "tiketi_services.stats")
    async with await postgres.connect(url) as pool:
        yield Orders(pool)


@pytest.fixture
def event() -> EventId:
    return event_id("demo", f"sale-{uuid4().hex[:8]}")


async def totals(orders: Orders, event: EventId) -> Totals:
    return (await orders.totals([event]))[event]


async def test_a_paid_order_adds_the_same_in_every_sequence_of_its_messages(orders: Orders) -> None:
    for number, sequence in enumerate(permutations(["placed", "refused", "settled", "issued"])):
        event = event_id("demo", f"sequence-{number}")
        order = Order(event, "ST-0001", "ST-0002")
        for name in sequence:
            await usecases.record(orders, getattr(order, name))
        found = await totals(orders, event)
        assert (found.sold, found.revenue, found.refusals, found.open_seats) == (2, 2 * PRICE, 1, frozenset())
        assert found.orders == {**dict.fromkeys(OrderState, 0), OrderState.ISSUED: 1}


async def test_an_order_that_was_closed_first_and_placed_later_holds_no_seat(orders: Orders, event: EventId) -> None:
    order = Order(event, "ST-0001")
    await usecases.record(orders, order.closed)
    await usecases.record(orders, order.placed)
    found = await totals(orders, event)
    assert (found.open_seats, found.sold, found.revenue) == (frozenset(), 0, 0)


async def test_a_message_that_comes_twice_is_applied_once(orders: Orders, event: EventId) -> None:
    order = Order(event, "ST-0001")
    for _ in range(3):
        await usecases.record(orders, order.refused)
    assert (await totals(orders, event)).refusals == 1


async def test_a_second_refusal_of_the_same_order_counts(orders: Orders, event: EventId) -> None:
    order = Order(event, "ST-0001")
    await usecases.record(orders, order.refused)
    await usecases.record(orders, order.refused.model_copy(update={"id": uuid4()}))
    assert (await totals(orders, event)).refusals == 2


async def test_money_counts_when_it_is_paid_and_seats_are_sold_when_tickets_are_issued(
    orders: Orders, event: EventId
) -> None:
    order = Order(event, "ST-0001", "ST-0002")
    await usecases.record(orders, order.placed)
    placed = await totals(orders, event)
    await usecases.record(orders, order.settled)
    paid = await totals(orders, event)
    await usecases.record(orders, order.issued)
    issued = await totals(orders, event)

    assert [(step.revenue, step.sold, len(step.open_seats)) for step in (placed, paid, issued)] == [
        (0, 0, 2),
        (2 * PRICE, 0, 2),
        (2 * PRICE, 2, 0),
    ]


async def test_an_event_without_orders_has_empty_totals(orders: Orders, event: EventId) -> None:
    found = await totals(orders, event)
    assert (found.sold, found.revenue, found.open_seats) == (0, 0, frozenset())


async def test_events_are_summed_apart(orders: Orders, event: EventId) -> None:
    other = event_id("other", "sale")
    await usecases.record(orders, Order(event, "ST-0001").issued)
    await usecases.record(orders, Order(other, "ST-0001").issued)
    found = await orders.totals([event, other])
    assert (found[event].sold, found[other].sold) == (1, 1)


async def test_tickets_given_back_and_their_price_count_no_more_in_every_sequence(orders: Orders) -> None:
    for number, sequence in enumerate(permutations(range(5))):
        event = event_id("demo", f"refunds-{number}")
        order = Order(event, "ST-0001", "ST-0002", "ST-0003")
        parts = [
            RefundRequested.model_validate(
                {
                    "order": order.issued.order,
                    "event": event,
                    "refund": uuid4(),
                    "buyer": order.issued.buyer,
                    "seats": seats,
                    "amount": PRICE * len(seats),
                    "currency": order.issued.currency,
                    "reason": "buyer",
                }
            )
            for seats in (["ST-0001"], ["ST-0003"])
        ]
        messages: list[AnyMessage] = [order.placed, order.settled, order.issued, *parts]
        for place in (*sequence, *sequence):
            await usecases.record(orders, messages[place])
        found = await totals(orders, event)
        assert (found.sold, found.revenue, found.orders[OrderState.ISSUED]) == (1, PRICE, 1)
