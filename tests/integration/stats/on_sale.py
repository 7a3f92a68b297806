"""An event on sale, and the messages one order of it sends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from redis.asyncio import Redis
from tests.sale_sheets import sale_sheet

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, OrderId, SeatId
from tiketi_runtime.contracts.messages import OrderClosed, OrderPlaced, PaymentRefused, PaymentSettled, TicketsIssued
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet

PRICE = 99_000
CAPACITY = 100
FAN_CLUB = "fan-club"


def sheet_of(event: EventId, *, uid: str = "u-1") -> SaleSheet:
    """A sale of 100 standing places with a presale, open now."""
    now = datetime.now(UTC)
    hours = {"opensAt": now, "closesAt": now + timedelta(days=1), "sections": ["ST"]}
    return sale_sheet(
        event,
        now,
        uid=uid,
        lines=[{"name": PUBLIC, **hours}, {"name": FAN_CLUB, **hours}],
        sections=[{"name": "ST", "price": PRICE, "capacity": CAPACITY}],
    )


async def register(redis: Redis, event: EventId, *, uid: str = "u-1") -> EventKeys:
    """Put the event into Redis as operator and ticket do."""
    keys = EventKeys(event)
    await redis.set(keys.sheet, sheet_of(event, uid=uid).model_dump_json(by_alias=True))
    await redis.sadd(EVENTS, event)
    return keys


class Order:
    """The messages of one order, each made once."""

    def __init__(self, event: EventId, *seats: str) -> None:
        common = {"order": OrderId(str(uuid4())), "event": event}
        places = {"seats": tuple(map(SeatId, seats))}
        money = {"buyer": BuyerId(str(uuid4())), "amount": PRICE * len(seats), "currency": "KRW"}
        self.placed = OrderPlaced(**common, **money, **places, order_name="tickets", pay_by=datetime.now(UTC))
        self.refused = PaymentRefused(**common, attempt=str(uuid4()), code="REJECT_CARD_PAYMENT")
        self.settled = PaymentSettled(**common, **money, payment_key="pk", outcome="signed")
        self.issued = TicketsIssued(**common, **money, **places)
        self.closed = OrderClosed(**common, **places)
