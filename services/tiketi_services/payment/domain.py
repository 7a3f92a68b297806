"""Orders, attempts and what the vendor's answers mean. Pure: no clock, no network, no database.

An order is OPEN > PAID > REFUNDED, or OPEN > CLOSED. An attempt is READY > CONFIRMING > DONE | REFUSED | UNKNOWN, and
UNKNOWN ends as DONE or REFUSED on the vendor's own word only. At most one attempt of an order is CONFIRMING or UNKNOWN.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_runtime.contracts.messages import OrderPlaced
from tiketi_runtime.errors import Conflict, Forbidden, InvalidRequest, NotFound, TiketiError

CURRENCIES = frozenset({"KRW", "JPY"})
"""Currencies whose minor unit is the vendor's own unit."""
MAX_ATTEMPTS = 20
"""Attempts of one order; a buyer who fails more often than this needs another card, not another attempt."""
MAX_WEBHOOKS = 50
"""Kept of one attempt, and a few more if they come at one moment: the vendor sends eight of each of a few; whoever
sends more is not the vendor."""
MAX_HINTED_LOOKS = 10
"""Looks at one attempt because of webhooks; after that the resolver's own pace must do."""
MAX_ORDER_NAME = 100
"""Characters the vendor takes."""
_ALPHABET = string.ascii_lowercase + string.digits


class OrderState(StrEnum):
    """Where an order stands."""

    OPEN = "OPEN"
    PAID = "PAID"
    CLOSED = "CLOSED"
    REFUNDED = "REFUNDED"


class AttemptState(StrEnum):
    """Where one try to pay an order stands."""

    READY = "READY"
    """The vendor's window may be open; nothing can be charged."""
    CONFIRMING = "CONFIRMING"
    """A payment key is bound and the vendor is being asked to charge."""
    DONE = "DONE"
    """The vendor charged. Whether that is the order's outcome, or was cancelled, other rows say."""
    REFUSED = "REFUSED"
    """The vendor did not charge, for ever."""
    UNKNOWN = "UNKNOWN"
    """The vendor was asked, and its answer is not known."""


class CloseStatus(StrEnum):
    """What ``close`` answers. Seats may be freed on CLOSED only."""

    PAID = "PAID"
    CLOSED = "CLOSED"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True)
class Order:
    """What ticket says of an order, by message or by signed intent. ``amount`` in minor units."""

    order_id: UUID
    event: EventId
    buyer: BuyerId
    amount: int
    currency: str
    order_name: str
    pay_by: datetime
    """In whole seconds: the intent counts in them."""

    @classmethod
    def placed(cls, message: OrderPlaced) -> Self:
        """The order that a message tells of."""
        return cls(
            order_id=UUID(message.order),
            event=message.event,
            buyer=message.buyer,
            amount=message.amount,
            currency=message.currency,
            order_name=message.order_name,
            pay_by=message.pay_by.replace(microsecond=0),
        )

    @property
    def vendor_order_name(self) -> str:
        """The order's name as far as the vendor takes it."""
        return self.order_name[:MAX_ORDER_NAME]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to pay ``order``, bound to a payment at the vendor."""

    attempt_id: UUID
    order: Order
    vendor_order_id: str
    payment_key: str
    call: int
    """Number in the idempotency key; raised only when the vendor has kept an answer that decided nothing."""
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class VendorCall:
    """How the vendor's word on an attempt was had: what ticket paces its admissions by."""

    took: timedelta | None
    """Time of the call that decided it; None if it was found out afterwards."""
    is_fault: bool
    """The answer was lost, or useless, or our call was not accepted."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an attempt stands, and all that decides what its buyer is told."""

    order: Order
    order_state: OrderState
    overdue: bool
    """payBy has passed, by the database's clock."""
    attempt_state: AttemptState
    payment_key: str | None
    """None while READY."""
    code: str | None
    """The vendor's last code that was not success."""
    outcome: str | None
    """The signed outcome, if this attempt is the one that paid the order."""


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """What the buyer's page opens the vendor's window with."""

    attempt_id: UUID
    vendor_order_id: str
    order: Order


class WindowEnd(StrEnum):
    """Why the vendor's window ended without authentication."""

    CANCELLED = "cancelled"
    """By the buyer."""
    REFUSED = "refused"
    """By the card's company."""
    FAILED = "failed"


_WINDOW_ENDS = {
    "PAY_PROCESS_CANCELED": WindowEnd.CANCELLED,
    "USER_CANCEL": WindowEnd.CANCELLED,
    "REJECT_CARD_COMPANY": WindowEnd.REFUSED,
}


def window_end(code: str) -> WindowEnd:
    """What a code of the vendor's redirect to failUrl means."""
    return _WINDOW_ENDS.get(code, WindowEnd.FAILED)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Answer to a confirm that was neither refused nor cancelled. ``outcome``: signed; None while UNKNOWN."""

    order_id: UUID
    outcome: str | None


_VENDOR_ORDER_ID = re.compile(r"tk_[a-z0-9]{26}")


def is_vendor_order_id(text: str) -> bool:
    """Whether an order id at the vendor has the form of ours."""
    return _VENDOR_ORDER_ID.fullmatch(text) is not None


def new_vendor_order_id() -> str:
    """A vendor order id nobody else has: 26 characters of 36 are 134 bits."""
    return "tk_" + "".join(secrets.choice(_ALPHABET) for _ in range(26))


def confirm_key(vendor_order_id: str, call: int) -> str:
    """Idempotency key of the ``call``-th distinct confirm of an attempt."""
    return f"confirm:{vendor_order_id}:{call}"


def cancel_key(cancellation_id: UUID, call: int) -> str:
    """Idempotency key of the ``call``-th distinct try to cancel."""
    return f"cancel:{cancellation_id}:{call}"


def check_same(known: Order, told: Order) -> None:
    """Raises OrderDiffers if ticket has told two things about one order."""
    if known != told:
        raise OrderDiffers("This order is known with other facts.")


def check_currency(order: Order, currencies: Collection[str] = CURRENCIES) -> None:
    """Raises CurrencyNotSupported for money the merchant does not take, or the vendor counts in another unit."""
    if order.currency not in currencies or order.currency not in CURRENCIES:
        raise CurrencyNotSupported(f"currency: {order.currency} cannot be paid; use one of {sorted(currencies)}.")


def check_request(standing: Standing, payment_key: str, amount: int) -> None:
    """Raises if this is not what the buyer was sent to the vendor for."""
    if amount != standing.order.amount:
        raise AmountDiffers("amount: differs from the order's. Nothing was charged.")
    if standing.payment_key not in (None, payment_key):
        raise PaymentKeyDiffers("This attempt belongs to another payment key.")


def why_not_payable(order_state: OrderState, *, overdue: bool) -> TiketiError:
    """Why an order takes no payment now."""
    if order_state in (OrderState.PAID, OrderState.REFUNDED):
        return OrderAlreadyPaid("This order is paid.")
    if order_state is OrderState.CLOSED:
        return OrderIsClosed("This order is closed; its seats are free for others. Nothing was charged.")
    if overdue:
        return PayByPassed("The time to pay this order is over. Nothing was charged.")
    return AttemptUnderWay("Another payment of this order is being confirmed; ask for the order's state.", retryAfter=2)


# --- Errors


class OrderDiffers(Conflict):
    """Message and intent disagree about one order."""

    code, title = "order-differs", "Order differs"


class CurrencyNotSupported(InvalidRequest):
    """An order in a currency that cannot be paid here."""

    code, title = "currency-not-supported", "Currency not supported"


class InvalidIntent(InvalidRequest):
    """A payment intent that was altered, expired, or made for something else."""

    code, title = "invalid-intent", "Invalid payment intent"


class ForeignIntent(Forbidden):
    """The intent was made for another buyer."""

    code, title = "foreign-intent", "Intent of another buyer"


class UnknownAttempt(NotFound):
    """No attempt with this vendor order id, or not this buyer's."""

    code, title = "unknown-attempt", "Unknown attempt"


class UnknownOrder(NotFound):
    """No order with this id, or not this buyer's."""

    code, title = "unknown-order", "Unknown order"


class AmountDiffers(InvalidRequest):
    """The amount in the redirect is not the order's."""

    code, title = "amount-differs", "Amount differs"


class PaymentKeyDiffers(Conflict):
    """The attempt, or the payment key, is already bound to another."""

    code, title = "payment-key-differs", "Payment key differs"


class MalformedWebhook(TiketiError):
    """Not the JSON that the vendor sends. It is not kept."""

    code, status, title = "malformed-webhook", 400, "Malformed webhook"


class OrderAlreadyPaid(Conflict):
    """The order has its outcome."""

    code, title = "order-paid", "Order is paid"


class OrderIsClosed(Conflict):
    """The order was closed unpaid."""

    code, title = "order-closed", "Order is closed"


class PayByPassed(Conflict):
    """Too late to begin a payment."""

    code, title = "pay-by-passed", "Time to pay is over"


class AttemptUnderWay(Conflict):
    """One attempt at a time may be confirmed."""

    code, retryable, title = "attempt-under-way", True, "Payment under way"


class TooManyAttempts(Conflict):
    """The order has had all the attempts it may have."""

    code, title = "too-many-attempts", "Too many attempts"


class PaymentRefused(TiketiError):
    """The vendor did not charge. The order stays open until ``payBy``: another attempt may be made."""

    code, status, title = "payment-refused", 402, "Payment refused"


class PaymentCancelled(Conflict):
    """The vendor charged, but the order could not take the payment any more: it is given back in full."""

    code, title = "payment-cancelled", "Payment cancelled"
