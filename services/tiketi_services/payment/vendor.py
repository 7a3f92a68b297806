"""What the vendor says, and what that means. Pure.

The HTTP status alone does not tell whether money moved, so codes decide; one we have never seen decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tiketi_services.payment.domain import Attempt


class Meaning(StrEnum):
    """What an answer that is not success means."""

    REFUSED = "refused"
    """Not charged, for ever."""
    UNKNOWN = "unknown"
    """Nothing is decided; ask again, or look."""
    OURS = "ours"
    """The vendor does not accept the call as we make it: somebody must look. This call charged nothing."""


_OURS = frozenset({"UNAUTHORIZED_KEY", "INVALID_API_KEY", "INCORRECT_BASIC_AUTH_FORMAT", "INVALID_REQUEST"})
_REFUSED_CODES = """
    CARD_PROCESSING_ERROR INVALID_REJECT_CARD INVALID_CARD_NUMBER INVALID_CARD_EXPIRATION INVALID_STOPPED_CARD
    INVALID_CARD_LOST_OR_STOLEN INVALID_CARD_INSTALLMENT_PLAN EXCEED_MAX_CARD_INSTALLMENT_PLAN
    NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN NOT_ALLOWED_POINT_USE
    BELOW_MINIMUM_AMOUNT EXCEED_MAX_DAILY_PAYMENT_COUNT EXCEED_MAX_PAYMENT_AMOUNT EXCEED_MAX_AMOUNT
    EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT
    NOT_FOUND_TERMINAL_ID INVALID_AUTHORIZE_AUTH RESTRICTED_TRANSFER_ACCOUNT INVALID_UNREGISTERED_SUBMALL
    NOT_REGISTERED_BUSINESS INVALID_ACCOUNT_INFO_RE_REGISTER NOT_AVAILABLE_PAYMENT UNAPPROVED_ORDER_ID
    REJECT_CARD_PAYMENT REJECT_CARD_COMPANY REJECT_ACCOUNT_PAYMENT REJECT_TOSSPAY_INVALID_ACCOUNT FORBIDDEN_REQUEST
    EXCEED_MAX_AUTH_COUNT EXCEED_MAX_ONE_DAY_AMOUNT NOT_AVAILABLE_BANK INVALID_PASSWORD FDS_ERROR
    NOT_FOUND_PAYMENT NOT_FOUND_PAYMENT_SESSION
"""
_REFUSED = frozenset(_REFUSED_CODES.split())


def meaning(status: int, code: str) -> Meaning:
    """What a confirm answered with ``status`` and ``code`` means."""
    if status == 401 or code in _OURS:
        return Meaning.OURS
    return Meaning.REFUSED if 400 <= status < 500 and code in _REFUSED else Meaning.UNKNOWN


def keeps_answer(status: int) -> bool:
    """Whether the vendor will give this same answer to the same idempotency key for ever."""
    return 400 <= status < 500 and status != 409


@dataclass(frozen=True, slots=True)
class VendorPayment:
    """The vendor's Payment object, as far as we read it. Amounts in minor units."""

    payment_key: str
    order_id: str
    status: str
    currency: str
    total_amount: int
    balance_amount: int
    failure_code: str | None = None


class Decision(StrEnum):
    """What a payment at the vendor means for the attempt it is bound to."""

    APPROVED = "approved"
    REFUSED = "refused"
    CANCEL = "cancel"
    """Money was taken that we did not ask for: it must go back."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and why if it is not approval."""

    decision: Decision
    code: str = ""


def judge(attempt: Attempt, payment: VendorPayment) -> Verdict:
    """Believe the vendor only where order, amount, currency and balance are those of the attempt."""
    if (payment.payment_key, payment.order_id) != (attempt.payment_key, attempt.vendor_order_id):
        return Verdict(Decision.REFUSED, "FOREIGN_PAYMENT")  # it can never have paid for this attempt
    match payment.status:
        case "DONE":
            told = (payment.total_amount, payment.balance_amount, payment.currency)
            if told == (attempt.order.amount, attempt.order.amount, attempt.order.currency):
                return Verdict(Decision.APPROVED)
            return Verdict(Decision.CANCEL, "AMOUNT_DIFFERS")
        case "CANCELED" | "PARTIAL_CANCELED" if payment.balance_amount == 0:
            return Verdict(Decision.REFUSED, "CANCELED")
        case "ABORTED" | "EXPIRED":
            return Verdict(Decision.REFUSED, payment.failure_code or payment.status)
        case _:
            return Verdict(Decision.UNDECIDED, payment.status)
