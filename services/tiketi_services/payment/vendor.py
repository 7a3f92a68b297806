"""What the vendor says, and what that means. Pure.

The HTTP status alone does not tell whether money moved, so codes decide; one we have never seen decides nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from tiketi_services.payment.domain import Attempt, MalformedWebhook


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
    if is_ours(status, code):
        return Meaning.OURS
    return Meaning.REFUSED if 400 <= status < 500 and code in _REFUSED else Meaning.UNKNOWN


def is_ours(status: int, code: str) -> bool:
    """Whether the vendor does not accept the call as we make it."""
    return status == 401 or code in _OURS


def keeps_answer(status: int) -> bool:
    """Whether the vendor will give this same answer to the same idempotency key for ever."""
    return 400 <= status < 500 and status != 409


CHARGED: Final = frozenset({"DONE", "CANCELED", "PARTIAL_CANCELED"})
"""States of a payment that was charged, whatever was given back since."""
FOREIGN_PAYMENT: Final = "FOREIGN_PAYMENT"
"""Our code: the payment key belongs to a payment of another order id."""
AMOUNT_DIFFERS: Final = "AMOUNT_DIFFERS"
"""Our code: the vendor's window was opened with another amount or currency."""


@dataclass(frozen=True, slots=True)
class VendorCancel:
    """One time that money of a payment was given back, or is to be."""

    reason: str
    amount: int
    status: str = "DONE"

    @property
    def is_done(self) -> bool:
        """Whether the money is back."""
        return self.status == "DONE"

    @property
    def has_failed(self) -> bool:
        """Whether it never will be by this."""
        return self.status == "ABORTED"


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
    cancels: tuple[VendorCancel, ...] = ()

    @property
    def charged(self) -> int:
        """What the card was charged, before cancels."""
        return self.total_amount if self.status in CHARGED else 0

    @property
    def kept(self) -> int:
        """What the vendor has of it now. The balance of a payment that was never charged is its whole amount."""
        return self.balance_amount if self.status in CHARGED else 0


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


def buyers_mistake(vendor_order_id: str, amount: int, currency: str, payment: VendorPayment) -> str | None:
    """Why a payment cannot be the one for this order id, amount and currency; None if it can."""
    if payment.order_id != vendor_order_id:
        return FOREIGN_PAYMENT
    if (payment.total_amount, payment.currency) != (amount, currency):
        return AMOUNT_DIFFERS
    return None


def judge(attempt: Attempt, payment: VendorPayment) -> Verdict:
    """Believe the vendor only where order, amount, currency and balance are those of the attempt."""
    if (payment.payment_key, payment.order_id) != (attempt.payment_key, attempt.vendor_order_id):
        return Verdict(Decision.REFUSED, FOREIGN_PAYMENT)  # it can never have paid for this attempt
    match payment.status:
        case "DONE":
            told = (payment.total_amount, payment.balance_amount, payment.currency)
            if told == (attempt.order.amount, attempt.order.amount, attempt.order.currency):
                return Verdict(Decision.APPROVED)
            return Verdict(Decision.CANCEL, AMOUNT_DIFFERS)
        case "CANCELED" | "PARTIAL_CANCELED" if payment.balance_amount == 0:
            return Verdict(Decision.REFUSED, "CANCELED")
        case "ABORTED" | "EXPIRED":
            return Verdict(Decision.REFUSED, payment.failure_code or payment.status)
        case _:
            return Verdict(Decision.UNDECIDED, payment.status)


# --- Webhooks

_TRANSMISSION_ID = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A hint that something has happened to a payment. It is not signed: nothing in it is believed.

    ``order_id``: the merchant's; None for an event that is about no payment.
    """

    transmission_id: str
    retried_count: int
    order_id: str | None
    body: bytes


class _About(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    order_id: str | None = None


class _Event(_About):
    """With ``data``, or flat as a deposit callback."""

    event_type: str | None = None
    data: _About | None = None


def read_webhook(transmission_id: str, retried_count: str, body: bytes) -> Webhook:
    """What the vendor sent, or somebody else. Without a usable transmission id the body stands for it.

    Raises MalformedWebhook.
    """
    try:
        event = _Event.model_validate_json(body)
    except ValidationError:
        raise MalformedWebhook("This is no webhook of the payment vendor.") from None
    if not _TRANSMISSION_ID.fullmatch(transmission_id):
        transmission_id = f"body:{hashlib.sha256(body).hexdigest()}"
    retried = int(retried_count) if re.fullmatch(r"[0-9]{1,4}", retried_count) else 0
    order_id = event.order_id if event.data is None else event.data.order_id
    return Webhook(transmission_id, retried, order_id, body)
