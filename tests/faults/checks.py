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

from tests.faults.journal import Entry, Journal
from tests.faults.stage import EVENT, LIMIT, Stage
from tests.invariants import undelivered, violations

from tiketi_services.auth.consumers import KEYS as LETTER_KEYS
from tiketi_services.stats.auditor import Auditor
from tiketi_services.stats.ledgers import Ledgers

RESOLVED_WITHIN = 60.0
"""Seconds from recovery until no answer is unknown any more."""
VENDOR_FORGETS = timedelta(minutes=11)
"""After this the vendor has ended what was never confirmed."""

_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[A-H]-\d\d-\d{2,3}\b|\btk_\w+")
_SOLD = ("PAID", "REFUNDED")
_ANY = ("OPEN", "CLOSED", *_SOLD)
_LATER = {"PAID": _SOLD, "CLOSED": ("CLOSED",), "REFUNDED": ("REFUNDED",)}
"""What an order may be once somebody was told of its state."""
_UNDER_WAY = """
SELECT (SELECT count(*) FROM attempts WHERE state IN ('CONFIRMING', 'UNKNOWN')) AS attempts,
       (SELECT count(*) FROM cancellations WHERE state = 'REQUESTED') AS cancellations,
       (SELECT count(*) FROM refunds WHERE state <> 'DONE') AS refunds_at_payment,
       (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS payment_outbox
"""
_UNENDED = """
SELECT (SELECT count(*) FROM orders WHERE state = 'OPEN') AS orders,
       (SELECT count(*) FROM refunds WHERE state <> 'DONE') AS refunds_at_ticket,
       (SELECT count(*) FROM outbox WHERE sent_at IS NULL
        AND key NOT IN ('refund.done', 'event.cancelled')) AS ticket_outbox  -- only auth hears those, and is not here
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
    asked = await stage.ticket_database.fetch("SELECT id, key FROM outbox WHERE key = ANY ($1)", LETTER_KEYS)
    lost = [f"I10 auth hears what is sent: {row['key']} {row['id']}" for row in asked if row["id"] not in stage.letters]
    return lost + await undelivered(stage.ticket_database, stage.payment_database, stage.stats_database)


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
    wrong += await _audited(stage, len(books.orders))
    wrong += [*_money(books), *_promises(journal, books), *_same_answers(journal), *_limit(journal)]
    wrong += [*_given_back(journal, books), *_let_in(journal, books), *_heard(journal, books)]
    wrong += [f"an answer was {entry['status']}: {entry}" for entry in journal.entries if entry.get("status") == 500]
    return wrong


@dataclass(frozen=True)
class Books:
    """Everybody's rows."""

    holds: dict[str, Any]
    orders: dict[str, Any]
    tickets: dict[str, set[str]]
    states: dict[str, str]
    """Of each ticket."""
    refunds: dict[str, Any]
    scans: dict[str, str]
    """Outcome by key."""
    webhooks: set[str]
    attempts: dict[str, Any]
    outcomes: dict[str, int]
    kept: dict[str, int]
    charged: dict[str, int]

    @classmethod
    async def read(cls, stage: Stage) -> Books:
        ticket, payment = stage.ticket_database, stage.payment_database
        tickets: dict[str, set[str]] = defaultdict(set)
        states: dict[str, str] = {}
        for row in await ticket.fetch("SELECT id::text, order_id::text, state FROM tickets"):
            tickets[row["order_id"]].add(row["id"])
            states[row["id"]] = row["state"]
        now = stage.vendor.simulator.clock()
        kept: dict[str, int] = defaultdict(int)
        charged: dict[str, int] = defaultdict(int)
        for paid in stage.vendor.simulator.vendor.payments(now):
            kept[paid.order_id] += paid.charged - paid.cancelled
            charged[paid.order_id] += paid.charged
        attempts = (
            "SELECT a.*, x.amount AS settled, (SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r"
            " WHERE r.payment_key = x.payment_key AND r.state = 'DONE') AS back"
            " FROM attempts a LEFT JOIN outcomes x USING (attempt_id)"
        )
        return cls(
            holds={str(row["id"]): row for row in await ticket.fetch("SELECT * FROM holds")},
            orders={str(row["id"]): row for row in await ticket.fetch("SELECT * FROM orders")},
            tickets=tickets,
            states=states,
            refunds={str(row["id"]): row for row in await ticket.fetch("SELECT * FROM refunds")},
            scans={row["scan"]: row["outcome"] for row in await ticket.fetch("SELECT scan, outcome FROM scans")},
            webhooks={row["id"] for row in await payment.fetch("SELECT transmission_id AS id FROM webhooks")},
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
    """I2: the vendor keeps exactly what was sold and not given back, order id by order id."""
    for vendor_order, kept in books.kept.items():
        attempt = books.attempts.get(vendor_order)
        settled = (attempt["settled"] or 0) - attempt["back"] if attempt else 0
        if kept != settled:
            yield f"I2 the vendor keeps {kept} of {vendor_order}, settled and not given back is {settled}"
    for order, row in books.orders.items():
        settled = books.outcomes.get(order, 0)
        if settled != (row["amount"] if row["state"] in _SOLD else 0):
            yield f"I2 order {order} is {row['state']}, settled is {settled}"
        if row["state"] in _SOLD and len(books.tickets[order]) != len(row["seats"]):
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
        if told["order"] not in books.outcomes or books.orders[told["order"]]["state"] not in _SOLD:
            yield f"I3 a buyer heard that an order is paid, and it is not: {told}"
    for told in journal.told("confirm", "fail"):
        if told["code"] in ("payment-refused", "payment-cancelled") and books.kept.get(told["vendorOrder"]):
            yield f"I3 a buyer heard of no charge, and there is one: {told}"
    for told in (*journal.told("look"), *journal.told("outcome"), *journal.told("cancel")):
        if missing := set(told.get("tickets", ())) - books.tickets[told["order"]]:
            yield f"I3 acknowledged tickets are not there: {missing} of {told}"
        if books.orders[told["order"]]["state"] not in _LATER.get(told.get("state", ""), _ANY):
            yield f"I3 a buyer heard of an end that was none: {told}"


def _same_answers(journal: Journal) -> Iterator[str]:
    """I3: one key, one order."""
    answers: dict[str, set[str]] = defaultdict(set)
    for told in journal.told("order"):
        answers[told["key"]].add(json.dumps([told["order"], told["amount"], told["seats"]]))
    for key, different in answers.items():
        if len(different) > 1:
            yield f"I3 the same key was answered differently: {key}: {different}"


def _given_back(journal: Journal, books: Books) -> Iterator[str]:
    """I3 of refunds: what was acknowledged is there, a key has one refund, and a ticket goes back once."""
    keys: dict[str, set[str]] = defaultdict(set)
    for told in journal.told("refund"):
        refund = books.refunds.get(told["refund"])
        keys[told["key"]].add(told["refund"])
        if refund is None or (str(refund["order_id"]), refund["amount"]) != (told["order"], told["amount"]):
            yield f"I3 acknowledged refund is not there: {told}"
        elif any(books.states[ticket] != "VOID" for ticket in told["tickets"]):
            yield f"I3 tickets of an acknowledged refund are valid: {told}"
    for key, refunds in keys.items():
        if len(refunds) > 1:
            yield f"I3 the same key made {len(refunds)} refunds: {key}: {refunds}"


def _let_in(journal: Journal, books: Books) -> Iterator[str]:
    """One scan lets in, and whoever was told why not was told the truth."""
    admitted: dict[str, set[str]] = defaultdict(set)
    for told in journal.told("scan"):
        admitted[told["ticket"]].add(told["key"])
        if books.states[told["ticket"]] != "USED" or books.scans.get(told["key"]) != "admitted":
            yield f"I3 somebody was let in, and the ticket is {books.states[told['ticket']]}: {told}"
    for ticket, keys in admitted.items():
        if len(keys) > 1:
            yield f"a ticket let in more than once: {ticket}: {keys}"
    for told in journal.told("scan", "fail"):
        why = {"ticket-used": "USED", "ticket-void": "VOID"}.get(told["code"])
        if why is not None and books.states[told["ticket"]] != why:
            yield f"I3 a gate heard {told['code']}, and the ticket is {books.states[told['ticket']]}: {told}"


def _heard(journal: Journal, books: Books) -> Iterator[str]:
    """Webhooks that were answered 200 are kept."""
    for told in journal.told("webhook"):
        if told["transmission"] not in books.webhooks:
            yield f"I10 acknowledged webhook is not there: {told}"


async def _audited(stage: Stage, orders: int) -> list[str]:
    """The auditor has compared every order and finds nothing, now and at any time before."""
    auditor = Auditor(Ledgers(stage.ticket_database, stage.payment_database), timedelta(0), stops=False)
    for _turn in range(2):
        await auditor.complete()
    audit = auditor.audits()[EVENT]
    wrong = [f"the auditor finds: {finding}" for finding in audit.findings] + await false_alarms(stage)
    if audit.orders != orders:
        wrong.append(f"the auditor compared {audit.orders} orders of {orders}")
    return wrong


async def false_alarms(stage: Stage) -> list[str]:
    """Nothing is ever wrong in these runs, so the auditor must never say so."""
    stops = await stage.ticket_database.fetch("SELECT event, reason, facts FROM sale_stops WHERE action = 'STOP'")
    wrong = [f"the auditor stopped a sale: {dict(stop)}" for stop in stops]
    async with stage.http.get(f"{stage.site.http_url('stats')}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found = [line for line in lines if line.startswith("tiketi_audit_mismatches{") and not line.endswith(" 0.0")]
    return wrong + [f"the auditor raised an alarm: {line}" for line in found]


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
