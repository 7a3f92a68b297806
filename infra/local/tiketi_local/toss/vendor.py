"""The vendor's books: all payments, by key and by the merchant's order. Pure but for the journal it is given."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from tiketi_local.toss.document import KST, MERCHANT
from tiketi_local.toss.errors import TossError
from tiketi_local.toss.payment import CancelRequest, Payment, Status, Transaction

ORDER_ID = re.compile(r"[A-Za-z0-9_=-]{6,64}")
CURRENCIES = ("KRW", "USD", "JPY")
MAX_ORDER_NAME = 100
_SUFFIX = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """What the browser SDK hands to the payment window. ``amount`` in minor units."""

    client_key: str
    order_id: str
    order_name: str
    amount: int
    currency: str
    success_url: str
    fail_url: str

    def check(self) -> None:
        """Raises TossError INVALID_REQUEST for values the vendor does not take."""
        if (
            not ORDER_ID.fullmatch(self.order_id)
            or not 0 < len(self.order_name) <= MAX_ORDER_NAME
            or self.amount <= 0
            or self.currency not in CURRENCIES
            or not all(url.startswith(("http://", "https://")) for url in (self.success_url, self.fail_url))
        ):
            raise TossError("INVALID_REQUEST")


class Vendor:
    """Payments from window to cancel. ``record`` is told every new state before it is answered."""

    def __init__(self, record: Callable[[Payment], None], payments: Iterable[Payment] = ()) -> None:
        self._record = record
        self._payments: dict[str, Payment] = {}
        self._keys_of_order: dict[str, list[str]] = {}
        self._unfinished: set[str] = set()
        for payment in payments:
            self._remember(payment)

    def open_window(self, request: WindowRequest, now: datetime) -> Payment:
        """A new payment, READY. Any number may be opened for one order; one of them can be approved."""
        request.check()
        payment = Payment(
            payment_key=self._new_key(now),
            order_id=request.order_id,
            order_name=request.order_name,
            currency=request.currency,
            amount=request.amount,
            client_key=request.client_key,
            success_url=request.success_url,
            fail_url=request.fail_url,
            requested_at=now,
        )
        return self._save(payment)

    def authenticate(self, payment_key: str, card_number: str, now: datetime) -> Payment:
        """The buyer presses "pay": IN_PROGRESS."""
        return self._save(self.look_up(payment_key, now).authenticated(card_number, now))

    def leave(self, payment_key: str, now: datetime) -> Payment:
        """The buyer or the card's company ends the window. The payment stays READY until its time is over."""
        payment = self.look_up(payment_key, now)
        if payment.status is not Status.READY:
            raise TossError("NOT_FOUND_PAYMENT_SESSION")
        return payment

    def confirm(self, payment_key: str, order_id: str, amount: int, client_kind: str, now: datetime) -> Payment:
        """Charge the card. ``client_kind``: that of the secret key's pair.

        Raises TossError, also for a refused card.
        """
        payment = self.look_up(payment_key, now)
        if not payment.client_key.startswith(client_kind):
            raise TossError("INVALID_API_KEY")
        payment.check_confirm(order_id, amount)
        if any(self._payments[key].approved_at for key in self._keys_of_order[order_id]):
            raise TossError("DUPLICATED_ORDER_ID")
        payment = self._save(payment.approved(_transaction_key(), now))
        if payment.failure is not None:
            raise TossError(payment.failure.code)
        return payment

    def cancel(self, payment_key: str, request: CancelRequest, now: datetime) -> Payment:
        """Give back all or a part. Raises TossError."""
        return self._save(self.look_up(payment_key, now).cancelled_by(request, _transaction_key(), now))

    def look_up(self, payment_key: str, now: datetime) -> Payment:
        """The payment as it stands; in every state (our choice: documented for approved ones only).

        Raises TossError NOT_FOUND_PAYMENT.
        """
        try:
            payment = self._payments[payment_key]
        except KeyError:
            raise TossError("NOT_FOUND_PAYMENT") from None
        current = payment.at(now)
        return current if current is payment else self._save(current)

    def look_up_order(self, order_id: str, now: datetime) -> Payment:
        """The approved payment of the merchant's order, else its newest (our choice). Raises TossError."""
        payments = [self.look_up(key, now) for key in self._keys_of_order.get(order_id, ())]
        if not payments:
            raise TossError("NOT_FOUND_PAYMENT")
        return next((payment for payment in payments if payment.approved_at), payments[-1])

    def payments(self, now: datetime) -> list[Payment]:
        """All payments, oldest first."""
        return [self.look_up(key, now) for key in list(self._payments)]

    def expire(self, now: datetime) -> None:
        """End what the two clocks end, though nobody asks."""
        for key in list(self._unfinished):
            self.look_up(key, now)

    def transactions(
        self, start: datetime, end: datetime, after: str | None, limit: int
    ) -> list[tuple[Payment, Transaction]]:
        """Charges and cancels from ``start`` to ``end``, oldest first; the next ``limit`` of them after a key."""
        rows = [
            (payment, each)
            for payment in self._payments.values()
            for each in payment.transactions()
            if start <= each.at <= end
        ]
        rows.sort(key=lambda row: (row[1].at, row[1].transaction_key))
        if after is not None:
            keys = [each.transaction_key for _, each in rows]
            if after not in keys:
                raise TossError("INVALID_REQUEST")  # our choice
            rows = rows[keys.index(after) + 1 :]
        return rows[:limit]

    def _new_key(self, now: datetime) -> str:
        while True:
            suffix = "".join(secrets.choice(_SUFFIX) for _ in range(5))
            key = f"{MERCHANT}{now.astimezone(KST):%Y%m%d%H%M%S}{suffix}"
            if key not in self._payments:
                return key

    def _save(self, payment: Payment) -> Payment:
        self._record(payment)
        self._remember(payment)
        return payment

    def _remember(self, payment: Payment) -> None:
        if payment.payment_key not in self._payments:
            self._keys_of_order.setdefault(payment.order_id, []).append(payment.payment_key)
        self._payments[payment.payment_key] = payment
        if payment.status in (Status.READY, Status.IN_PROGRESS):
            self._unfinished.add(payment.payment_key)
        else:
            self._unfinished.discard(payment.payment_key)


def _transaction_key() -> str:
    return f"txrd_{secrets.token_hex(12)}"
