"""Buyers, an organiser and a gate, at a ticket service and a payment service that are really there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from tests.integration.payment.shop import GOOD_CARD, Answer, Shop
from tests.integration.ticket.queue.service import Service
from tests.integration.ticket.tickets.gates import role
from tests.integration.toss.server import RunningVendor
from tests.invariants import violations

from tiketi_local import rabbitmq
from tiketi_local.world import World
from tiketi_runtime.postgres import Pool
from tiketi_services.ticket.settings import TicketSettings

Json = dict[str, Any]
_NOW: Final = datetime.now(UTC)
_MANY: Final = [{"name": "A", "price": 99_000, "capacity": 1000}]
SALES: Final[dict[str, Json]] = {
    "show": {"refundsUntil": _NOW + timedelta(days=1), "sections": _MANY},
    "firm": {},
    "late": {"refundsUntil": _NOW - timedelta(seconds=5)},
    "storm": {"refundsUntil": _NOW + timedelta(days=1), "sections": _MANY},
}
"""Sales by name: one with refunds, one without, one whose refunds are over, and one that will be cancelled."""
PRICE: Final = 99_000


@dataclass(frozen=True)
class House:
    """Everything a test may do and look at."""

    service: Service
    settings: TicketSettings
    payment_url: str
    vendor: RunningVendor
    ticket: Pool
    payment: Pool
    world: World
    vhost: str
    refused: set[tuple[bool, str, int, str]] = field(default_factory=set)
    """Refusals of the routes of refunds: whether it was the buyer's, method, status, code."""

    @property
    def shop(self) -> Shop:
        """The vendor's window and switches."""
        return Shop(self.service.http, self.payment_url, self.vendor, self.service.auth, self.service.auth)

    async def send(
        self, method: str, path: str, buyer: str, body: Any = None, key: str | None = None, **more: Any
    ) -> Answer:
        """To ticket, or to payment if ``path`` begins so. ``roles`` in ``more``: those of the token."""
        url = (self.payment_url if path.startswith("/payments") else self.service.url) + path
        headers = {
            "authorization": f"Bearer {self.service.token(buyer, **more)}",
            "idempotency-key": key or str(uuid4()),
        }
        while True:
            async with self.service.http.request(method, url, json=body, headers=headers) as answer:
                text = await answer.text()
                seen = Answer(answer.status, json.loads(text) if text else {})
            if (seen.status, seen.code) != (503, "unavailable"):
                break
            await asyncio.sleep(0.1)  # more came at once than the entrance lets in
        if seen.status >= 400 and path.endswith("/refunds"):
            self.refused.add((path.startswith("/orders"), method.lower(), seen.status, seen.code))
        return seen

    async def order(self, sale: str, buyer: str, quantity: int) -> Json:
        joined = await self.service.join(f"demo/{sale}", buyer)
        claimed = await self.service.claim_until_admitted(f"demo/{sale}", buyer, joined.body["receipt"])
        path = f"/events/demo/{sale}"
        headers = {"tiketi-pass": claimed.body["pass"]}
        wish = {"section": "A", "quantity": quantity}
        held = await self.service.post(f"{path}/holds", buyer, wish, **headers)
        assert held.status == 201, held.body
        placed = await self.send("POST", f"{path}/orders", buyer, {"hold": held.body["hold"]})
        assert placed.status == 201, placed.body
        return placed.body

    async def buy(self, sale: str, quantity: int = 1, buyer: str | None = None, card: str = GOOD_CARD) -> Json:
        """A paid order, as its buyer sees it."""
        buyer = buyer or str(uuid4())
        return await self.pay(await self.order(sale, buyer, quantity), buyer, card)

    async def pay(self, order: Json, buyer: str, card: str = GOOD_CARD) -> Json:
        """The order once it is paid."""
        attempt = await self.send("POST", "/payments/attempts", buyer, {"intent": order["intent"]})
        redirect = await self.shop.pay(attempt.body, card)
        confirmed = await self.send("POST", "/payments/confirm", buyer, redirect)
        assert confirmed.status == 200, confirmed.body
        outcome = {"outcome": confirmed.body["outcome"]}
        paid = await self.send("POST", f"/orders/{order['order']}/outcome", buyer, outcome)
        assert (paid.status, paid.body["state"]) == (200, "PAID")
        return paid.body

    async def look(self, order: Json) -> Json:
        return (await self.send("GET", f"/orders/{order['order']}", order["buyer"])).body

    async def refund(self, order: Json, *tickets: str, key: str | None = None, buyer: str | None = None) -> Answer:
        body = {"tickets": list(tickets)} if tickets else {"all": True}
        return await self.send("POST", f"/orders/{order['order']}/refunds", buyer or order["buyer"], body, key)

    async def organise(self, sale: str, body: Json, key: str | None = None, roles: Any = None) -> Answer:
        roles = role("organiser") if roles is None else roles
        return await self.send("POST", f"/events/demo/{sale}/refunds", "organiser-1", body, key, roles=roles)

    async def progress(self, sale: str) -> Json:
        answer = await self.send("GET", f"/events/demo/{sale}/refunds", "organiser-1", roles=role("organiser"))
        return answer.body

    async def hold_by_name(self, sale: str, buyer: str, seats: list[str]) -> Answer:
        joined = await self.service.join(f"demo/{sale}", buyer)
        claimed = await self.service.claim_until_admitted(f"demo/{sale}", buyer, joined.body["receipt"])
        headers = {"tiketi-pass": claimed.body["pass"]}
        held = await self.service.post(f"/events/demo/{sale}/holds", buyer, {"seats": seats}, **headers)
        return Answer(held.status, held.body)

    async def code(self, order: Json, ticket: str) -> str:
        """What the QR code of a ticket shows."""
        mine = await self.send("GET", "/me/tickets", order["buyer"])
        return str(next(each["code"] for each in mine.body["tickets"] if each["ticket"] == ticket))

    async def scan(self, order: Json, ticket: str) -> Answer:
        """Somebody comes to the gate with a ticket."""
        return await self.scan_code(order["event"], await self.code(order, ticket))

    async def scan_code(self, event: str, code: str) -> Answer:
        body = {"code": code, "gate": "North"}
        return await self.send("POST", f"/events/{event}/check-ins", "gate-1", body, roles=role("gate"))

    async def until_refunded(self, order: Json, state: str = "REFUNDED", seconds: float = 20) -> Json:
        """The order once every refund of it is done and it is in ``state``."""

        async def is_so() -> bool:
            seen = await self.look(order)
            return seen["state"] == state and all(each["state"] == "DONE" for each in seen["refunds"])

        await until(is_so, seconds)
        return await self.look(order)

    async def kept(self, order: Json) -> int:
        """What the vendor keeps of an order."""
        ours = await self.payment.fetch("SELECT vendor_order_id FROM attempts WHERE order_id = $1", order["order"])
        sums = (await self.shop.ledger())["orders"]
        known = [sums[row["vendor_order_id"]] for row in ours if row["vendor_order_id"] in sums]
        return sum(each["charged"] - each["cancelled"] for each in known)

    @asynccontextmanager
    async def without_messages(self) -> AsyncIterator[None]:
        """The broker's part that is ours is gone with all that was in it, and comes back empty."""
        await rabbitmq.delete_vhost(self.world.site, self.vhost)
        yield
        await rabbitmq.make_vhost(self.world.site, self.vhost)

    async def faults(self, **switches: Any) -> None:
        """From now on this goes wrong at the vendor; without arguments nothing."""
        await self.shop.faults(**switches)

    async def come_to_rest(self) -> None:
        """Wait until no refund is under way anywhere."""
        await self.payment.execute("UPDATE refunds SET try_at = now() WHERE state <> 'DONE'")
        await until(self._is_at_rest, 20)

    async def _is_at_rest(self) -> bool:
        open_refunds = "SELECT EXISTS (SELECT FROM refunds WHERE state <> 'DONE')"
        unsent = "SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)"
        busy = [
            await self.ticket.fetchval(open_refunds),
            await self.payment.fetchval(open_refunds),
            await self.payment.fetchval(unsent),
        ]
        return not any(busy)

    async def violations(self) -> list[str]:
        return await violations(self.ticket, self.payment, at_rest=True)


def tickets_of(order: Json) -> list[str]:
    """Ids of an order's tickets that are not void."""
    return [each["ticket"] for each in order["tickets"] if each["state"] != "VOID"]


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait until something holds; TimeoutError if it does not come about."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 (another process brings it about)
            await asyncio.sleep(0.05)
