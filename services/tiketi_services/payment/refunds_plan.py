"""What to do next about a refund, by what the vendor shows of its payment. Pure.

Two things make a second refund of one impossible, whatever becomes of idempotency keys: a call is bound to the balance
it was made for, and the cancel's reason names the refund, so that the vendor's own list says whether it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from tiketi_services.payment.vendor import FOREIGN_PAYMENT, Meaning, VendorPayment, is_ours

BALANCE_TOO_SMALL: Final = "BALANCE_TOO_SMALL"
"""Our code: the vendor has less of the payment than is to go back."""
UNDER_WAY: Final = "CANCEL_UNDER_WAY"
"""Our code: the vendor has taken the cancel and not finished it."""
_TRIES_OF_A_KEY: Final = 5
"""A key that was answered with errors so often may be answered with them for ever."""
_REFUSED_CODES: Final = """
    ALREADY_CANCELED_PAYMENT INVALID_REFUND_ACCOUNT_INFO INVALID_REFUND_ACCOUNT_NUMBER INVALID_BANK
    EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT REFUND_REJECTED ALREADY_REFUND_PAYMENT FORBIDDEN_BANK_REFUND_REQUEST
    NOT_FOUND_PAYMENT NOT_CANCELABLE_AMOUNT NOT_CANCELABLE_PAYMENT FORBIDDEN_REQUEST EXCEED_MAX_REFUND_DUE
    EXCEED_CANCEL_LIMIT NOT_ALLOWED_PARTIAL_REFUND NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT NOT_AVAILABLE_BANK
    NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER
"""
_REFUSED: Final = frozenset(_REFUSED_CODES.split())


@dataclass(frozen=True, slots=True)
class PayBack:
    """Money of one refund, on its way back."""

    refund_id: UUID
    order_id: UUID
    payment_key: str
    amount: int
    reason: str
    call: int
    """Number in the idempotency key."""
    is_called: bool
    """A call was made that may have done it."""
    locked_balance: int | None
    tries: int

    @property
    def idempotency_key(self) -> str:
        """Key of the call."""
        return f"refund:{self.refund_id}:{self.call}"

    @property
    def vendor_reason(self) -> str:
        """What the cancel says at the vendor: it names the refund."""
        return f"{self.reason} {self.refund_id}"


class Next(StrEnum):
    """What to do."""

    DONE = "done"
    CALL = "call"
    """Bound to ``balance``, as call number ``call``."""
    WAIT = "wait"
    IMPOSSIBLE = "impossible"
    """Somebody must look."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, and with what."""

    what: Next
    balance: int = 0
    call: int = 0
    code: str = ""


def next_step(pay_back: PayBack, payment: VendorPayment) -> Step:
    """The next step, by the payment as the vendor shows it now."""
    if payment.payment_key != pay_back.payment_key:
        return Step(Next.IMPOSSIBLE, code=FOREIGN_PAYMENT)
    mine = [cancel for cancel in payment.cancels if str(pay_back.refund_id) in cancel.reason]
    if any(cancel.is_done and cancel.amount == pay_back.amount for cancel in mine):
        return Step(Next.DONE, balance=payment.kept)
    if any(not cancel.has_failed for cancel in mine):
        return Step(Next.WAIT, code=UNDER_WAY)
    if pay_back.is_called and pay_back.locked_balance == payment.kept:
        is_worn = pay_back.tries > 0 and pay_back.tries % _TRIES_OF_A_KEY == 0
        return Step(Next.CALL, balance=payment.kept, call=pay_back.call + is_worn)
    if payment.kept < pay_back.amount:
        return Step(Next.IMPOSSIBLE, code=BALANCE_TOO_SMALL)
    # Somebody else has moved the balance: the call that was made can never succeed, nor has it.
    return Step(Next.CALL, balance=payment.kept, call=pay_back.call + pay_back.is_called)


def cancel_meaning(status: int, code: str) -> Meaning:
    """What a cancel answered with ``status`` and ``code`` means."""
    if is_ours(status, code):
        return Meaning.OURS
    return Meaning.REFUSED if 400 <= status < 500 and code in _REFUSED else Meaning.UNKNOWN
