"""Tickets are given back: void at once, the money returns, the seats do later."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import aio_pika
import pytest
from tests.integration.refunds.house import PRICE, House, tickets_of, until
from tests.integration.ticket.tickets.gates import role

from tiketi_runtime.rabbitmq import EXCHANGE
from tiketi_services.payment import consumers as payment
from tiketi_services.ticket.refunds import consumers as ticket
from tiketi_services.ticket.refunds.repository import RefundBook

_OPEN = {"outbox": "key = 'refund.requested'", "refunds": "state = 'REQUESTED'"}


async def test_a_buyer_gives_a_whole_order_back(house: House) -> None:
    order = await house.buy("show", 2)
    assert await house.kept(order) == 2 * PRICE
    answer = await house.refund(order)
    assert (answer.status, answer.body["amount"], answer.body["reason"]) == (202, 2 * PRICE, "buyer")
    assert answer.body["seats"] == order["seats"]
    seen = await house.look(order)
    assert tickets_of(seen) == []
    seen = await house.until_refunded(order)
    assert (seen["state"], [each["state"] for each in seen["refunds"]]) == ("REFUNDED", ["DONE"])
    assert await house.kept(order) == 0
    state = await house.send("GET", f"/payments/orders/{order['order']}", order["buyer"])
    assert state.body["state"] == "REFUNDED"


async def test_parts_are_given_back_one_after_the_other_and_the_last_one_ends_the_order(house: House) -> None:
    order = await house.buy("show", 3)
    first, second, third = tickets_of(order)
    assert (await house.refund(order, first)).status == 202
    seen = await house.until_refunded(order, "PAID")
    assert (await house.kept(order), tickets_of(seen)) == (2 * PRICE, [second, third])
    await asyncio.gather(house.refund(order, second), house.refund(order, third))
    seen = await house.until_refunded(order)
    assert [each["amount"] for each in seen["refunds"]] == [PRICE] * 3
    assert await house.kept(order) == 0


async def test_the_seats_return_after_a_while_that_nobody_is_told(house: House) -> None:
    order = await house.buy("show", 4)
    await house.refund(order)
    another = await house.order("show", str(uuid4()), 4)
    assert not set(another["seats"]) & set(order["seats"])
    held = await house.hold_by_name("show", str(uuid4()), order["seats"])
    assert (held.status, held.code) == (409, "seat-taken")
    assert sorted(held.body["taken"]) == sorted(order["seats"])

    async def is_free() -> bool:
        return (await house.hold_by_name("show", str(uuid4()), order["seats"])).status == 201

    await until(is_free)
    returned = await house.ticket.fetchrow(
        "SELECT free_at - requested_at AS after FROM refunds WHERE order_id = $1", order["order"]
    )
    assert timedelta(seconds=1) <= returned["after"] <= timedelta(seconds=2)


async def test_what_was_used_or_given_back_stays_and_is_named(house: House) -> None:
    order = await house.buy("show", 3)
    used, void, left = tickets_of(order)
    assert (await house.scan(order, used)).status == 201
    assert (await house.refund(order, void)).status == 202
    for wanted in ((), (used, void, left)):
        answer = await house.refund(order, *wanted)
        assert (answer.status, answer.code) == (409, "tickets-not-refundable")
        assert (answer.body["used"], answer.body["void"]) == ([used], [void])
    assert tickets_of(await house.look(order)) == [used, left]
    assert (await house.refund(order, left)).status == 202
    seen = await house.until_refunded(order, "PAID")
    assert (await house.kept(order), tickets_of(seen)) == (PRICE, [used])


async def test_what_is_not_the_buyers_to_give_back_is_refused(house: House) -> None:
    order, other = await house.buy("show"), await house.buy("show")
    [ticket], [foreign] = tickets_of(order), tickets_of(other)
    stranger = await house.refund(order, buyer=other["buyer"])
    assert (stranger.status, stranger.code) == (404, "order-not-found")
    mixed = await house.refund(order, ticket, foreign)
    assert (mixed.status, mixed.code, mixed.body["tickets"]) == (404, "tickets-not-found", [foreign])
    unpaid = await house.order("show", buyer := str(uuid4()), 1)
    early = await house.refund({**unpaid, "buyer": buyer})
    assert (early.status, early.code) == (409, "order-not-paid")
    path = f"/orders/{order['order']}/refunds"
    bodies: tuple[dict[str, object], ...] = (
        {},
        {"all": False},
        {"tickets": []},
        {"all": True, "tickets": [ticket]},
        {"tickets": [ticket] * 2},
        {"all": True, "amount": 1},
    )
    for body in bodies:
        assert (await house.send("POST", path, order["buyer"], body)).status == 422
    keyless = await house.service.post(path, order["buyer"], {"all": True})
    assert (keyless.status, keyless.body["code"]) == (400, "idempotency-key-missing")
    assert tickets_of(await house.look(order)) == [ticket]


@pytest.mark.parametrize(("sale", "code"), [("firm", "no-refunds"), ("late", "refunds-over")])
async def test_the_sheet_says_until_when_and_the_organiser_may_still(house: House, sale: str, code: str) -> None:
    order = await house.buy(sale)
    answer = await house.refund(order)
    assert (answer.status, answer.code) == (409, code)
    assert (await house.organise(sale, {"orders": [order["order"]]})).status == 202
    assert (await house.until_refunded(order))["refunds"][0]["reason"] == "organiser"


async def test_twenty_clicks_are_one_refund(house: House) -> None:
    order = await house.buy("show", 2)
    clicks = await asyncio.gather(*(house.refund(order, key="click") for _ in range(20)))
    assert {click.status for click in clicks} <= {202, 409}
    assert {click.code for click in clicks if click.status == 409} <= {"request-in-flight"}
    again = await house.refund(order, key="click")
    assert (again.status, again.body["refund"]) == (202, next(c.body["refund"] for c in clicks if c.status == 202))
    other = await house.refund(order, *tickets_of(order), key="click")
    assert (other.status, other.code) == (422, "idempotency-mismatch")
    await house.until_refunded(order)


async def test_of_many_requests_for_the_same_tickets_one_wins(house: House) -> None:
    order = await house.buy("show", 2)
    answers = await asyncio.gather(*(house.refund(order) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [202] + [409] * 19
    assert len((await house.until_refunded(order))["refunds"]) == 1


async def test_check_in_and_refund_of_the_same_ticket_at_once_one_of_them_wins(house: House) -> None:
    """Fifty of each, released together: nobody is inside and has the money back as well."""
    orders = await asyncio.gather(*(house.buy("show") for _ in range(50)))
    codes = [await house.code(order, tickets_of(order)[0]) for order in orders]
    work = [
        asyncio.gather(house.scan_code(order["event"], code), house.refund(order))
        for order, code in zip(orders, codes, strict=True)
    ]
    results = await asyncio.gather(*work)
    assert {(scan.status, refund.status) for scan, refund in results} <= {(201, 409), (409, 202)}
    for order, (scan, refund) in zip(orders, results, strict=True):
        if refund.status == 202:
            assert scan.code == "ticket-void"
            await house.until_refunded(order)
            assert await house.kept(order) == 0
        else:
            assert refund.code == "tickets-not-refundable"
            assert await house.kept(order) == PRICE


async def test_the_organiser_gives_orders_back_each_for_itself(house: House) -> None:
    good, used = await house.buy("firm"), await house.buy("firm")
    await house.scan(used, tickets_of(used)[0])
    elsewhere = await house.buy("show")
    wanted = {"orders": [good["order"], used["order"], elsewhere["order"], str(uuid4())]}
    for roles in ([], role("gate"), role("organiser", "other")):
        refused = await house.organise("firm", wanted, roles=roles)
        assert (refused.status, refused.code) == (403, "role-needed")
    first = await house.organise("firm", wanted, key="k")
    again = await house.organise("firm", wanted, key="k")
    assert first.body["refunds"][0]["refund"] == again.body["refunds"][0]["refund"]
    assert [each["order"] for each in first.body["refunds"]] == [good["order"]]
    codes = [(each["order"], each["code"]) for each in first.body["refused"]]
    assert codes[:2] == [(used["order"], "tickets-not-refundable"), (elsewhere["order"], "order-not-found")]
    assert codes[2][1] == "order-not-found"
    await house.until_refunded(good)


async def test_of_a_cancelled_event_everybody_gets_the_money_back_also_who_pays_later(house: House) -> None:
    orders = await asyncio.gather(*(house.buy("storm", 2) for _ in range(12)))
    inside, *others = orders
    unpaid = await house.order("storm", late_buyer := str(uuid4()), 1)
    await house.scan(inside, tickets_of(inside)[0])
    assert (await house.organise("storm", {"cancelEvent": True}, roles=[])).status == 403
    answers = await asyncio.gather(*(house.organise("storm", {"cancelEvent": True}) for _ in range(5)))
    assert {answer.status for answer in answers} == {202}
    for order in others:
        seen = await house.until_refunded(order)
        assert seen["refunds"][0]["reason"] == "event-cancelled"
    await house.until_refunded(inside, "PAID")
    assert await house.kept(inside) == PRICE
    late = await house.pay(unpaid, late_buyer)
    await house.until_refunded(late)
    progress = await house.progress("storm")
    assert (progress["issued"], progress["used"], progress["underWay"]) == (0, 1, 0)
    assert (progress["done"], progress["amountDone"]) == (13, 24 * PRICE)


async def test_a_message_that_comes_twice_does_nothing_twice(house: House) -> None:
    order = await house.buy("show", 2)
    await house.refund(order, tickets_of(order)[0])
    await house.until_refunded(order, "PAID")
    for pool in (house.ticket, house.payment):
        await pool.execute("UPDATE outbox SET sent_at = NULL WHERE body ->> 'order' = $1", order["order"])
    await asyncio.sleep(1)
    assert await house.kept(order) == PRICE


async def test_the_vendor_is_slow_fails_and_loses_answers(house: House) -> None:
    orders = await asyncio.gather(*(house.buy("show", 2) for _ in range(6)))
    await house.faults(
        loseAnswers=4, failAfterCommit=3, failBeforeWork=3, passingErrors=2, tooManyRequests=2, failLookUps=3
    )
    parts = [house.refund(order, ticket) for order in orders for ticket in tickets_of(order)]
    assert {answer.status for answer in await asyncio.gather(*parts)} == {202}
    for order in orders:
        await house.until_refunded(order, seconds=40)
        assert await house.kept(order) == 0


async def test_an_event_that_never_had_a_sale_is_not_cancelled(house: House) -> None:
    answer = await house.organise("nothing", {"cancelEvent": True})
    assert (answer.status, answer.code) == (404, "unknown-event")
    assert (await house.organise("show", {"orders": []})).status == 422
    assert await house.ticket.fetchval("SELECT count(*) FROM cancelled_events WHERE event = 'demo/nothing'") == 0


async def test_a_refund_waits_for_a_broker_that_is_away(house: House) -> None:
    """What was decided is decided: it is in the database, and leaves when somebody can take it."""
    order = await house.buy("show", 2)
    async with house.without_messages():
        assert (await house.refund(order)).status == 202
        await asyncio.sleep(0.5)
        seen = await house.look(order)
        assert ([each["state"] for each in seen["refunds"]], tickets_of(seen)) == (["REQUESTED"], [])
        assert await house.kept(order) == 2 * PRICE
    await house.until_refunded(order)


@pytest.mark.parametrize(
    ("key", "consumer", "queue"),
    [("refund.requested", "payment", payment.QUEUE), ("payment.refunded", "ticket", ticket.QUEUE)],
)
async def test_a_message_that_was_lost_is_sent_again(house: House, key: str, consumer: str, queue: str) -> None:
    """The queue was unbound while others listen: the broker took the message, and nobody will ever have it."""
    order = await house.buy("show", 2)
    async with await aio_pika.connect(house.world.amqp_url(consumer, house.vhost)) as broker:
        channel = await broker.channel()
        exchange = await channel.get_exchange(EXCHANGE)
        other = await channel.declare_queue(f"{consumer}.witness", exclusive=True)
        await other.bind(exchange, key)
        lossy = await channel.get_queue(queue)
        await lossy.unbind(exchange, key)
        await house.refund(order)

        async def is_lost() -> bool:
            return await other.get(fail=False) is not None

        await until(is_lost)
        await lossy.bind(exchange, key)
    for table, column in (("outbox", "sent_at"), ("refunds", "requested_at")):
        await house.ticket.execute(f"UPDATE {table} SET {column} = {column} - interval '11 min' WHERE {_OPEN[table]}")
    seen = await house.look(order)
    assert [each["state"] for each in seen["refunds"]] == ["REQUESTED"]
    again = await RefundBook(house.ticket).ask_again(timedelta(minutes=10), 10)
    assert again == [seen["refunds"][0]["refund"]]
    await house.until_refunded(order)
    assert await house.kept(order) == 0


async def test_every_refusal_there_was_is_in_the_document(house: House) -> None:
    paths = (await house.service.get("/openapi.json")).body["paths"]
    assert len(house.refused) > 8
    for is_buyers, method, status, code in house.refused:
        path = "/orders/{order}/refunds" if is_buyers else "/events/{namespace}/{name}/refunds"
        content = paths[path][method]["responses"][str(status)]["content"]
        assert code in json.dumps(content), (path, method, status, code)
