"""The auditor on real databases, through a role that can read and stop, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.integration.conftest import MakeDatabase

from tiketi_local.world import World
from tiketi_runtime import postgres
from tiketi_runtime.postgres import Pool
from tiketi_services.stats import commands
from tiketi_services.stats.auditor import Auditor
from tiketi_services.stats.ledgers import Ledgers

EVENT = "demo/first-sale"
PATIENCE = timedelta(seconds=30)
TICKET = tuple(f"tiketi_services.ticket.{name}" for name in ("sales", "queue", "orders", "tickets", "refunds"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Books:
    """Both databases with every right, and the auditor with its own."""

    ticket: Pool
    payment: Pool
    ledgers: Ledgers
    clock: Clock
    auditor: Auditor

    async def order(self, *seats: str, event: str = EVENT) -> UUID:
        """An open order that both know."""
        order, hold, prices = uuid4(), uuid4(), [100] * len(seats)
        await self.ticket.execute(
            "INSERT INTO holds (id, event, buyer, line, fence, seats, held_at, until)"
            " VALUES ($1, $2, 'anna', 'public', 1, $3, now(), now() + interval '10 min')",
            hold,
            event,
            list(seats),
        )
        await self.ticket.execute(
            "INSERT INTO orders (id, event, buyer, hold, fence, seats, prices, amount, currency, name, version,"
            " idempotency_key, placed_at, pay_by, close_at)"
            " VALUES ($1, $2, 'anna', $3, 1, $4, $5, $6, 'KRW', 'A night', 1, $7, now(), now() + interval '10 min',"
            " now())",
            order,
            event,
            hold,
            list(seats),
            prices,
            sum(prices),
            str(order),
        )
        for seat in seats:
            await self.ticket.execute(
                "INSERT INTO seats (event, seat, state, buyer, hold, fence, order_id)"
                " VALUES ($1, $2, 'PLACED', 'anna', $3, 1, $4)",
                event,
                seat,
                hold,
                order,
            )
        await self.payment.execute(
            "INSERT INTO orders (order_id, event, buyer, amount, currency, order_name, pay_by)"
            " VALUES ($1, $2, 'anna', $3, 'KRW', 'A night', now() + interval '10 min')",
            order,
            event,
            sum(prices),
        )
        return order

    async def charge(self, order: UUID) -> None:
        """Payment has the money, and ticket does not know it."""
        attempt, key = uuid4(), f"pk-{order}"
        await self.payment.execute(
            "INSERT INTO attempts (attempt_id, order_id, vendor_order_id, state, payment_key, ended_at)"
            " VALUES ($1, $2, $3, 'DONE', $4, now())",
            attempt,
            order,
            f"tk-{order}",
            key,
        )
        await self.payment.execute(
            "INSERT INTO outcomes (order_id, attempt_id, status, amount, currency, payment_key, jws)"
            " SELECT order_id, $2, 'PAID', amount, currency, $3, 'j' FROM orders WHERE order_id = $1",
            order,
            attempt,
            key,
        )
        await self.payment.execute("UPDATE orders SET state = 'PAID' WHERE order_id = $1", order)

    async def settle(self, order: UUID) -> None:
        await self.ticket.execute(
            "UPDATE orders SET state = 'PAID', payment_key = 'pk-' || id, ended_at = now(), close_at = NULL"
            " WHERE id = $1",
            order,
        )
        await self.ticket.execute("UPDATE seats SET state = 'SOLD' WHERE order_id = $1", order)
        await self.ticket.execute(
            "INSERT INTO tickets (event, seat, order_id, buyer, price)"
            " SELECT event, seat, id, buyer, 100 FROM orders, unnest(seats) AS seat WHERE id = $1",
            order,
        )

    async def sold(self, *seats: str) -> UUID:
        order = await self.order(*seats)
        await self.charge(order)
        await self.settle(order)
        return order

    async def refund(self, order: UUID) -> UUID:
        """Ticket gives the tickets of an order back; payment does not know."""
        refund = uuid4()
        await self.ticket.execute("UPDATE tickets SET state = 'VOID', voided_at = now() WHERE order_id = $1", order)
        await self.ticket.execute(
            "INSERT INTO refunds (id, order_id, event, buyer, reason, requested_by, idempotency_key, tickets, seats,"
            " amount, currency, free_at)"
            " SELECT $2::uuid, order_id, min(event), 'anna', 'buyer', 'anna', $2::uuid::text,"
            " array_agg(id), array_agg(seat), sum(price), 'KRW', now() FROM tickets WHERE order_id = $1"
            " GROUP BY order_id",
            order,
            refund,
        )
        return refund

    async def learn_refund(self, order: UUID, refund: UUID) -> None:
        """Payment hears of it."""
        await self.payment.execute(
            "INSERT INTO refunds (refund_id, order_id, payment_key, amount, reason) VALUES ($2, $1, $3, 100, 'buyer')",
            order,
            refund,
            f"pk-{order}",
        )

    async def closed(self, *seats: str) -> UUID:
        order = await self.order(*seats)
        await self.payment.execute("UPDATE orders SET state = 'CLOSED', closed_at = now() WHERE order_id = $1", order)
        await self.ticket.execute(
            "UPDATE orders SET state = 'CLOSED', ended_at = now(), close_at = NULL WHERE id = $1", order
        )
        await self.ticket.execute("DELETE FROM seats WHERE order_id = $1", order)
        return order

    async def twice(self) -> None:
        """Two whole readings, far enough apart."""
        await self.auditor.complete()
        self.clock.now += PATIENCE.total_seconds()
        await self.auditor.complete()

    async def is_stopped(self) -> bool:
        return bool(await self.ticket.fetchval("SELECT sale_is_stopped($1)", EVENT))

    def kinds(self) -> list[str]:
        audit = self.auditor.of(EVENT)
        assert audit is not None
        return [finding.kind for finding in audit.findings]


@pytest.fixture(scope="module")
async def urls(world: World, database: MakeDatabase) -> tuple[str, str]:
    ticket, payment = await database("ticket"), await database("payment")
    for package in TICKET:
        await postgres.migrate(ticket, package)
    await postgres.migrate(payment, "tiketi_services.payment")
    return ticket, payment


@pytest.fixture(scope="module")
async def pools(world: World, urls: tuple[str, str]) -> AsyncIterator[list[Pool]]:
    names = [url.rpartition("/")[2] for url in urls]
    as_auditor = [world.site.database_url("auditor", name) for name in names]
    opened = [await postgres.connect(url, 2) for url in (*urls, *as_auditor)]
    yield opened
    for pool in opened:
        await pool.close()


@pytest.fixture
async def books(pools: list[Pool]) -> Books:
    ticket, payment, *read_only = pools
    await ticket.execute("TRUNCATE orders, holds, seats, tickets, sale_stops CASCADE")
    await payment.execute("TRUNCATE orders, attempts, outcomes, cancellations, refunds CASCADE")
    clock, ledgers = Clock(), Ledgers(*read_only)
    return Books(ticket, payment, ledgers, clock, Auditor(ledgers, PATIENCE, batch=3, clock=clock))


async def test_a_sale_in_all_its_states_agrees(books: Books) -> None:
    for number in range(5):
        await books.sold(f"A-{number:02}", f"B-{number:02}")
    await books.closed("C-01")
    await books.order("D-01")
    paid = await books.order("E-01")
    await books.charge(paid)
    untold = await books.order("F-01")
    await books.payment.execute("DELETE FROM orders WHERE order_id = $1", untold)
    await books.twice()
    audit = books.auditor.of(EVENT)
    assert audit is not None
    assert (audit.orders, audit.findings) == (9, ())
    assert audit.lags == {"settling": 1, "untold": 1}
    assert not await books.is_stopped()
    assert books.auditor.suspects == 0


async def test_a_sold_seat_of_a_closed_order_stops_the_sale_after_two_readings(books: Books) -> None:
    order = await books.sold("A-01", "A-02")
    await books.ticket.execute("UPDATE orders SET state = 'CLOSED', payment_key = NULL WHERE id = $1", order)
    await books.auditor.complete()
    assert not await books.is_stopped()
    books.clock.now += PATIENCE.total_seconds()
    await books.auditor.complete()
    assert await books.is_stopped()
    assert "closed-with-seat" in books.kinds()
    [stop] = await books.ledgers.stops()
    assert stop.by == "auditor"
    assert {fact["subject"] for fact in stop.facts} == {str(order)}
    await books.twice()
    assert len(await books.ledgers.stops()) == 1  # one stop, however often it is found


async def test_a_reading_that_does_not_find_it_again_stops_nothing(books: Books) -> None:
    order = await books.sold("A-01")
    await books.ticket.execute("UPDATE tickets SET price = 99 WHERE order_id = $1", order)
    await books.auditor.complete()
    assert books.auditor.suspects == 1
    await books.ticket.execute("UPDATE tickets SET price = 100 WHERE order_id = $1", order)
    books.clock.now += PATIENCE.total_seconds()
    await books.auditor.complete()
    assert not await books.is_stopped()


@pytest.mark.parametrize(
    ("where", "statement", "kind"),
    [
        ("ticket", "UPDATE seats SET state = 'PLACED' WHERE order_id = $1", "paid-without-seat"),
        ("ticket", "DELETE FROM seats WHERE order_id = $1", "paid-without-seat"),
        ("ticket", "DELETE FROM tickets WHERE order_id = $1", "paid-without-ticket"),
        ("ticket", "UPDATE orders SET amount = 1 WHERE id = $1", "amounts-differ"),
        ("ticket", "UPDATE orders SET payment_key = 'pk' WHERE id = $1", "payment-differs"),
        ("payment", "UPDATE orders SET state = 'CLOSED' WHERE order_id = $1", "outcome-differs"),
        ("payment", "UPDATE orders SET amount = 1 WHERE order_id = $1", "amounts-differ"),
        (
            "payment",
            "INSERT INTO attempts (attempt_id, order_id, vendor_order_id, state, payment_key, ended_at)"
            " VALUES (gen_random_uuid(), $1, 'tk_2', 'DONE', 'pk-2', now())",
            "charged-and-lost",
        ),
    ],
)
async def test_whatever_is_broken_is_found(books: Books, where: str, statement: str, kind: str) -> None:
    await books.sold("A-02")
    order = await books.sold("A-01")
    await getattr(books, where).execute(statement, order)
    await books.twice()
    assert kind in books.kinds()
    assert await books.is_stopped()


async def test_a_backlog_of_closings_that_drains_is_no_mismatch_and_closings_in_time_tell_what_was_lost(
    books: Books,
) -> None:
    """Ticket is away for hours from now on. Then it closes what was due, one order after the other."""
    await books.charge(await books.order("A-01"))
    closed = [await books.closed(f"B-{number:02}") for number in range(20)]
    for number, order in enumerate(closed):
        await books.ticket.execute(
            "UPDATE orders SET pay_by = now() + make_interval(mins => $2), ended_at = now() + make_interval(mins => $3)"
            " WHERE id = $1",
            order,
            15 + 10 * number,
            300 + number,
        )
    await books.twice()
    await books.twice()
    assert books.kinds() == []
    assert not await books.is_stopped()
    await books.ticket.execute("UPDATE orders SET pay_by = ended_at - interval '2 s' WHERE id = ANY ($1)", closed[:10])
    await books.twice()
    await books.twice()
    assert books.kinds() == ["paid-not-settled"]


async def test_a_refund_on_its_way_is_lag_and_a_lost_one_is_found_when_payment_hears_of_later_ones(
    books: Books,
) -> None:
    order, other = await books.sold("A-01"), await books.sold("A-02")
    await books.refund(order)
    await books.twice()
    audit = books.auditor.of(EVENT)
    assert audit is not None
    assert (audit.findings, audit.lags["refunding"]) == ((), 1)
    await books.ticket.execute("UPDATE refunds SET requested_at = requested_at - interval '2 days'")
    await books.twice()
    assert books.kinds() == []  # payment, or the broker, may be away
    await books.learn_refund(other, await books.refund(other))
    await books.twice()
    assert books.kinds() == ["refund-lost"]
    assert await books.is_stopped()


@pytest.mark.parametrize(
    ("where", "statement", "kind"),
    [
        ("ticket", "DELETE FROM refunds WHERE order_id = $1", "void-without-refund"),
        ("ticket", "UPDATE refunds SET amount = 99 WHERE order_id = $1", "refund-differs"),
        ("ticket", "UPDATE refunds SET state = 'DONE', done_at = now() WHERE order_id = $1", "refund-differs"),
        ("payment", "UPDATE refunds SET amount = 99 WHERE order_id = $1", "refund-differs"),
        (
            "payment",
            "UPDATE refunds SET refund_id = gen_random_uuid(), created_at = now() - interval '1 h' WHERE order_id = $1",
            "refund-unasked",
        ),
    ],
)
async def test_refunds_that_differ_are_found(books: Books, where: str, statement: str, kind: str) -> None:
    order = await books.sold("A-01")
    await books.learn_refund(order, await books.refund(order))
    await books.twice()
    assert books.kinds() == []
    await getattr(books, where).execute(statement, order)
    await books.twice()
    assert kind in books.kinds()


async def test_a_charge_for_an_order_that_ticket_does_not_have_is_found(books: Books) -> None:
    order = await books.order("A-01")
    await books.charge(order)
    await books.ticket.execute("DELETE FROM seats WHERE order_id = $1", order)
    await books.ticket.execute("DELETE FROM orders WHERE id = $1", order)
    await books.twice()
    assert books.kinds() == ["charged-without-order"]


async def test_a_seat_set_aside_for_nobodys_order_is_found_and_seen_to_be_mended(books: Books) -> None:
    order = await books.order("A-01", "A-02", "A-03", "A-04")
    await books.ticket.execute(
        "INSERT INTO seats (event, seat, state, buyer, hold, fence, order_id)"
        " SELECT event, 'Z-99', 'SOLD', buyer, hold, 1, order_id FROM seats WHERE seat = 'A-01'"
    )
    await books.twice()
    assert books.kinds() == ["seat-without-order"]
    await books.ticket.execute("DELETE FROM seats WHERE seat = 'Z-99' AND order_id = $1", order)
    await books.auditor.step()
    assert books.kinds() == []
    assert await books.is_stopped()  # until somebody resumes it


async def test_two_valid_tickets_for_one_seat_are_found_even_when_the_last_wall_is_gone(books: Books) -> None:
    await books.sold("A-01")
    try:
        await books.ticket.execute("DROP INDEX tickets_one_a_seat")
        await books.ticket.execute(
            "INSERT INTO tickets (event, seat, order_id, buyer, price)"
            " SELECT event, seat, order_id, buyer, price FROM tickets"
        )
        await books.twice()
        assert "two-tickets" in books.kinds()
    finally:
        await books.ticket.execute("TRUNCATE tickets CASCADE")
        await books.ticket.execute(
            "CREATE UNIQUE INDEX tickets_one_a_seat ON tickets (event, seat) WHERE state <> 'VOID'"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders SET amount = 1",
        "DELETE FROM seats",
        "INSERT INTO tickets (event, seat, order_id, buyer, price) VALUES ('a/b', 'A', gen_random_uuid(), 'b', 1)",
        "UPDATE sale_stops SET action = 'RESUME'",
        "DELETE FROM sale_stops",
        "SELECT name FROM order_owners",
        "SELECT buyer FROM refunds",
        "INSERT INTO sale_stops (event, action, \"by\", reason, at) VALUES ('a/b', 'STOP', 'x', 'y', now())",
        "CREATE TABLE mine (a int)",
    ],
)
async def test_the_auditors_role_can_do_nothing_else(books: Books, pools: list[Pool], statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pools[2].execute(statement)


@pytest.mark.parametrize("statement", ["UPDATE orders SET state = 'PAID'", "SELECT jws FROM outcomes"])
async def test_nor_at_payment(books: Books, pools: list[Pool], statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pools[3].execute(statement)


async def test_stops_are_only_ever_added_to(books: Books) -> None:
    await books.ledgers.stop(EVENT, "because", [])
    for statement in ("UPDATE sale_stops SET reason = 'x'", "DELETE FROM sale_stops"):
        with pytest.raises(asyncpg.RaiseError, match="insert-only"):
            await books.ticket.execute(statement)


# --- Commands


async def run(books: Books, *words: str) -> int:
    return await commands.run(commands.parse(words), books.ledgers, timedelta(0))


async def test_the_command_prints_what_agrees_and_ends_with_0(books: Books, capsys: Any) -> None:
    await books.sold("A-01")
    assert await run(books, "audit") == 0
    assert EVENT in capsys.readouterr().out


async def test_the_command_prints_what_does_not_agree_ends_with_1_and_stops_nothing(books: Books, capsys: Any) -> None:
    order = await books.sold("A-01")
    await books.ticket.execute("DELETE FROM seats WHERE order_id = $1", order)
    assert await run(books, "audit", EVENT) == 1
    out = capsys.readouterr().out
    assert f"paid-without-seat  {EVENT}  {order}" in out
    assert "goes on" in out
    assert not await books.is_stopped()


async def test_a_sale_is_resumed_when_all_agrees_and_says_by_whom_and_why(books: Books, capsys: Any) -> None:
    order = await books.sold("A-01")
    await books.ticket.execute("UPDATE tickets SET price = 99 WHERE order_id = $1", order)
    await books.twice()
    words = ("resume", EVENT, "--reason", "price corrected", "--by", "anna")
    assert await run(books, *words) == 1
    assert await books.is_stopped()
    await books.ticket.execute("UPDATE tickets SET price = 100 WHERE order_id = $1", order)
    assert await run(books, *words) == 0
    assert not await books.is_stopped()
    stop, resume = await books.ledgers.stops()
    assert (stop.action, resume.action, resume.by, resume.reason) == ("STOP", "RESUME", "anna", "price corrected")
    await books.twice()
    assert not await books.is_stopped()
    assert await run(books, *words) == 2  # it is not stopped


async def test_a_cancelled_event_is_shown_as_such_and_is_not_resumed(books: Books, capsys: Any) -> None:
    order = await books.sold("A-01")
    await books.ticket.execute(
        "INSERT INTO sale_stops (event, action, \"by\", reason, facts) VALUES ($1, 'STOP', 'olga', 'r', $2)",
        EVENT,
        [{"kind": "event-cancelled", "subject": EVENT, "told": "cancelled by olga"}],
    )
    await books.ticket.execute("UPDATE tickets SET price = 99 WHERE order_id = $1", order)
    await books.twice()  # a mismatch on top of it
    await books.ticket.execute("UPDATE tickets SET price = 100 WHERE order_id = $1", order)
    await books.auditor.complete()
    audit = books.auditor.of(EVENT)
    assert audit is not None
    assert (audit.is_stopped, audit.cancelled_by) == (True, "olga")
    assert await run(books, "resume", EVENT, "--reason", "by mistake") == 2
    assert "was cancelled by olga: it stays stopped" in capsys.readouterr().err
    assert await books.is_stopped()
    assert await run(books, "audit", EVENT) == 0
    assert "  cancelled" in capsys.readouterr().out


async def test_what_is_accepted_stops_the_sale_no_more_and_anything_else_does(books: Books) -> None:
    order, other = await books.sold("A-01"), await books.sold("A-02")
    await books.ticket.execute("UPDATE tickets SET price = 99 WHERE order_id = $1", order)
    await books.twice()
    assert await run(books, "resume", EVENT, "--reason", "a gift", "--accept") == 0
    await books.twice()
    assert not await books.is_stopped()
    audit = books.auditor.of(EVENT)
    assert audit is not None
    assert (audit.findings, audit.accepted) == ((), 1)
    await books.ticket.execute("UPDATE tickets SET price = 99 WHERE order_id = $1", other)
    await books.twice()
    assert await books.is_stopped()


async def test_orders_cost_little(books: Books) -> None:
    """2,000 orders in a few statements; the bound is generous, the point is that it does not grow with the square."""
    await books.sold("A-01")
    await books.ticket.execute(
        "INSERT INTO holds SELECT gen_random_uuid(), event, buyer, line, fence, ARRAY['X-' || n], held_at, until"
        " FROM holds, generate_series(1, 2000) n"
    )
    await books.ticket.execute(
        "INSERT INTO orders (id, event, buyer, hold, fence, seats, prices, amount, currency, name, version,"
        " idempotency_key, placed_at, pay_by, close_at)"
        " SELECT gen_random_uuid(), event, buyer, id, 1, seats, ARRAY[100], 100, 'KRW', 'n', 1, id::text, now(), now(),"
        " now() FROM holds WHERE seats[1] LIKE 'X-%'"
    )
    await books.ticket.execute(
        "INSERT INTO seats (event, seat, state, buyer, hold, fence, order_id)"
        " SELECT event, seats[1], 'PLACED', buyer, hold, 1, id FROM orders WHERE seats[1] LIKE 'X-%'"
    )
    auditor = Auditor(books.ledgers, PATIENCE)
    await auditor.complete()
    audit = auditor.of(EVENT)
    assert audit is not None
    assert (audit.orders, audit.lags) == (2001, {"untold": 2000})
