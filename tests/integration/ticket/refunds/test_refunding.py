"""Refunds in ticket alone: what is decided, what becomes of the seats, what is left to be told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    CHLOE,
    EVENT,
    FOURTH,
    FRONT,
    NEXT,
    THIRD,
    Stage,
    all_at_once,
    kinds,
    messages_of,
    sweeper,
)

from tiketi_runtime.contracts.identity import BuyerId, OrderId, SeatId
from tiketi_runtime.contracts.messages import PaymentRefunded, RefundRequested
from tiketi_runtime.outages import is_outage
from tiketi_runtime.outbox import KEEP_SENT, Housekeeping
from tiketi_services.ticket.orders import usecases as orders
from tiketi_services.ticket.orders.domain import LimitReached, Order, OrderNotFound, OrderState, SeatTaken
from tiketi_services.ticket.refunds import usecases
from tiketi_services.ticket.refunds.domain import (
    NOBODY,
    NoRefunds,
    RefundsOver,
    ReturnDelay,
    Returning,
    TicketsNotRefundable,
    UnknownRefund,
)
from tiketi_services.ticket.refunds.repository import open_messages
from tiketi_services.ticket.refunds.usecases import RefundDesk

SEATS = [FRONT, NEXT, THIRD, FOURTH]


async def sold(stage: Stage, buyer: BuyerId, *seats: SeatId) -> Order:
    return await stage.settle(await stage.place(buyer, *seats))


async def refundable(stage: Stage) -> None:
    """From now on the sale gives money back until tomorrow."""
    await stage.change(refunds_until=datetime.now(UTC) + timedelta(days=1))


async def refund(desk: RefundDesk, order: Order, buyer: BuyerId = ANNA) -> None:
    await usecases.refund_own(desk, buyer, order.id, str(uuid4()), None)


def told(order: Order, request: RefundRequested, **changes: object) -> PaymentRefunded:
    """What payment tells when all the money is back."""
    facts = {
        "order": order.id,
        "event": order.event,
        "buyer": order.buyer,
        "refund": request.refund,
        "amount": request.amount,
        "currency": "KRW",
        "balance": 0,
    }
    return PaymentRefunded.model_validate(facts | changes)


async def requested(stage: Stage) -> RefundRequested:
    """The one refund that was told."""
    [message] = await messages_of(stage, "refund.requested")
    assert isinstance(message, RefundRequested)
    return message


async def test_void_ticket_refund_and_message_are_one_commit_that_needs_no_broker(
    stage: Stage, desk: RefundDesk
) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, FRONT, NEXT)
    await refund(desk, order)
    message = await requested(stage)
    assert (message.order, message.amount, message.seats, message.reason) == (order.id, 300_000, (FRONT, NEXT), "buyer")
    assert {ticket.state for ticket in await stage.office.book.tickets_of_order(order.id)} == {"VOID"}
    found = await stage.office.book.find(order.id)
    assert found is not None
    assert found.state is OrderState.PAID


async def test_only_the_vendors_balance_ends_the_order(stage: Stage, desk: RefundDesk) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, FRONT, NEXT)
    await refund(desk, order)
    message = await requested(stage)
    for stranger in (told(order, message, refund=uuid4()), told(order, message, amount=1)):
        with pytest.raises(UnknownRefund):
            await usecases.finish(desk, stranger)
    await usecases.finish(desk, told(order, message, balance=5))
    assert [each.state for each in await desk.book.of_order(order.id)] == ["DONE"]
    states = [(await orders.find_order(stage.office, order.id, ANNA)).state]
    last = told(order, message)
    await asyncio.gather(*(usecases.finish(desk, last) for _ in range(10)))
    states.append((await orders.find_order(stage.office, order.id, ANNA)).state)
    assert states == [OrderState.PAID, OrderState.REFUNDED]


async def test_an_order_with_valid_tickets_is_not_refunded_whatever_the_vendor_has_left(
    stage: Stage, desk: RefundDesk
) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, FRONT, NEXT)
    first, _ = await stage.office.book.tickets_of_order(order.id)
    await usecases.refund_own(desk, ANNA, order.id, "k", (first.id,))
    await usecases.finish(desk, told(order, await requested(stage)))
    assert (await orders.find_order(stage.office, order.id, ANNA)).state is OrderState.PAID


async def test_the_buyers_seats_do_not_count_any_more(stage: Stage, desk: RefundDesk) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, *SEATS)
    with pytest.raises(LimitReached):
        await stage.hold(ANNA, SeatId("B-01-01"))
    await refund(desk, order)
    assert len((await stage.hold(ANNA, *(SeatId(f"B-01-0{number}") for number in range(1, 5)))).seats) == 4


async def test_nobody_gets_the_seats_at_the_second_they_were_given_back(stage: Stage, desk: RefundDesk) -> None:
    """A friend who asks for them the whole time, by PostgreSQL alone too, is as late as everybody."""
    await refundable(stage)
    order = await sold(stage, ANNA, FRONT)
    await refund(desk, order)
    with pytest.raises(SeatTaken):
        await stage.hold(BORIS, FRONT)
    await stage.redis.delete(stage.keys.seats)
    for buyer in (ANNA, BORIS):
        with pytest.raises(SeatTaken):
            await stage.hold(buyer, FRONT)
    late = "UPDATE seats SET until = clock_timestamp() - interval '1 ms' WHERE seat = $1"
    await stage.pool.execute(late, FRONT)
    await sweeper(stage, timedelta(0)).sweep_holds()
    assert (await stage.hold(BORIS, FRONT)).seats == [FRONT]


async def test_the_return_is_at_a_random_moment_between_the_bounds(stage: Stage, desk: RefundDesk) -> None:
    await refundable(stage)
    buyers = [BuyerId(f"{number:08}-0000-4000-8000-000000000000") for number in range(20)]
    for number, buyer in enumerate(buyers):
        await refund(desk, await sold(stage, buyer, SeatId(f"ST-{number + 1:04}")), buyer)
    delays = [row["after"] for row in await stage.pool.fetch("SELECT free_at - requested_at AS after FROM refunds")]
    assert timedelta(minutes=1) <= min(delays) < max(delays) <= timedelta(minutes=2)
    assert len(set(delays)) == 20
    with pytest.raises(ValueError, match="soonest"):
        ReturnDelay(timedelta(2), timedelta(1))


async def test_the_paint_follows_and_is_mended_when_a_stroke_was_lost(stage: Stage, desk: RefundDesk) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, FRONT, NEXT)
    assert await stage.paint(FRONT) == "sold"
    await refund(desk, order)
    [row] = await stage.pool.fetch("SELECT id FROM refunds")
    paint = await stage.paint(FRONT)
    assert paint is not None
    assert paint.startswith(f"{row['id']}||")
    counts = await stage.redis.hgetall(stage.keys.counts)
    assert (counts[b"sold"], counts[b"sold:A"], counts[b"taken:A"]) == (b"0", b"0", b"2")
    await stage.pool.execute("UPDATE seats SET until = clock_timestamp() - interval '1 ms'")
    await stage.redis.hset(stage.keys.seats, mapping={FRONT: "sold", NEXT: "sold"})
    await sweeper(stage, timedelta(0)).sweep_holds()
    await sweeper(stage, timedelta(0)).mend_paint()
    assert (await stage.paint(FRONT), await stage.paint(NEXT)) == (None, None)
    counts = await stage.redis.hgetall(stage.keys.counts)
    assert {int(counts.get(name, 0)) for name in (b"sold", b"sold:A", b"taken:A")} == {0}
    assert (await stage.hold(BORIS, FRONT)).seats == [FRONT]


async def test_refunds_end_by_the_newest_sheet_and_the_databases_clock(stage: Stage, desk: RefundDesk) -> None:
    order = await sold(stage, ANNA, FRONT)
    with pytest.raises(NoRefunds):
        await refund(desk, order)
    await stage.change(refunds_until=datetime.now(UTC) - timedelta(milliseconds=1))
    with pytest.raises(RefundsOver):
        await refund(desk, order)
    with pytest.raises(OrderNotFound):
        await refund(desk, order, BORIS)
    await refundable(stage)
    await refund(desk, order)


async def test_fifty_requests_at_once_void_each_ticket_once(stage: Stage, desk: RefundDesk) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, *SEATS)
    results = await all_at_once(*(refund(desk, order) for _ in range(50)))
    assert kinds(results) == ["NoneType"] + ["TicketsNotRefundable"] * 49
    assert (await requested(stage)).amount == 600_000


async def test_parts_at_once_never_give_a_ticket_back_twice(stage: Stage, desk: RefundDesk) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, *SEATS)
    ids = [ticket.id for ticket in await stage.office.book.tickets_of_order(order.id)]
    pairs = [(ids[first], ids[second]) for first in range(4) for second in range(4) if first != second]
    results = await all_at_once(*(usecases.refund_own(desk, ANNA, order.id, str(uuid4()), pair) for pair in pairs))
    refunds = await desk.book.of_order(order.id)
    given = [ticket for each in refunds for ticket in each.tickets]
    assert len(given) == len(set(given)) == 2 * len(refunds)
    assert [type(result) for result in results].count(TicketsNotRefundable) == len(pairs) - len(refunds)


class Friends:
    """Stands for the waitlist: takes the first seat of what is offered for Chloe, once it works."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.offered: list[Returning] = []
        self.is_away = True

    async def offer(self, returning: Returning) -> None:
        if self.is_away:
            raise ConnectionError("away")
        self.offered.append(returning)
        take = (
            "UPDATE seats SET buyer = $1, hold = gen_random_uuid(), fence = nextval('fences'),"
            " until = now() + interval '3 min' WHERE event = $2 AND seat = $3 AND hold = $4 AND buyer = $5"
            " AND until > clock_timestamp() RETURNING hold, fence, until"
        )
        async with self.stage.pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(take, CHLOE, EVENT, returning.seats[0], returning.refund, NOBODY)
            assert row is not None
            await connection.execute(
                "INSERT INTO holds (id, event, buyer, line, fence, seats, held_at, until, since)"
                " VALUES ($1, $2, $3, 'public', $4, $5, now(), $6, now())",
                row["hold"],
                EVENT,
                CHLOE,
                row["fence"],
                [returning.seats[0]],
                row["until"],
            )


async def test_who_waits_is_offered_the_seats_first_and_once(stage: Stage, desk: RefundDesk) -> None:
    await refundable(stage)
    friends = Friends(stage)
    await refund(desk, await sold(stage, ANNA, FRONT, NEXT))
    with pytest.raises(ConnectionError) as away:
        await usecases.offer_returning(desk, friends)
    assert is_outage(away.value)
    friends.is_away = False
    for _ in range(2):
        await usecases.offer_returning(desk, friends)
    [returning] = friends.offered
    assert (returning.event, returning.seats) == (EVENT, (FRONT, NEXT))
    await stage.pool.execute("UPDATE seats SET until = clock_timestamp() WHERE buyer = ''")
    await stage.redis.delete(stage.keys.seats)
    with pytest.raises(SeatTaken):
        await stage.hold(BORIS, FRONT)
    assert (await stage.hold(BORIS, NEXT)).seats == [NEXT]


async def test_a_cancelled_event_is_given_back_although_it_is_killed_on_the_way(stage: Stage, desk: RefundDesk) -> None:
    buyers = [BuyerId(f"{number:08}-0000-4000-8000-000000000000") for number in range(20)]
    sales = [await sold(stage, buyer, SeatId(f"ST-{number + 1:04}")) for number, buyer in enumerate(buyers)]
    await usecases.cancel_event(desk, EVENT, "organiser")
    while (await desk.book.progress(EVENT)).issued:
        work = asyncio.create_task(usecases.refund_cancelled(desk))
        await asyncio.wait([work], timeout=0.02)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    refunds = [each for order in sales for each in await desk.book.of_order(OrderId(order.id))]
    assert [each.amount for each in refunds] == [70_000] * 20
    assert len(await messages_of(stage, "refund.requested")) == 20


async def unsent(stage: Stage) -> list[str]:
    """Ids of the requests that wait for the broker."""
    rows = await stage.pool.fetch("SELECT id FROM outbox WHERE key = 'refund.requested' AND sent_at IS NULL")
    return [str(row["id"]) for row in rows]


async def test_payment_is_asked_again_with_the_same_message_until_the_money_is_back(
    stage: Stage, desk: RefundDesk
) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, FRONT)
    await refund(desk, order)
    message = await requested(stage)
    sent = "UPDATE outbox SET sent_at = clock_timestamp() - $1::interval, created_at = created_at - $1::interval"
    asked = "UPDATE refunds SET requested_at = clock_timestamp() - $1::interval"
    for silence, wanted in ((timedelta(minutes=9), []), (timedelta(minutes=10), [str(message.id)])):
        await stage.pool.execute(sent, silence)
        await stage.pool.execute(asked, silence)
        await asyncio.gather(*(usecases.ask_again(desk) for _ in range(5)))
        assert await unsent(stage) == wanted
    age = await stage.pool.fetchval("SELECT clock_timestamp() - created_at FROM outbox WHERE key = 'refund.requested'")
    assert age < timedelta(minutes=1)  # or the oldest message that waits for the broker would be an alarm
    assert await requested(stage) == message
    await stage.pool.execute(sent, timedelta(minutes=1))
    await usecases.ask_again(desk)
    assert await unsent(stage) == []  # asked a minute ago
    await stage.pool.execute(sent, timedelta(hours=1))
    await usecases.finish(desk, told(order, message))
    await usecases.ask_again(desk)
    assert await unsent(stage) == []


async def test_refunds_that_are_open_too_long_are_counted_and_their_messages_kept(
    stage: Stage, desk: RefundDesk
) -> None:
    await refundable(stage)
    order = await sold(stage, ANNA, FRONT)
    await refund(desk, order)
    message = await requested(stage)
    assert await desk.book.overdue(timedelta(minutes=30)) == 0
    await stage.pool.execute("UPDATE refunds SET requested_at = requested_at - interval '31 min'")
    await stage.pool.execute("UPDATE outbox SET sent_at = now(), created_at = now() - 2 * $1::interval", KEEP_SENT)
    await usecases.ask_again(desk)
    assert usecases.OVERDUE._value.get() == 1
    keeper = Housekeeping(stage.pool, keep=open_messages())
    await keeper.clean()
    [left] = await stage.pool.fetch("SELECT id FROM outbox")
    assert left["id"] == message.id
    await usecases.finish(desk, told(order, message))
    await usecases.ask_again(desk)
    assert usecases.OVERDUE._value.get() == 0
    await keeper.clean()
    assert await stage.pool.fetch("SELECT key, sent_at, created_at FROM outbox WHERE sent_at IS NOT NULL") == []
    await stage.pool.execute("TRUNCATE orders, refunds, tickets, seats, holds CASCADE")  # what was told is deleted
