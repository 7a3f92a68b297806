"""From hold to order to tickets, and back to free seats: each step once, whatever is repeated or races."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    EVENT,
    FRONT,
    NEXT,
    THIRD,
    Stage,
    all_at_once,
    kinds,
    new_signer,
    paid,
)

from tiketi_runtime.contracts.identity import BuyerId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.messages import OrderClosed, OrderPlaced, TicketsIssued, parse_message
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import (
    AlreadyOrdered,
    HoldExpired,
    IdempotencyMismatch,
    InvalidOutcome,
    OrderEnded,
    OrderNotFound,
    OrderState,
    OrderUnfulfillable,
    OrderWithoutSeats,
    OutcomeMismatch,
    RequestInFlight,
)
from tiketi_services.ticket.orders.payment import Closing, PaymentAway
from tiketi_services.ticket.orders.sweeper import Sweeper

SHORT = timedelta(milliseconds=60)
RETRY = timedelta(milliseconds=100)


def sweeper(stage: Stage) -> Sweeper:
    return Sweeper(stage.office, RETRY)


async def read(stage: Stage, key: str) -> list[object]:
    """Messages of the outbox, as another service reads them."""
    rows = await stage.pool.fetch("SELECT body::text FROM outbox WHERE key = $1 ORDER BY created_at", key)
    return [parse_message(row["body"].encode()) for row in rows]


# --- Placing


async def test_an_order_takes_its_price_from_the_sale_sheet_in_force_and_tells_payment(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, SeatId("B-01-01"), SeatId("ST-0001"))
    sections = (await stage.office.sales.sheet(EVENT)).sections
    dearer = tuple(section.model_copy(update={"price": section.price + 1}) for section in sections)
    await stage.change(sections=dearer)
    order = await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert (order.amount, order.currency) == (310_003, "KRW")
    assert order.time_to_pay <= timedelta(minutes=10)
    assert set((await stage.states()).values()) == {"PLACED"}
    [message] = await read(stage, "order.placed")
    assert isinstance(message, OrderPlaced)
    assert (message.order, message.event, message.buyer, message.seats) == (order.id, EVENT, ANNA, order.seats)
    assert (message.amount, message.currency, message.pay_by) == (order.amount, order.currency, order.pay_by)
    assert message.order_name == "First Night × 3"


async def test_the_intent_says_the_same_as_the_order_and_ends_with_its_time_to_pay(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    intent = usecases.sign_intent(stage.office, order)
    assert jwt.get_unverified_header(intent)["typ"] == "payment-intent+jwt"
    claims = jwt.decode(intent, options={"verify_signature": False})
    assert claims["exp"] <= claims["payBy"] == order.pay_by.timestamp() <= claims["exp"] + 1
    assert [claims[name] for name in ("order", "event", "buyer", "amount", "currency", "orderName")] == [
        order.id,
        EVENT,
        ANNA,
        150_000,
        "KRW",
        "First Night",
    ]


async def test_the_same_key_and_hold_give_the_same_order_and_the_same_intent(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    results = await all_at_once(*(usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key") for _ in range(20)))
    orders = [result for result in results if not isinstance(result, RequestInFlight)]
    orders.append(await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key"))
    assert len(set(orders)) == 1
    await asyncio.sleep(1.1)  # were the intent signed by the clock, it would differ by now
    assert len({usecases.sign_intent(stage.office, order) for order in orders}) == 1
    assert len(await stage.messages("order.placed")) == 1


async def test_a_key_used_for_another_hold_is_refused(stage: Stage) -> None:
    first, second = await stage.hold(ANNA, FRONT), await stage.hold(ANNA, NEXT)
    await usecases.place_order(stage.office, EVENT, ANNA, first.id, "key")
    with pytest.raises(IdempotencyMismatch):
        await usecases.place_order(stage.office, EVENT, ANNA, second.id, "key")
    assert (await stage.states())[NEXT] == "HELD"


async def test_two_buyers_may_use_the_same_key(stage: Stage) -> None:
    for buyer, seat in ((ANNA, FRONT), (BORIS, NEXT)):
        hold = await stage.hold(buyer, seat)
        await usecases.place_order(stage.office, EVENT, buyer, hold.id, "key")
    assert set((await stage.states()).values()) == {"PLACED"}


async def test_a_hold_becomes_one_order_however_many_keys_ask_for_it(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    results = await all_at_once(
        *(usecases.place_order(stage.office, EVENT, ANNA, hold.id, f"key-{number}") for number in range(10))
    )
    assert kinds(results) == ["AlreadyOrdered"] * 9 + ["Order"]


async def test_an_expired_hold_cannot_be_ordered(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    hold = await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.08)
    with pytest.raises(HoldExpired):
        await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert await stage.messages("order.placed") == []


async def test_whoever_slept_past_the_hold_cannot_order_seats_that_are_anothers_by_now(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    late = await stage.hold(ANNA, FRONT, NEXT)
    await asyncio.sleep(0.08)
    await stage.change(hold_duration=timedelta(minutes=1))
    await stage.hold(BORIS, NEXT, THIRD)
    with pytest.raises(HoldExpired):
        await usecases.place_order(stage.office, EVENT, ANNA, late.id, "key")
    assert (await stage.states())[NEXT] == "HELD"


async def test_an_old_hold_cannot_order_seats_that_the_same_buyer_holds_anew(stage: Stage) -> None:
    await stage.change(hold_duration=SHORT)
    late = await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.08)
    await stage.change(hold_duration=timedelta(minutes=1))
    await stage.hold(ANNA, FRONT)
    with pytest.raises(HoldExpired):
        await usecases.place_order(stage.office, EVENT, ANNA, late.id, "key")


async def test_nobody_can_order_the_hold_of_another_or_one_that_never_was(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    for buyer, wanted in ((BORIS, hold.id), (ANNA, HoldId(str(uuid4())))):
        with pytest.raises(HoldExpired):
            await usecases.place_order(stage.office, EVENT, buyer, wanted, "key")


async def test_a_buyer_who_holds_may_order_though_the_sale_was_paused_meanwhile(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await stage.change(admission=Admission.PAUSED)
    order = await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    assert order.state is OrderState.OPEN


async def test_a_hold_that_became_an_order_is_not_released(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    with pytest.raises(AlreadyOrdered) as refusal:
        await usecases.release_hold(stage.office, EVENT, ANNA, order.hold)
    assert refusal.value.members == {"order": order.id}
    assert await stage.states() == {FRONT: "PLACED"}


async def test_release_and_order_of_one_hold_at_once_leave_one_of_them(stage: Stage) -> None:
    for number in range(10):
        hold = await stage.hold(BuyerId(f"buyer-{number}"), SeatId(f"A-03-{number + 1:02d}"))
        buyer = BuyerId(f"buyer-{number}")
        results = await all_at_once(
            usecases.place_order(stage.office, EVENT, buyer, hold.id, "key"),
            usecases.release_hold(stage.office, EVENT, buyer, hold.id),
        )
        assert kinds(results) in (["AlreadyOrdered", "Order"], ["HoldExpired", "NoneType"], ["NoneType", "Order"])


async def test_a_placed_seat_stays_taken_past_the_end_of_the_hold(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(seconds=1))
    await stage.place(ANNA, FRONT)
    await stage.redis.delete(stage.keys.seats)
    await asyncio.sleep(1.1)
    assert kinds(await all_at_once(stage.hold(BORIS, FRONT))) == ["SeatTaken"]
    assert await stage.paint(FRONT) is not None


# --- Paid


async def test_a_paid_order_becomes_tickets_once_whoever_brings_the_news_and_however_often(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT, NEXT)
    messages = [uuid4() for _ in range(10)]
    results = await all_at_once(
        *(usecases.settle(stage.office, paid(order), message) for message in [*messages, *messages]),
        *(stage.settle(order) for _ in range(10)),
    )
    assert {result.state for result in results} == {OrderState.PAID}
    assert await stage.states() == {FRONT: "SOLD", NEXT: "SOLD"}
    tickets = await stage.office.book.tickets_of_buyer(ANNA, 10)
    assert sorted(ticket.seat for ticket in tickets) == [FRONT, NEXT]
    [message] = await read(stage, "tickets.issued")
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
    assert await stage.states() == {}


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


# --- Closed


async def test_an_order_past_its_time_is_closed_by_payment_and_its_seats_are_free(stage: Stage) -> None:
    await stage.change(hold_duration=timedelta(seconds=1))
    order = await stage.place(ANNA, FRONT, NEXT)
    await stage.change(hold_duration=timedelta(minutes=10))
    await sweeper(stage).close_orders()
    assert stage.payment.asked == []
    await asyncio.sleep(1.1)
    stage.payment.answers[None] = {"status": "CLOSED"}
    await sweeper(stage).close_orders()
    claims = jwt.decode(stage.payment.asked[0], options={"verify_signature": False})
    assert (claims["iss"], claims["order"]) == ("tiketi-ticket", order.id)
    assert jwt.get_unverified_header(stage.payment.asked[0])["typ"] == "order-close+jwt"
    [message] = await read(stage, "order.closed")
    assert isinstance(message, OrderClosed)
    assert (message.order, message.seats) == (order.id, (FRONT, NEXT))
    assert await stage.paint(FRONT) is None
    await stage.hold(BORIS, FRONT, NEXT)


async def test_seats_stay_the_orders_while_payment_has_an_attempt_under_way(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await usecases.cancel_order(stage.office, order.id, ANNA)
    await sweeper(stage).close_orders()
    await sweeper(stage).close_orders()
    assert len(stage.payment.asked) == 1
    assert await stage.states() == {FRONT: "PLACED"}
    await asyncio.sleep(RETRY.total_seconds() + 0.02)
    stage.payment.answers[None] = {"status": "CLOSED"}
    await sweeper(stage).close_orders()
    assert await stage.states() == {}


async def test_seats_stay_the_orders_while_payment_does_not_answer(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await usecases.cancel_order(stage.office, order.id, ANNA)
    stage.payment.is_open = False
    await sweeper(stage).close_orders()
    with pytest.raises(PaymentAway):
        await usecases.close_order(stage.office, order.id)
    assert await stage.states() == {FRONT: "PLACED"}


async def test_an_order_that_turns_out_to_be_paid_is_settled_by_the_answer(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    stage.payment.answers[None] = {"status": "PAID", "outcome": stage.outcome(order)}
    assert await usecases.close_order(stage.office, order.id) is Closing.PAID
    assert await stage.states() == {FRONT: "SOLD"}


async def test_a_settlement_that_overtakes_the_closing_wins(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    stage.payment.answers[None] = {"status": "CLOSED"}
    stage.payment.before_answer = stage.settle(order)
    await usecases.close_order(stage.office, order.id)
    assert await stage.states() == {FRONT: "SOLD"}
    assert await stage.messages("order.closed") == []


async def test_closing_and_settling_at_once_leave_the_order_in_one_of_the_two_states(stage: Stage) -> None:
    stage.payment.answers[None] = {"status": "CLOSED"}
    for number in range(10):
        order = await stage.place(BuyerId(f"buyer-{number}"), SeatId(f"A-04-{number + 1:02d}"))
        await all_at_once(usecases.close_order(stage.office, order.id), stage.settle(order))
        ended = await stage.office.book.find(order.id)
        assert ended is not None
        assert ended.state in (OrderState.PAID, OrderState.CLOSED)


async def test_only_the_buyer_can_cancel_and_only_what_is_open(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    with pytest.raises(OrderNotFound):
        await usecases.cancel_order(stage.office, order.id, BORIS)
    assert (await usecases.cancel_order(stage.office, order.id, ANNA)).cancel_requested_at is not None
    await stage.settle(order)
    with pytest.raises(OrderEnded):
        await usecases.cancel_order(stage.office, order.id, ANNA)
    with pytest.raises(OrderNotFound):
        await usecases.cancel_order(stage.office, OrderId(str(uuid4())), ANNA)


# --- Swept


async def test_seats_of_expired_holds_are_swept_and_painted_free_and_nothing_else_is(stage: Stage) -> None:
    await stage.place(BORIS, THIRD)
    await stage.change(hold_duration=SHORT)
    await stage.hold(ANNA, FRONT)
    await asyncio.sleep(0.08)
    await stage.change(hold_duration=timedelta(minutes=1))
    await stage.hold(ANNA, NEXT)
    await asyncio.gather(*(sweeper(stage).sweep_holds() for _ in range(3)))
    assert await stage.states() == {NEXT: "HELD", THIRD: "PLACED"}
    assert await stage.paint(FRONT) is None
    assert await stage.paint(NEXT) is not None


async def test_paint_that_was_lost_or_is_wrong_is_mended_from_postgresql(stage: Stage) -> None:
    await stage.settle(await stage.place(ANNA, FRONT))
    hold = await stage.hold(BORIS, NEXT)
    await stage.redis.delete(stage.keys.seats, stage.keys.counts)
    await stage.redis.hset(stage.keys.seats, THIRD, f"{uuid4()}|{ANNA}|9999999999999")
    await sweeper(stage).mend_paint()
    assert await stage.paint(FRONT) == "sold"
    assert (await stage.paint(NEXT) or "").startswith(hold.id)
    assert await stage.paint(THIRD) is None
    assert await stage.redis.hget(stage.keys.counts, "sold") == b"1"


async def test_a_deleted_event_is_not_painted_back_into_redis(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await stage.redis.delete(stage.keys.sheet, stage.keys.seats, stage.keys.counts)
    await stage.settle(order)
    await sweeper(stage).mend_paint()
    assert not await stage.redis.exists(stage.keys.seats, stage.keys.counts)
