"""One payment and what may become of it. Pure: time is an argument, and a change is a new value."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tiketi_local.toss.cards import behaviour_of
from tiketi_local.toss.errors import TossError

TIME_TO_AUTHENTICATE = timedelta(minutes=30)
"""From opening the window to the buyer's authentication."""
TIME_TO_CONFIRM = timedelta(minutes=10)
"""From authentication to the merchant's confirm."""
LEAST_AMOUNT = 100
"""Won, by card."""


class Status(StrEnum):
    """The vendor's words. Virtual accounts are not simulated: a seat cannot wait days for a transfer."""

    READY = "READY"
    IN_PROGRESS = "IN_PROGRESS"
    DONE = "DONE"
    CANCELED = "CANCELED"
    PARTIAL_CANCELED = "PARTIAL_CANCELED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"


_PAID = (Status.DONE, Status.CANCELED, Status.PARTIAL_CANCELED)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Failure(_Value):
    """Why a payment ended without money."""

    code: str
    message: str


class Cancel(_Value):
    """Money given back."""

    transaction_key: str
    reason: str
    amount: int
    refundable_amount: int
    """What is left after this."""
    at: AwareDatetime


class Transaction(_Value):
    """One movement of money, as GET /v1/transactions lists them. A cancel's ``amount`` is what was given back."""

    transaction_key: str
    status: Status
    amount: int
    at: AwareDatetime


class CancelRequest(_Value):
    """What the merchant asks. ``amount`` None: all that is left."""

    reason: str
    amount: int | None = None
    refundable_amount: int | None = None
    """Lock: the balance the merchant believes in."""
    currency: str | None = None


class Payment(_Value):
    """A payment from the opening of the window. Amounts in minor units of ``currency``."""

    payment_key: str
    order_id: str
    order_name: str
    currency: str
    amount: int
    client_key: str
    success_url: str
    fail_url: str
    requested_at: AwareDatetime
    status: Status = Status.READY
    card_number: str | None = None
    authenticated_at: AwareDatetime | None = None
    approved_at: AwareDatetime | None = None
    approval_key: str | None = None
    """Transaction key of the charge."""
    last_transaction_key: str | None = None
    cancels: tuple[Cancel, ...] = ()
    failure: Failure | None = None

    @property
    def cancelled(self) -> int:
        """Sum given back."""
        return sum(cancel.amount for cancel in self.cancels)

    @property
    def balance(self) -> int:
        """Total less what was given back; equals the total also for payments that never were charged."""
        return self.amount - self.cancelled

    @property
    def charged(self) -> int:
        """What the buyer's card was charged, before cancels."""
        return self.amount if self.status in _PAID else 0

    @property
    def is_partially_cancelable(self) -> bool:
        """Whether the card takes back a part."""
        return self.card_number is None or behaviour_of(self.card_number).partially_cancelable

    def transactions(self) -> list[Transaction]:
        """The charge and every cancel, in their order."""
        if self.approved_at is None:
            return []
        key = self.approval_key or f"txrd_{self.payment_key}"
        charge = Transaction(transaction_key=key, status=Status.DONE, amount=self.amount, at=self.approved_at)
        return [charge, *(self._transaction(cancel) for cancel in self.cancels)]

    def _transaction(self, cancel: Cancel) -> Transaction:
        status = Status.CANCELED if cancel.amount == self.amount else Status.PARTIAL_CANCELED
        return Transaction(transaction_key=cancel.transaction_key, status=status, amount=cancel.amount, at=cancel.at)

    def at(self, now: datetime) -> Self:
        """The payment as it stands at ``now``: the two clocks end it by themselves."""
        if self.status is Status.READY and now >= self.requested_at + TIME_TO_AUTHENTICATE:
            return self._expired()
        if (
            self.status is Status.IN_PROGRESS
            and self.authenticated_at is not None
            and now >= self.authenticated_at + TIME_TO_CONFIRM
        ):
            return self._expired()
        return self

    def _expired(self) -> Self:
        failure = Failure(code="EXPIRED_PAYMENT", message="결제가 만료되었습니다. 다시 시도해주세요.")
        return self.model_copy(update={"status": Status.EXPIRED, "failure": failure})

    def authenticated(self, card_number: str, now: datetime) -> Self:
        """The buyer has identified with a card; nothing is charged yet. Raises TossError when that is over."""
        if self.status is not Status.READY:
            raise TossError("NOT_FOUND_PAYMENT_SESSION")
        return self.model_copy(
            update={"status": Status.IN_PROGRESS, "card_number": card_number, "authenticated_at": now}
        )

    def check_confirm(self, order_id: str, amount: int) -> None:
        """Raises TossError if this payment cannot be confirmed as the one for this order and amount."""
        if self.status is Status.EXPIRED:
            raise TossError("NOT_FOUND_PAYMENT_SESSION")
        if (self.order_id, self.amount) != (order_id, amount):
            raise TossError("INVALID_REQUEST")  # our choice: the vendor's own code for this is not documented
        if self.status is Status.READY:
            raise TossError("NOT_FOUND_PAYMENT_SESSION")  # our choice: the buyer has not authenticated
        if self.status is not Status.IN_PROGRESS:
            raise TossError("ALREADY_PROCESSED_PAYMENT")

    def approved(self, transaction_key: str, now: datetime) -> Self:
        """Charged, or refused by the card and then ABORTED for ever."""
        refused = behaviour_of(self.card_number or "").refused
        if refused is None and self.amount < LEAST_AMOUNT:
            refused = "BELOW_MINIMUM_AMOUNT"
        if refused is not None:
            failure = Failure(**TossError(refused).document())
            return self.model_copy(update={"status": Status.ABORTED, "failure": failure})
        return self.model_copy(
            update={
                "status": Status.DONE,
                "approved_at": now,
                "approval_key": transaction_key,
                "last_transaction_key": transaction_key,
            }
        )

    def cancelled_by(self, request: CancelRequest, transaction_key: str, now: datetime) -> Self:
        """Give back all or a part. Raises TossError; then nothing has changed.

        Full at once is CANCELED. Part by part stays PARTIAL_CANCELED even when nothing is left.
        """
        amount = self._amount_to_cancel(request)
        cancel = Cancel(
            transaction_key=transaction_key,
            reason=request.reason,
            amount=amount,
            refundable_amount=self.balance - amount,
            at=now,
        )
        status = Status.CANCELED if amount == self.amount else Status.PARTIAL_CANCELED
        return self.model_copy(
            update={"status": status, "cancels": (*self.cancels, cancel), "last_transaction_key": transaction_key}
        )

    def _amount_to_cancel(self, request: CancelRequest) -> int:
        if self.status is Status.CANCELED:
            raise TossError("ALREADY_CANCELED_PAYMENT")
        if self.status not in (Status.DONE, Status.PARTIAL_CANCELED):
            raise TossError("NOT_CANCELABLE_PAYMENT")
        if request.currency not in (None, self.currency):
            raise TossError("INVALID_REQUEST")
        if request.refundable_amount not in (None, self.balance):
            raise TossError("NOT_MATCHES_REFUNDABLE_AMOUNT")
        amount = self.balance if request.amount is None else request.amount
        if not 0 < amount <= self.balance:
            raise TossError("NOT_CANCELABLE_AMOUNT")
        if amount < self.amount and not self.is_partially_cancelable:
            raise TossError("NOT_ALLOWED_PARTIAL_REFUND")
        return amount
