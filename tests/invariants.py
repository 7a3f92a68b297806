"""What must be true of ticket's database (and payment's) at every commit, whatever was killed before.

Each invariant of seats and money is one query that names what breaks it. Reads committed rows only, never Redis: it can
be asked at any moment, in mid-sale too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from tiketi_services.payment import consumers as payment_consumers
from tiketi_services.stats import consumers as stats_consumers


class Database(Protocol):
    """A pool or a connection of asyncpg."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...


TICKET: Final = {
    "I1 a sold seat has one valid ticket of the order it was sold to": """
        SELECT s.event, s.seat, s.order_id, count(t.id) AS tickets
        FROM seats s LEFT JOIN tickets t ON (t.event, t.seat, t.order_id) = (s.event, s.seat, s.order_id)
          AND t.state <> 'VOID'
        WHERE s.state = 'SOLD' GROUP BY s.event, s.seat, s.order_id HAVING count(t.id) <> 1""",
    "I1 a valid ticket stands for a sold seat of a paid order": """
        SELECT t.id, t.event, t.seat, s.state AS seat_state, o.state AS order_state
        FROM tickets t JOIN orders o ON o.id = t.order_id
        LEFT JOIN seats s ON (s.event, s.seat, s.order_id) = (t.event, t.seat, t.order_id)
        WHERE t.state <> 'VOID' AND (s.state IS DISTINCT FROM 'SOLD' OR o.state <> 'PAID' OR t.buyer <> o.buyer)""",
    "I1 an open order has all its seats set aside, and a paid one sold but for void tickets": """
        SELECT o.id, o.state, wanted.seat, s.state AS seat_state
        FROM orders o CROSS JOIN LATERAL unnest(o.seats) AS wanted (seat)
        LEFT JOIN seats s ON s.event = o.event AND s.seat = wanted.seat AND s.order_id = o.id
        WHERE (o.state = 'OPEN' AND s.state IS DISTINCT FROM 'PLACED')
           OR (o.state = 'PAID' AND s.state IS DISTINCT FROM 'SOLD' AND NOT EXISTS (
             SELECT FROM tickets t WHERE (t.order_id, t.seat, t.state) = (o.id, wanted.seat, 'VOID')))""",
    "I1 a closed order has neither seat nor ticket": """
        SELECT o.id, s.seat, t.id AS ticket FROM orders o
        LEFT JOIN seats s ON s.event = o.event AND s.seat = ANY (o.seats) AND s.order_id = o.id
        LEFT JOIN tickets t ON t.order_id = o.id
        WHERE o.state = 'CLOSED' AND (s.seat IS NOT NULL OR t.id IS NOT NULL)""",
    "I2 the amount of an order is the sum of its seats' prices": """
        SELECT id, amount, prices FROM orders WHERE amount <> (SELECT sum(price) FROM unnest(prices) price)""",
    "I2 an order is priced by the sale sheet it names": """
        SELECT o.id, o.amount FROM orders o JOIN sale_sheets x ON x.event = o.event AND x.version = o.version
        WHERE o.amount <> (
          SELECT sum((section ->> 'price')::bigint) FROM unnest(o.seats) seat
          JOIN jsonb_array_elements(x.content -> 'sections') section ON section ->> 'name' = split_part(seat, '-', 1))
        OR o.currency <> x.content ->> 'currency'""",
    "I4 a seat is never given away while a hold or order on it lasts": """
        WITH kept AS (
          SELECT h.id, h.event, seat, h.held_at,
            CASE WHEN o.id IS NOT NULL THEN CASE WHEN o.state = 'CLOSED' THEN o.ended_at ELSE coalesce(
                   (SELECT t.voided_at FROM tickets t WHERE (t.order_id, t.seat) = (o.id, seat.seat)), 'infinity') END
                 ELSE least(h.until, h.released_at) END AS ended_at
          FROM holds h LEFT JOIN orders o ON o.hold = h.id CROSS JOIN LATERAL unnest(h.seats) seat
        ), following AS (
          SELECT *, lead(held_at) OVER seat_history AS next_held_at, lead(id) OVER seat_history AS next_id FROM kept
          WINDOW seat_history AS (PARTITION BY event, seat ORDER BY held_at)
        )
        SELECT event, seat, id, ended_at, next_id, next_held_at FROM following
        WHERE next_held_at < ended_at""",
    "I4 a held seat is as its hold says": """
        SELECT s.event, s.seat, s.hold, s.fence, h.fence AS fence_of_hold, s.until, h.until AS until_of_hold
        FROM seats s LEFT JOIN holds h ON h.id = s.hold
        WHERE s.state = 'HELD' AND s.buyer <> '' AND s.until > clock_timestamp() AND (
          h.id IS NULL OR (s.event, s.buyer, s.fence, s.until) <> (h.event, h.buyer, h.fence, h.until)
          OR s.seat <> ALL (h.seats) OR h.released_at IS NOT NULL)""",
    "I4 no hold lasts longer than three times the longest duration there ever was": """
        SELECT h.id, h.since, h.until FROM holds h WHERE h.until - h.since > 3 * (
          SELECT max((x.content ->> 'holdDuration')::interval) FROM sale_sheets x WHERE x.event = h.event)""",
    "I5 an order was placed before its hold ran out, by whoever held": """
        SELECT o.id, o.placed_at, h.until FROM orders o JOIN holds h ON h.id = o.hold
        WHERE o.placed_at >= h.until
           OR (o.buyer, o.event, o.fence, o.seats) <> (h.buyer, h.event, h.fence, h.seats)""",
    "I10 each order is told once, when it is placed and when it ends": """
        SELECT o.id, o.state, count(m.id) FILTER (WHERE m.key = 'order.placed') AS placed,
          count(m.id) FILTER (WHERE m.key = 'order.closed') AS closed,
          count(m.id) FILTER (WHERE m.key = 'tickets.issued') AS issued
        FROM orders o LEFT JOIN outbox m ON m.body ->> 'order' = o.id::text
        GROUP BY o.id, o.state
        HAVING count(m.id) FILTER (WHERE m.key = 'order.placed') <> 1
          OR count(m.id) FILTER (WHERE m.key = 'order.closed') <> (o.state = 'CLOSED')::int
          OR count(m.id) FILTER (WHERE m.key = 'tickets.issued') <> (o.state IN ('PAID', 'REFUNDED'))::int""",
    "I11 no buyer has more live seats than the largest limit there ever was": """
        SELECT s.event, s.buyer, count(*) AS seats FROM seats s
        WHERE s.buyer <> '' AND (s.state <> 'HELD' OR s.until > clock_timestamp())
        GROUP BY s.event, s.buyer
        HAVING count(*) > (
          SELECT max((x.content ->> 'maxTicketsPerBuyer')::int) FROM sale_sheets x WHERE x.event = s.event)""",
}
"""Query by invariant, for ticket's database. A row is a violation."""

REFUNDS: Final = {
    "I2 a void ticket was given back once, and no other was": """
        SELECT t.id, t.state, count(r.id) AS refunds FROM tickets t LEFT JOIN refunds r ON t.id = ANY (r.tickets)
        GROUP BY t.id, t.state HAVING count(r.id) <> (t.state = 'VOID')::int""",
    "I2 a refund is as much as its tickets cost": """
        SELECT r.id, r.amount, sum(t.price) AS price FROM refunds r LEFT JOIN tickets t ON t.id = ANY (r.tickets)
        GROUP BY r.id HAVING r.amount IS DISTINCT FROM sum(t.price)
          OR bool_or((t.order_id, t.buyer) <> (r.order_id, r.buyer))""",
    "I4 a seat that nobody has is on its way back from a refund": """
        SELECT s.event, s.seat, s.state FROM seats s LEFT JOIN refunds r ON r.id = s.hold
        WHERE s.buyer = '' AND (r.id IS NULL OR s.state <> 'HELD' OR s.event <> r.event OR s.seat <> ALL (r.seats)
          OR s.until > r.free_at)""",
    "I10 each refund is told once": """
        SELECT r.id, count(m.id) AS told FROM refunds r
        LEFT JOIN outbox m ON m.key = 'refund.requested' AND m.body ->> 'refund' = r.id::text
        GROUP BY r.id HAVING count(m.id) <> (r.amount > 0)::int""",
    "I10 a refund that is done, and one of a cancelled event, is told once for the buyer's letter": """
        SELECT r.id, r.state, r.reason, count(m.id) FILTER (WHERE m.key = 'refund.done') AS done,
          count(m.id) FILTER (WHERE m.key = 'event.cancelled') AS cancelled
        FROM refunds r LEFT JOIN outbox m ON m.body ->> 'refund' = r.id::text
        GROUP BY r.id HAVING
          count(m.id) FILTER (WHERE m.key = 'event.cancelled') <> (r.reason = 'event-cancelled')::int
          OR count(m.id) FILTER (WHERE m.key = 'refund.done')
            <> (r.state = 'DONE' AND (r.amount > 0 OR r.reason <> 'event-cancelled'))::int""",
}
"""The same, where the tables of refunds are."""

_OWED: Final = """
SELECT o.id::text AS id, o.state, sum(t.price) FILTER (WHERE t.state <> 'VOID') AS price
FROM orders o JOIN tickets t ON t.order_id = o.id GROUP BY o.id"""

_KEPT: Final = """
SELECT x.order_id::text AS id, o.state, x.amount - coalesce(
  (SELECT sum(r.amount) FROM refunds r WHERE r.order_id = x.order_id AND r.state = 'DONE'), 0) AS kept
FROM outcomes x JOIN orders o USING (order_id)"""

_ORDERS: Final = """
SELECT o.id::text AS id, o.state, o.event, o.buyer, o.amount, o.currency, o.payment_key FROM orders o"""

_OUTCOMES: Final = """
SELECT o.order_id::text AS id, o.state, o.event, o.buyer, x.amount, x.currency, x.payment_key
FROM orders o LEFT JOIN outcomes x USING (order_id)"""

PAYMENT: Final = {
    "I2 whatever was charged is an order's outcome or goes back": """
        SELECT a.attempt_id, a.order_id FROM attempts a
        LEFT JOIN outcomes x USING (attempt_id) LEFT JOIN cancellations c USING (attempt_id)
        WHERE a.state = 'DONE' AND num_nonnulls(x.attempt_id, c.attempt_id) <> 1""",
    "I2 an order is paid if it has an outcome, in full": """
        SELECT o.order_id, o.state, o.amount, x.amount AS paid FROM orders o LEFT JOIN outcomes x USING (order_id)
        WHERE (o.state IN ('PAID', 'REFUNDED')) <> (x.order_id IS NOT NULL)
           OR (x.amount, x.currency) <> (o.amount, o.currency)""",
    "I2 no more goes back than was paid": """
        SELECT x.order_id, x.amount, sum(r.amount) AS back FROM outcomes x JOIN refunds r USING (order_id)
        GROUP BY x.order_id HAVING sum(r.amount) > x.amount""",
    "I2 an order is refunded when the vendor has nothing left of it": """
        SELECT o.order_id, o.state FROM orders o LEFT JOIN refunds r ON r.order_id = o.order_id AND r.state = 'DONE'
        GROUP BY o.order_id HAVING (o.state = 'REFUNDED') <> coalesce(min(r.balance) = 0, false)""",
}
"""Query by invariant, for payment's database. A row is a violation."""


async def violations(ticket: Database, payment: Database | None = None, *, at_rest: bool = False) -> list[str]:
    """Everything that is wrong in ticket's database, in payment's, and between them; nothing, if all is well.

    ``at_rest``: all messages have been delivered, so that what is else merely under way is wrong as well.
    """
    kept = {row["id"]: dict(row) for row in await payment.fetch(_KEPT)} if payment is not None else {}
    # Ticket is read after it: tickets are void before their price goes back.
    owed = {row["id"]: dict(row) for row in await ticket.fetch(_OWED)}
    found = await _broken(ticket, TICKET)
    if (await ticket.fetch("SELECT to_regclass('refunds') IS NOT NULL AS has_refunds"))[0]["has_refunds"]:
        found += await _broken(ticket, REFUNDS)
    if payment is not None:
        found += [
            f"I2 what is kept of an order is the price of its tickets: {kept[id_]} / {owed[id_]}"
            for id_ in kept.keys() & owed.keys()
            if not _is_balanced(kept[id_], owed[id_], at_rest=at_rest)
        ]
        orders = {row["id"]: dict(row) for row in await ticket.fetch(_ORDERS)}
        # Payment is read last: what ticket has acted on is there, whatever happens meanwhile.
        outcomes = {row["id"]: dict(row) for row in await payment.fetch(_OUTCOMES)}
        found += await _broken(payment, PAYMENT)
        found += [
            f"I2 ticket and payment agree: {order} / {outcomes.get(id_)}"
            for id_, order in orders.items()
            if not _agree(order, outcomes.get(id_), at_rest=at_rest)
        ]
    return found


async def _broken(database: Database, invariants: Mapping[str, str]) -> list[str]:
    return [
        f"{invariant}: {dict(row)}" for invariant, query in invariants.items() for row in await database.fetch(query)
    ]


def _is_balanced(kept: Mapping[str, Any], owed: Mapping[str, Any], *, at_rest: bool) -> bool:
    """Captured less refunded is what the tickets cost that count; more, while money is on its way back."""
    price = owed["price"] or 0
    if at_rest:
        return bool(kept["kept"] == price and kept["state"] == owed["state"])
    return bool(kept["kept"] >= price)


def _agree(order: Mapping[str, Any], outcome: Mapping[str, Any] | None, *, at_rest: bool) -> bool:
    """An open order may be anything to payment while the news travels; an ended one has ended there first."""
    if order["state"] == "OPEN":
        return not at_rest or outcome is None or outcome["state"] == "OPEN"
    if outcome is None:
        return False
    if order["state"] == "CLOSED":
        return bool(outcome["state"] == "CLOSED")
    return all(order[name] == outcome[name] for name in ("event", "buyer", "amount", "currency", "payment_key"))


HEARD: Final = {"payment": payment_consumers.KEYS, "stats": stats_consumers.KEYS}
"""Messages that a service's inbox must have, each exactly once. Ticket's has those only that told it something new: it
is checked by its orders."""

LETTERS: Final = {"refund.done", "event.cancelled"}
"""Messages that only auth hears: without it they wait, and hold up nothing."""

_BOOKS: Final = {
    "ticket": "SELECT state, count(*), sum(amount)::bigint AS amount FROM orders GROUP BY state",
    "payment": "SELECT state, count(*), sum(amount)::bigint AS amount FROM orders GROUP BY state",
    "stats": """
        SELECT CASE state WHEN 'closed' THEN 'CLOSED' WHEN 'issued' THEN
            CASE WHEN returned = cardinality(seats) THEN 'REFUNDED' ELSE 'PAID' END ELSE 'OPEN' END AS state,
          count(*), sum(amount)::bigint AS amount FROM sales GROUP BY 1""",
}

_GIVEN_BACK: Final = """
SELECT order_id::text AS id, sum(cardinality(tickets))::int AS tickets, sum(amount)::bigint AS amount
FROM refunds WHERE amount > 0 GROUP BY order_id"""
_RETURNED: Final = """
SELECT order_id::text AS id, returned AS tickets, returned_amount AS amount FROM sales WHERE returned > 0"""


async def undelivered(ticket: Database, payment: Database, stats: Database) -> list[str]:
    """I10 at rest: what a committed message lacks to be sent and applied by each service that hears it, exactly once,
    and where the books of the three then differ."""
    sent = {"ticket": ticket, "payment": payment}
    outbox = [row for database in sent.values() for row in await database.fetch("SELECT id, key, sent_at FROM outbox")]
    found = [
        f"I10 every message is sent: {row['key']} {row['id']}"
        for row in outbox
        if row["sent_at"] is None and row["key"] not in LETTERS
    ]
    for name, database in {"payment": payment, "stats": stats}.items():
        applied = {row["id"] for row in await database.fetch("SELECT id FROM inbox")}
        wanted = {row["id"]: row["key"] for row in outbox if row["key"] in HEARD[name]}
        found += [f"I10 {name} applies what is sent: {wanted[id_]} {id_}" for id_ in wanted.keys() - applied]
        found += [f"I10 {name} applies nothing else: {id_}" for id_ in applied - wanted.keys()]
    refused = sum(row["key"] == "payment.refused" for row in outbox)
    counted = (await stats.fetch("SELECT coalesce(sum(refusals), 0) AS refusals FROM sales"))[0]["refusals"]
    if refused != counted:
        found.append(f"I10 a message is applied once: {counted} refusals counted of {refused}")
    given_back = [row for row in outbox if row["key"] == "refund.requested"]
    if (returned := await _returned(ticket, _GIVEN_BACK, given_back)) != await _returned(stats, _RETURNED, given_back):
        found.append(f"I10 stats counts what was given back: {returned}")
    books = {name: await _book(database, _BOOKS[name]) for name, database in {**sent, "stats": stats}.items()}
    if not books["ticket"] == books["payment"] == books["stats"]:
        found.append(f"I10 the books have the same sums: {books}")
    return found


async def _returned(database: Database, query: str, messages: Sequence[Any]) -> dict[str, tuple[int, int]]:
    """Tickets given back and their price by order, if any were told of."""
    rows = await database.fetch(query) if messages else []
    return {row["id"]: (row["tickets"], row["amount"]) for row in rows}


async def _book(database: Database, query: str) -> dict[str, tuple[int, int]]:
    return {row["state"]: (row["count"], row["amount"]) for row in await database.fetch(query)}
