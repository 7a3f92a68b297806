"""What buyers can do in a line: one function, one intent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.errors import TiketiError
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import (
    Admission,
    AlreadyAdmitted,
    Applicant,
    Claim,
    DrawnOrder,
    EmailNotVerified,
    JoinRequest,
    NotInLine,
    NotReady,
    Place,
    Receipt,
    Recovering,
    StaleReceipt,
    Turn,
    WorkProof,
    find_line,
    from_ms,
    to_ms,
)
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.repository import Lines, NumbersUsedUp, Spent
from tiketi_services.ticket.queue.terms import terms_of
from tiketi_services.ticket.sales.domain import require_not_cancelled

_PLACE_IS_BACK = "Your place was not used after all; claim it again."
_TRIES = 3
"""How often a place is asked for when others use up the numbers at the same moment."""


class Draws(Protocol):
    """What is known of the draws."""

    def of(self, event: EventId, line: Line) -> DrawnOrder | None:
        """The order of a line; None while it is not drawn, or this process has yet to learn it."""
        ...

    def nonce(self, event: EventId, line: Line, seq: Seq, buyer: BuyerId) -> str:
        """What hides the buyer in the entry of a draw; the same for ever."""
        ...

    def commitment(self, event: EventId, line: LineSheet) -> str | None:
        """What the operator is bound to; None for a line whose order is that of joining."""
        ...


class Codes(Protocol):
    """The codes of presales."""

    async def spend(self, event: EventId, line: LineSheet, buyer: BuyerId, code: str | None, network: str = "") -> None:
        """Let the buyer into the line by a code, once. Raises CodeNeeded, WrongCode, TooManyCodes."""
        ...


class Gate(Protocol):
    """What keeps machines from taking many places."""

    async def require(self, sale: SaleSheet, line_name: str, applicant: Applicant, proof: WorkProof | None) -> None:
        """Raises WorkNeeded unless enough work was done."""
        ...

    def took_place(self, sale: SaleSheet, line_name: str, applicant: Applicant) -> None:
        """Count a new place: the next ones of this network, and of a rush, cost more."""
        ...


class Limits(Protocol):
    """How far the numbers of a line may go."""

    async def raise_seq(self, event: EventId, line: Line) -> None:
        """Let the line give out more numbers, noted in PostgreSQL first."""
        ...


class Recorder(Protocol):
    """Spent places in PostgreSQL."""

    async def record(self, claim: Claim) -> None:
        """Returns once it is kept; keeping it twice changes nothing.

        Raises AlreadyAdmitted if another session has the place, Recovering if the claim comes too late.
        """
        ...

    async def check_spent(self, event: EventId, line: Line, buyer: BuyerId, session: str) -> None:
        """Raises AlreadyAdmitted if the place was spent for a session; else it is not spent any more."""
        ...

    async def abandon(self, event: EventId, buyer: BuyerId, line: Line) -> None:
        """The buyer has left the session in ``line``, which may not be kept yet."""
        ...


class Door(Protocol):
    """Lets buyers of passthrough sales in past a line that cannot answer."""

    def leads_past(self, event: EventId, trouble: BaseException) -> bool:
        """Whether buyers of the event come in although the line answered with this error."""
        ...

    def is_of(self, event: EventId) -> bool:
        """Whether the event's sale is one that fails open."""
        ...

    def place(self, sale: SaleSheet, line: LineSheet) -> Place:
        """What joining answers. Raises QueueNotOpen, SaleClosed, QueueClosed."""
        ...

    async def admit(self, sale: SaleSheet, line: LineSheet, buyer: BuyerId) -> Turn:
        """Admit the buyer, to the same session every time. Raises SaleClosed, AlreadyAdmitted."""
        ...

    async def session_of(self, event: EventId, line: Line, buyer: BuyerId) -> Turn:
        """The session that the buyer has already. Raises AlreadyAdmitted."""
        ...


class Freshness(Protocol):
    """Knows whether this process has heard of the newest sheets."""

    def is_behind(self, event: EventId) -> bool:
        """Whether others may have gone on to another sheet seconds ago, and this process cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Queue:
    """What the use cases work with."""

    lines: Lines
    proofs: Proofs
    draws: Draws
    codes: Codes
    gate: Gate
    limits: Limits
    recorder: Recorder
    door: Door
    freshness: Freshness


async def join(
    queue: Queue, sale: SaleSheet, line_name: str, applicant: Applicant, request: JoinRequest
) -> tuple[Place, str]:
    """Take a place in line, the same one every time; returns it with its receipt.

    Who has a place, or brings the receipt of one, is asked for nothing else. A new place may need a verified e-mail
    address, a code and work.

    Raises UnknownLine, QueueNotOpen, QueueClosed, SaleClosed, EventCancelled, AlreadyAdmitted, Recovering, NotReady;
    InvalidToken, ForeignReceipt; EmailNotVerified, CodeNeeded, WrongCode, TooManyCodes, WorkNeeded.
    """
    line = find_line(sale, line_name)
    with metrics.labelled(metrics.JOIN_SECONDS, sale.event, line.name).time():
        try:
            require_not_cancelled(sale)
            place = await _join_or_pass(queue, sale, line, applicant, request)
        except TiketiError as refusal:
            metrics.REFUSED_JOINS.labels(sale.event, line.name, refusal.code).inc()
            raise
    metrics.labelled(metrics.JOINS, sale.event, line.name).inc()
    return place, receipt_word(queue, sale, line, applicant.buyer, place)


async def _join_or_pass(
    queue: Queue, sale: SaleSheet, line: LineSheet, applicant: Applicant, request: JoinRequest
) -> Place:
    """A place in line, or past it. Past it nobody is asked for work: what it costs cannot be known without the line.

    A presale with codes stays closed: without Redis nothing would limit the guessing.
    """
    try:
        return await _join(queue, sale, line, applicant, request)
    except Exception as error:
        if line.codes is not None or not queue.door.leads_past(sale.event, error):
            raise
    if not applicant.is_verified:
        raise EmailNotVerified("Confirm your e-mail address first; then join.")
    return queue.door.place(sale, line)


async def _join(queue: Queue, sale: SaleSheet, line: LineSheet, applicant: Applicant, request: JoinRequest) -> Place:
    if queue.freshness.is_behind(sale.event):
        raise Recovering("What this process knows of the sale may be old; your place is safe. Try again.", retryAfter=2)
    receipt = None
    if request.receipt is not None:
        receipt = open_receipt(queue, sale, line.name, applicant.buyer, request.receipt)
    place = None
    if _is_gated(sale, line, applicant):
        place = await _take_place(queue, sale, line, applicant.buyer, receipt, is_new_welcome=False)
    if place is None:
        await _pass_gates(queue, sale, line, applicant, request)
        place = await _take_place(queue, sale, line, applicant.buyer, receipt, is_new_welcome=True)
    if place is None:
        raise NotReady("The place could not be decided just now.", retryAfter=1)
    if place.is_new:
        queue.gate.took_place(sale, line.name, applicant)
    return place


async def restore(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, receipt_word: str) -> Place:
    """Present a receipt after a loss: the place is the buyer's again. Nobody gets a new place by it.

    Raises what ``join`` raises, but nothing about e-mail, codes and work; NotInLine if no place came of it.
    """
    line = find_line(sale, line_name)
    receipt = open_receipt(queue, sale, line_name, buyer, receipt_word)
    place = await _take_place(queue, sale, line, buyer, receipt, is_new_welcome=False)
    if place is None:
        raise NotInLine("The receipt is of no place in this line; join again.")
    return place


async def claim(
    queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, receipt_word: str
) -> tuple[Turn, str | None]:
    """Ask for admission; returns where the buyer stands, and the pass if that is admitted.

    A pass is answered only once PostgreSQL knows that the place is spent: no loss of Redis makes it live again.
    Raises InvalidToken, ForeignReceipt, StaleReceipt, NotInLine, AlreadyAdmitted, SaleClosed, EventCancelled,
    Recovering, NotReady.
    """
    line = find_line(sale, line_name)
    receipt = open_receipt(queue, sale, line_name, buyer, receipt_word)
    require_not_cancelled(sale)
    with metrics.CLAIM_SECONDS.labels(sale.event, line.name).time():
        turn = await _claim_or_pass(queue, sale, line, receipt)
    metrics.CLAIMS.labels(sale.event, line.name, turn.standing).inc()
    if turn.session is None or turn.until is None:
        return turn, None
    if turn.after is not None:
        metrics.ADMITTED.labels(sale.event, line.name).inc()
        metrics.CLAIM_DELAY_SECONDS.labels(sale.event, line.name).observe(turn.after.total_seconds())
        waited = turn.now - from_ms(receipt.joined_at)
        metrics.WAIT_SECONDS.labels(sale.event, line.name).observe(max(0.0, waited.total_seconds()))
    admission = Admission(sale.event, line.name, buyer, turn.session, turn.until)
    return turn, queue.proofs.admission_pass(admission)


async def _claim_or_pass(queue: Queue, sale: SaleSheet, line: LineSheet, receipt: Receipt) -> Turn:
    """Spend the place, or come in past the line. Who came in past it before keeps that session."""
    try:
        return await _claim(queue, sale, line, receipt)
    except AlreadyAdmitted:
        if not queue.door.is_of(sale.event):
            raise
        return await queue.door.session_of(sale.event, line.name, receipt.buyer)
    except Exception as error:
        if not queue.door.leads_past(sale.event, error):
            raise
        return await queue.door.admit(sale, line, receipt.buyer)


async def _claim(queue: Queue, sale: SaleSheet, line: LineSheet, receipt: Receipt) -> Turn:
    terms, order = terms_of(sale, line), queue.draws.of(sale.event, line.name)
    try:
        turn = await queue.lines.claim(terms, order, receipt.buyer, receipt, str(uuid4()))
    except Spent as spent:
        await queue.recorder.check_spent(terms.event, terms.line, receipt.buyer, spent.session)
        raise NotReady(_PLACE_IS_BACK, retryAfter=1) from spent
    if turn.session is not None and turn.until is not None:
        await queue.recorder.record(
            Claim(terms.event, terms.line, turn.epoch, receipt.buyer, receipt.seq, turn.session, turn.now, turn.until)
        )
    return turn


async def heartbeat(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, receipt_word: str) -> None:
    """Say that the buyer still waits.

    Raises InvalidToken, ForeignReceipt, NotInLine, StaleReceipt, EventCancelled (there is nothing to wait for),
    Recovering.
    """
    receipt = open_receipt(queue, sale, line_name, buyer, receipt_word)
    require_not_cancelled(sale)
    beat = await queue.lines.heartbeat(sale.event, receipt.line, [(buyer, receipt.seq)])
    if beat.moved:
        raise StaleReceipt(f"Your place has the number {beat.moved[buyer, receipt.seq]}; join again for its receipt.")
    if beat.absent:
        raise NotInLine(
            "You do not wait: you were admitted, left, or went silent. Your place is kept; join again to wait."
        )


async def leave(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, receipt_word: str) -> None:
    """Free place, offer or session at once; twice is no error. Raises InvalidToken, ForeignReceipt, Recovering."""
    receipt = open_receipt(queue, sale, line_name, buyer, receipt_word)
    left = await queue.lines.leave(sale.event, receipt.line, buyer)
    # Redis never hears of a session begun past the line.
    if left.had_session or queue.door.is_of(sale.event):
        await queue.recorder.abandon(sale.event, buyer, receipt.line)


def open_receipt(queue: Queue, sale: SaleSheet, line_name: str, buyer: BuyerId, word: str) -> Receipt:
    """The receipt, if it is this buyer's for this line. Raises UnknownLine, InvalidToken, ForeignReceipt."""
    line = find_line(sale, line_name)
    receipt = queue.proofs.open_receipt(word)
    receipt.check(sale.event, line.name, buyer)
    return receipt


def _is_gated(sale: SaleSheet, line: LineSheet, applicant: Applicant) -> bool:
    """Whether a new place may cost this applicant more than asking: then those who have one are told apart first."""
    return not applicant.is_verified or line.codes is not None or sale.queue.max_proof_bits > 0


async def _pass_gates(
    queue: Queue, sale: SaleSheet, line: LineSheet, applicant: Applicant, request: JoinRequest
) -> None:
    """The code comes last: it is used up."""
    if not applicant.is_verified:
        raise EmailNotVerified("Confirm your e-mail address first; then join.")
    await queue.gate.require(sale, line.name, applicant, request.proof)
    await queue.codes.spend(sale.event, line, applicant.buyer, request.code, applicant.network)


async def _take_place(
    queue: Queue, sale: SaleSheet, line: LineSheet, buyer: BuyerId, receipt: Receipt | None, *, is_new_welcome: bool
) -> Place | None:
    """The buyer's place; None if there is none and a new one is not to be given."""
    terms = terms_of(sale, line)
    for _ in range(_TRIES):
        try:
            order = queue.draws.of(terms.event, terms.line)
            return await queue.lines.join(terms, order, buyer, receipt, is_new_welcome=is_new_welcome)
        except Spent as spent:
            await queue.recorder.check_spent(terms.event, terms.line, buyer, spent.session)
        except NumbersUsedUp:
            await queue.limits.raise_seq(terms.event, terms.line)
    raise NotReady("The line is growing faster than it can be noted; try again.", retryAfter=1)


def receipt_word(queue: Queue, sale: SaleSheet, line: LineSheet, buyer: BuyerId, place: Place) -> str:
    """The receipt of this place, which must be the buyer's."""
    nonce = queue.draws.nonce(sale.event, line.name, place.seq, buyer)
    commitment = queue.draws.commitment(sale.event, line)
    return queue.proofs.receipt(
        Receipt(sale.event, line.name, place.epoch, place.seq, buyer, nonce, to_ms(place.now), commitment)
    )
