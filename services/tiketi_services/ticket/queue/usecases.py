"""What buyers can do in a line: one function, one intent, one script."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import uuid4

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import (
    Admission,
    NotInLine,
    Place,
    Receipt,
    Turn,
    check_method,
    find_line,
    terms_of,
    to_ms,
)
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.repository import Lines


@dataclass(frozen=True, slots=True)
class Queue:
    """What the use cases work with."""

    lines: Lines
    proofs: Proofs


async def join(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId) -> tuple[Place, str]:
    """Take a place in line, the same one every time; returns it with its receipt.

    Raises UnknownLine, UnsupportedMethod, QueueNotOpen, QueueClosed, SaleClosed, AlreadyAdmitted, Recovering.
    """
    check_method(sale)
    terms = terms_of(sale, find_line(sale, line_name))
    place = await queue.lines.join(terms, buyer)
    metrics.JOINS.labels(terms.event, terms.line).inc()
    receipt = Receipt(
        terms.event, terms.line, place.epoch, place.seq, buyer, secrets.token_urlsafe(9), to_ms(place.now)
    )
    return place, queue.proofs.receipt(receipt)


async def claim(
    queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, receipt_word: str
) -> tuple[Turn, str | None]:
    """Ask for admission; returns where the buyer stands, and the pass if that is admitted.

    Raises InvalidToken, ForeignReceipt, StaleReceipt, NotInLine, AlreadyAdmitted, SaleClosed, Recovering.
    """
    terms = terms_of(sale, find_line(sale, line_name))
    receipt = open_receipt(queue, sale, line_name, buyer, receipt_word)
    turn = await queue.lines.claim(terms, buyer, receipt.seq, receipt.epoch, session=str(uuid4()))
    metrics.CLAIMS.labels(terms.event, terms.line, turn.standing).inc()
    if turn.session is None or turn.until is None:
        return turn, None
    if turn.began_now:
        metrics.ADMITTED.labels(terms.event, terms.line).inc()
    admission = Admission(terms.event, terms.line, buyer, turn.session, turn.until)
    return turn, queue.proofs.admission_pass(admission)


async def heartbeat(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, receipt_word: str) -> None:
    """Say that the buyer still waits. Raises InvalidToken, ForeignReceipt, NotInLine, Recovering."""
    receipt = open_receipt(queue, sale, line_name, buyer, receipt_word)
    if await queue.lines.heartbeat(sale.event, receipt.line, [buyer]):
        raise NotInLine("You are not in line: you were admitted, you left, or you went silent. Join again.")


async def leave(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, receipt_word: str) -> None:
    """Free place, offer or session at once; twice is no error. Raises InvalidToken, ForeignReceipt, Recovering."""
    receipt = open_receipt(queue, sale, line_name, buyer, receipt_word)
    await queue.lines.leave(sale.event, receipt.line, buyer)


def open_receipt(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, word: str) -> Receipt:
    """The receipt, if it is this buyer's for this line. Raises UnknownLine, InvalidToken, ForeignReceipt."""
    line = find_line(sale, line_name)
    receipt = queue.proofs.open_receipt(word)
    receipt.check(sale.event, line.name, buyer)
    return receipt
