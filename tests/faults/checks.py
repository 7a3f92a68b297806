"""What must be true once everything is mended: the clients' logs, three databases and the vendor's ledger, compared."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from tests.faults.journal import Entry, Journal
from tests.faults.stage import LIMIT, Stage
from tests.invariants import violations

from tiketi_services.stats.consumers import KEYS as STATS_HEARS

RESOLVED_WITHIN = 60.0
"""Seconds from recovery until no answer is unknown any more."""
VENDOR_FORGETS = timedelta(minutes=11)
"""After this the vendor has ended what was never confirmed."""

_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\bA-\d\d-\d\d\b|\btk_\w+")
_UNDER_WAY = """
SELECT (SELECT count(*) FROM attempts WHERE state IN ('CONFIRMING', 'UNKNOWN')) AS attempts,
       (SELECT count(*) FROM cancellations WHERE state = 'REQUESTED') AS cancellations,
       (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS payment_outbox
"""
_UNENDED = """
SELECT (SELECT count(*) FROM orders WHERE state = 'OPEN') AS orders,
       (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS ticket_outbox
"""
_UNKNOWN = "SELECT payment_key FROM attempts WHERE state IN ('CONFIRMING', 'UNKNOWN')"


@dataclass
class Rest:
    """How the system came to rest after the last fault."""

    took: float = 0.0
    """Seconds until nothing was under way but what the vendor itself had not decided."""
    waiting_for_vendor: int = 0
    """Attempts past payBy that never reached the vendor: it ends them 10 minutes after authentication."""
    left: dict[str, int] = field(default_factory=dict)
    """What was still under way when patience ended."""


async def come_to_rest(stage: Stage) -> Rest:
    """Wait until nothing is under way. Attempts that only the vendor's clock can end are counted, then it is moved."""
    rest, began = Rest(), time.monotonic()
    while time.monotonic() - began < RESOLVED_WITHIN:
        rest.left = await _under_way(stage)
        undecided = await _undecided_at_vendor(stage)
        only_those = {"attempts": undecided, "orders": undecided}
        if all(count <= only_those.get(what, 0) for what, count in rest.left.items()):
            break
        await asyncio.sleep(0.25)
    rest.took, rest.waiting_for_vendor = time.monotonic() - began, await _undecided_at_vendor(stage)
    if rest.waiting_for_vendor:
        stage.vendor.clock.forward(VENDOR_FORGETS)
        # Looks come less and less often: half a minute apart by now.
        await stage.payment_database.execute(
            "UPDATE attempts SET look_at = now() WHERE state IN ('CONFIRMING', 'UNKNOWN')"
        )
    began, rest.left = time.monotonic(), await _under_way(stage)
    while any(rest.left.values()) and time.monotonic() - began < RESOLVED_WITHIN:
        await asyncio.sleep(0.25)
        rest.left = await _under_way(stage)
    await _until_stats_heard(stage)
    return rest


async def _under_way(stage: Stage) -> dict[str, int]:
    payment = await stage.payment_database.fetchrow(_UNDER_WAY)
    ticket = await stage.ticket_database.fetchrow(_UNENDED)
    return {**dict(payment), **dict(ticket)}


async def _undecided_at_vendor(stage: Stage) -> int:
    """Attempts that we do not know the end of, and the vendor has none for."""
    now = stage.vendor.simulator.clock()
    unknown = await stage.payment_database.fetch(_UNKNOWN)
    payments = [stage.vendor.simulator.vendor.look_up(row["payment_key"], now) for row in unknown]
    return sum(payment.status.value == "IN_PROGRESS" for payment in payments)


async def _until_stats_heard(stage: Stage) -> None:
    with_patience = time.monotonic() + 20
    while time.monotonic() < with_patience and await _unheard(stage):  # noqa: ASYNC110 - other processes hear it
        await asyncio.sleep(0.25)


async def _unheard(stage: Stage) -> list[str]:
    """Messages that a service that listens for them has not applied."""
    payment = await _ids(stage.payment_database, "SELECT id FROM inbox")
    stats = await _ids(stage.stats_database, "SELECT id FROM inbox")
    wrong = []
    for pool in (stage.ticket_database, stage.payment_database):
        for row in await pool.fetch("SELECT id, key FROM outbox"):
            if row["key"] == "order.placed" and row["id"] not in payment:
                wrong.append(f"I10 payment has not heard {row['key']} {row['id']}")
            if row["key"] in STATS_HEARS and row["id"] not in stats:
                wrong.append(f"I10 stats has not heard {row['key']} {row['id']}")
    return wrong


async def _ids(pool: asyncpg.Pool, query: str) -> set[Any]:
    return {row[0] for row in await pool.fetch(query)}


async def everything_wrong(stage: Stage, journal: Journal, rest: Rest) -> list[str]:
    """All that is not as it must be; nothing, if all is well."""
    books = await Books.read(stage)
    wrong = await violations(stage.ticket_database, stage.payment_database, at_rest=True)
    wrong += [
        f"I6 still under way after {RESOLVED_WITHIN:.0f} s: {what} {count}"
        for what, count in rest.left.items()
        if count
    ]
    wrong += await _unheard(stage)
    wrong += await _sums(stage)
    wrong += [*_money(books), *_promises(journal, books), *_same_answers(journal), *_limit(journal)]
    wrong += [f"an answer was {entry['status']}: {entry}" for entry in journal.entries if entry.get("status") == 500]
    return wrong


@dataclass(frozen=True)
class Books:
    """Everybody's rows."""

    holds: dict[str, Any]
    orders: dict[str, Any]
    tickets: dict[str, set[str]]
    attempts: dict[str, Any]
    outcomes: dict[str, int]
    kept: dict[str, int]
    charged: dict[str, int]

    @classmethod
    async def read(cls, stage: Stage) -> Books:
        ticket, payment = stage.ticket_database, stage.payment_database
        tickets: dict[str, set[str]] = defaultdict(set)
        for row in await ticket.fetch("SELECT id::text, order_id::text, seat FROM tickets"):
            tickets[row["order_id"]].add(row["id"])
        now = stage.vendor.simulator.clock()
        kept: dict[str, int] = defaultdict(int)
        charged: dict[str, int] = defaultdict(int)
        for paid in stage.vendor.simulator.vendor.payments(now):
            kept[paid.order_id] += paid.charged - paid.cancelled
            charged[paid.order_id] += paid.charged
        attempts = "SELECT a.*, x.amount AS settled FROM attempts a LEFT JOIN outcomes x USING (attempt_id)"
        return cls(
            holds={str(row["id"]): row for row in await ticket.fetch("SELECT * FROM holds")},
            orders={str(row["id"]): row for row in await ticket.fetch("SELECT * FROM orders")},
            tickets=tickets,
            attempts={row["vendor_order_id"]: row for row in await payment.fetch(attempts)},
            outcomes={str(row["order_id"]): row["amount"] for row in await payment.fetch("SELECT * FROM outcomes")},
            kept=kept,
            charged=charged,
        )


async def _sums(stage: Stage) -> list[str]:
    """I10: orders, outcomes and stats tell of the same orders with the same ends."""
    paid = (
        "SELECT id::text AS id, amount, CASE state WHEN 'CLOSED' THEN 'closed' ELSE 'issued' END AS state FROM orders"
    )
    orders = {row["id"]: (row["amount"], row["state"]) for row in await stage.ticket_database.fetch(paid)}
    told = await stage.stats_database.fetch("SELECT order_id::text AS id, amount, state FROM sales")
    sales = {row["id"]: (row["amount"], row["state"]) for row in told}
    return [
        f"I10 stats and ticket differ about order {order}: {sales.get(order)} / {orders.get(order)}"
        for order in orders.keys() | sales.keys()
        if sales.get(order) != orders.get(order)
    ]


def _money(books: Books) -> Iterator[str]:
    """I2: the vendor keeps exactly what was sold, order id by order id."""
    for vendor_order, kept in books.kept.items():
        attempt = books.attempts.get(vendor_order)
        settled = attempt["settled"] or 0 if attempt else 0
        if kept != settled:
            yield f"I2 the vendor keeps {kept} of {vendor_order}, settled is {settled}"
    for order, row in books.orders.items():
        settled = books.outcomes.get(order, 0)
        if settled != (row["amount"] if row["state"] == "PAID" else 0):
            yield f"I2 order {order} is {row['state']}, settled is {settled}"
        if row["state"] == "PAID" and len(books.tickets[order]) != len(row["seats"]):
            yield f"I2 order {order} is paid and has {len(books.tickets[order])} tickets for {row['seats']}"


def _promises(journal: Journal, books: Books) -> Iterator[str]:
    """Whatever a client was told has happened is there; whatever it was told has not is not."""
    for told in journal.told("hold"):
        hold = books.holds.get(told["hold"])
        if hold is None or (hold["buyer"], sorted(hold["seats"])) != (told["buyer"], sorted(told["seats"])):
            yield f"I4 acknowledged hold is not there: {told}"
        elif hold["until"] < datetime.fromisoformat(told["until"]):
            yield f"I4 hold ends before it was promised to: {told}"
    for told in journal.told("order"):
        order = books.orders.get(told["order"])
        if order is None or (order["buyer"], order["amount"]) != (told["buyer"], told["amount"]):
            yield f"I3 acknowledged order is not there: {told}"
    for told in journal.told("confirm"):
        if told["order"] not in books.outcomes or books.orders[told["order"]]["state"] != "PAID":
            yield f"I3 a buyer heard that an order is paid, and it is not: {told}"
    for told in journal.told("confirm", "fail"):
        if told["code"] in ("payment-refused", "payment-cancelled") and books.kept.get(told["vendorOrder"]):
            yield f"I3 a buyer heard of no charge, and there is one: {told}"
    for told in (*journal.told("look"), *journal.told("outcome"), *journal.told("cancel")):
        if missing := set(told.get("tickets", ())) - books.tickets[told["order"]]:
            yield f"I3 acknowledged tickets are not there: {missing} of {told}"
        if told.get("state") in ("PAID", "CLOSED") and books.orders[told["order"]]["state"] != told["state"]:
            yield f"I3 a buyer heard of an end that was none: {told}"


def _same_answers(journal: Journal) -> Iterator[str]:
    """I3: one key, one order."""
    answers: dict[str, set[str]] = defaultdict(set)
    for told in journal.told("order"):
        answers[told["key"]].add(json.dumps([told["order"], told["amount"], told["seats"]]))
    for key, different in answers.items():
        if len(different) > 1:
            yield f"I3 the same key was answered differently: {key}: {different}"


def _limit(journal: Journal) -> Iterator[str]:
    """I11: no buyer was told of more than the limit at one time, hold by hold."""
    holds: dict[str, list[Entry]] = defaultdict(list)
    for told in journal.told("hold"):
        holds[told["buyer"]].append(told)
    for buyer, theirs in holds.items():
        for one in theirs:
            begins = one["at"]
            # Answers arrive late, so only holds whose end is after this one was answered overlap for sure.
            alive = [h for h in theirs if h["at"] <= begins < datetime.fromisoformat(h["until"]).timestamp()]
            if sum(len(h["seats"]) for h in alive) > LIMIT:
                yield f"I11 buyer {buyer} holds more than {LIMIT} seats: {alive}"


def history(journal: Journal, wrong: Sequence[str], most: int = 3) -> list[str]:
    """What the clients did with the orders, holds and seats that something wrong names."""
    words = {word for line in wrong[:most] for word in _names(line)}
    return [json.dumps(entry) for entry in journal.about(*words)][:200] if words else []


def _names(line: str) -> Iterator[str]:
    yield from _NAME.findall(line)
