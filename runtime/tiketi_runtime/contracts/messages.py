"""Messages between services: versioned, self-describing, applied once by ``id``.

``key`` is the routing key on the topic exchange. A field may be added; a change of meaning is a new version.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID, uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import BuyerId, EventId, OrderId, SeatId


class Message(BaseModel):
    """Envelope of every message."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

    id: UUID = Field(default_factory=uuid4)
    version: Literal[1] = 1
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    order: OrderId
    event: EventId


class EventDetails(BaseModel):
    """What a ticket says of its event, as buyers read it: for services that have no sale sheets."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

    title: str
    venue: str
    time_zone: str
    """Of the venue, a name of the IANA database."""
    starts_at: AwareDatetime


class OrderPlaced(Message):
    """ticket: a buyer's hold has become an order that waits for payment."""

    key: Literal["order.placed"] = "order.placed"
    buyer: BuyerId
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    order_name: str
    pay_by: AwareDatetime


class OrderClosed(Message):
    """ticket: payment has closed the order unpaid; its seats are free again."""

    key: Literal["order.closed"] = "order.closed"
    seats: tuple[SeatId, ...]


class PaymentSettled(Message):
    """payment: the order's one outcome is recorded. ``outcome`` is the same fact, signed."""

    key: Literal["payment.settled"] = "payment.settled"
    buyer: BuyerId
    amount: int
    currency: str
    payment_key: str
    outcome: str
    took_ms: int | None = None
    """Time of the vendor's answer that decided it; None if it was looked up later."""
    is_fault: bool = False
    """The vendor's answer was lost or useless, and had to be found out."""


class PaymentRefused(Message):
    """payment: one attempt was refused; the order stays open until its ``payBy``."""

    key: Literal["payment.refused"] = "payment.refused"
    attempt: str
    code: str
    """The vendor's code, such as REJECT_CARD_PAYMENT."""
    took_ms: int | None = None
    """As of PaymentSettled."""
    is_fault: bool = False
    """As of PaymentSettled."""


class TicketsIssued(Message):
    """ticket: the seats are the buyer's."""

    key: Literal["tickets.issued"] = "tickets.issued"
    buyer: BuyerId
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    details: EventDetails | None = None
    """None in messages from before there were any."""


class RefundRequested(Message):
    """ticket: tickets of a paid order are void; their price goes back."""

    key: Literal["refund.requested"] = "refund.requested"
    refund: UUID
    buyer: BuyerId
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    reason: Literal["buyer", "organiser", "event-cancelled"]


class PaymentRefunded(Message):
    """payment: the vendor has given the money of one refund back."""

    key: Literal["payment.refunded"] = "payment.refunded"
    refund: UUID
    buyer: BuyerId
    amount: int
    """Minor units of ``currency``."""
    currency: str
    balance: int
    """What the vendor has left of the payment. At zero the order is refunded; no sum of refunds says so."""


class RefundDone(Message):
    """ticket: the money of one refund is back where it came from; or there was none to give back."""

    key: Literal["refund.done"] = "refund.done"
    refund: UUID
    buyer: BuyerId
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    reason: Literal["buyer", "organiser", "event-cancelled"]
    details: EventDetails | None = None


class EventCancelled(Message):
    """ticket: the event of a paid order does not take place; its unused tickets are void, ``amount`` is to go back."""

    key: Literal["event.cancelled"] = "event.cancelled"
    refund: UUID
    buyer: BuyerId
    seats: tuple[SeatId, ...]
    amount: int
    """Minor units of ``currency``."""
    currency: str
    details: EventDetails | None = None


AnyMessage = Annotated[
    OrderPlaced
    | OrderClosed
    | PaymentSettled
    | PaymentRefused
    | TicketsIssued
    | RefundRequested
    | PaymentRefunded
    | RefundDone
    | EventCancelled,
    Field(discriminator="key"),
]
_ANY: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def parse_message(body: bytes) -> AnyMessage:
    """Read a message body. Raises pydantic.ValidationError if it is none of ours."""
    return _ANY.validate_json(body)


def encode_message(message: Message) -> bytes:
    """The body as it travels: JSON in camelCase."""
    return message.model_dump_json(by_alias=True).encode()
