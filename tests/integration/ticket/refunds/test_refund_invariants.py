"""The checker itself: it is silent while tickets are given back, and names what is not as it should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.ticket.orders.box_office import ANNA, FRONT, NEXT, Stage
from tests.invariants import violations

from tiketi_services.ticket.refunds import usecases
from tiketi_services.ticket.refunds.usecases import RefundDesk


@pytest.mark.parametrize(
    ("statement", "invariant"),
    [
        ("UPDATE tickets SET state = 'VOID', voided_at = now()", "I2 a void ticket was given back once"),
        ("UPDATE tickets SET state = 'ISSUED', voided_at = NULL", "I1 a valid ticket"),
        ("DELETE FROM refunds", "I2 a void ticket was given back once"),
        ("UPDATE refunds SET amount = amount + 1", "I2 a refund is as much as its tickets cost"),
        ("UPDATE seats SET until = until + interval '1 h' WHERE buyer = ''", "I4 a seat that nobody has"),
        ("DELETE FROM outbox WHERE key = 'refund.requested'", "I10 each refund is told once"),
        ("UPDATE orders SET state = 'REFUNDED'", "I1 a valid ticket"),
    ],
)
async def test_what_is_wrong_with_a_refund_is_named(
    stage: Stage, desk: RefundDesk, statement: str, invariant: str
) -> None:
    await stage.change(refunds_until=datetime.now(UTC) + timedelta(days=1))
    order = await stage.settle(await stage.place(ANNA, FRONT, NEXT))
    first, _ = await stage.office.book.tickets_of_order(order.id)
    await usecases.refund_own(desk, ANNA, order.id, "k", (first.id,))
    assert await violations(stage.pool) == []
    async with stage.pool.acquire() as connection:
        change = connection.transaction()
        await change.start()
        await connection.execute(statement)
        found = await violations(connection)
        await change.rollback()
    assert any(each.startswith(invariant) for each in found), found
