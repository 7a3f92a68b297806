"""Bodies of requests and answers, and what the tokens of ticket must say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_services.payment.domain import (
    AttemptState,
    CloseStatus,
    Confirmation,
    OpenAttempt,
    Order,
    OrderState,
    Standing,
    WindowEnd,
    window_end,
)
from tiketi_services.payment.repository import AttemptView, OrderView

Amount = Annotated[int, Field(gt=0, le=10**12, strict=True, description="Minor units.")]
Token = Annotated[str, Field(min_length=1, max_length=8192)]


class Body(BaseModel):
    """JSON in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class IntentClaims(Body):
    """Claims of a ``payment-intent+jwt``. ``payBy``: seconds since 1970."""

    order: UUID
    event: Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}$")]
    buyer: Annotated[str, Field(min_length=1, max_length=64)]
    amount: Amount
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    order_name: Annotated[str, Field(min_length=1, max_length=500)]
    pay_by: Annotated[int, Field(ge=0, le=253_402_300_799, strict=True)]

    def to_order(self) -> Order:
        """The order that ticket vouches for."""
        return Order(
            order_id=self.order,
            event=EventId(self.event),
            buyer=BuyerId(self.buyer),
            amount=self.amount,
            currency=self.currency,
            order_name=self.order_name,
            pay_by=datetime.fromtimestamp(self.pay_by, UTC),
        )


class CloseClaims(Body):
    """Claims of an ``order-close+jwt``."""

    order: UUID


class OpenAttemptRequest(Body):
    """POST /payments/attempts."""

    intent: Token


class OpenAttemptView(Body):
    """What the vendor's window is opened with."""

    attempt: UUID
    vendor_order_id: str
    amount: int
    currency: str
    order_name: str
    client_key: str
    pay_by: AwareDatetime

    @classmethod
    def of(cls, attempt: OpenAttempt, client_key: str) -> Self:
        """The view of a new attempt."""
        order = attempt.order
        return cls(
            attempt=attempt.attempt_id,
            vendor_order_id=attempt.vendor_order_id,
            amount=order.amount,
            currency=order.currency,
            order_name=order.vendor_order_name,
            client_key=client_key,
            pay_by=order.pay_by,
        )


class ConfirmRequest(Body):
    """POST /payments/confirm: what the vendor's redirect brought. ``orderId`` is the vendor order id."""

    payment_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_=.~+-]{0,199}$")]
    order_id: Annotated[str, Field(pattern=r"^tk_[a-z0-9]{26}$")]
    amount: Amount


class WindowFailedRequest(Body):
    """POST /payments/failed: what the vendor's redirect to failUrl brought.

    ``orderId``: the vendor order id. The vendor leaves it out when the buyer cancels: a page puts it into its failUrl.
    """

    order_id: Annotated[str, Field(pattern=r"^tk_[a-z0-9]{26}$")]
    code: Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,100}$")]


class WindowFailedView(Body):
    """Nothing was charged. ``orderOpen``: another attempt may be opened until ``payBy``."""

    order: UUID
    reason: WindowEnd
    code: str
    state: AttemptState
    order_open: bool
    pay_by: AwareDatetime

    @classmethod
    def of(cls, standing: Standing, code: str) -> Self:
        """The view of an attempt whose window was left."""
        return cls(
            order=standing.order.order_id,
            reason=window_end(code),
            code=code,
            state=standing.attempt_state,
            order_open=standing.order_state is OrderState.OPEN and not standing.overdue,
            pay_by=standing.order.pay_by,
        )


class ConfirmationView(Body):
    """``paid`` with the signed outcome, or ``unknown``: then the order says later what became of it."""

    order: UUID
    status: Literal["paid", "unknown"]
    outcome: str | None = None

    @classmethod
    def of(cls, confirmation: Confirmation) -> Self:
        """The view of a confirmation."""
        status: Literal["paid", "unknown"] = "unknown" if confirmation.outcome is None else "paid"
        return cls(order=confirmation.order_id, status=status, outcome=confirmation.outcome)


class OrderAttemptView(Body):
    """One attempt of an order. ``code``: the vendor's, if it was refused or is not known yet."""

    attempt: UUID
    vendor_order_id: str
    state: AttemptState
    code: str | None
    created_at: AwareDatetime


class OrderStateView(Body):
    """GET /payments/orders/{order}. ``outcome``: signed, once paid."""

    order: UUID
    state: OrderState
    amount: int
    currency: str
    pay_by: AwareDatetime
    outcome: str | None
    attempts: list[OrderAttemptView]

    @classmethod
    def of(cls, view: OrderView, attempts: list[AttemptView]) -> Self:
        """The view of an order and its attempts."""
        return cls(
            order=view.order.order_id,
            state=view.state,
            amount=view.order.amount,
            currency=view.order.currency,
            pay_by=view.order.pay_by,
            outcome=view.outcome,
            attempts=[
                OrderAttemptView(
                    attempt=attempt.attempt_id,
                    vendor_order_id=attempt.vendor_order_id,
                    state=attempt.state,
                    code=attempt.code,
                    created_at=attempt.created_at,
                )
                for attempt in attempts
            ],
        )


class CloseRequest(Body):
    """POST /internal/orders/close."""

    request: Token


class CloseView(Body):
    """Seats may be freed on CLOSED only."""

    status: CloseStatus
    outcome: str | None = None
    """The signed outcome of a paid order, as in the confirmation."""
