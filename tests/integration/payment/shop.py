"""The world around payment, as tests need it: buyers, ticket's signatures, the vendor's window."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import aiohttp
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY, RunningVendor

from tiketi_runtime.security import TokenSigner

GOOD_CARD = "4000-0000-0000-0077"
REFUSED_CARD = "4000-0000-0000-0002"
LOST_ANSWER_CARD = "4000-0000-0000-0119"
ERROR_AFTER_CHARGE_CARD = "4000-0000-0000-0127"

Json = dict[str, Any]


@dataclass(frozen=True)
class Placed:
    """An order as ticket has it."""

    order: str
    buyer: str
    amount: int
    pay_by: datetime
    event: str = "demo/first-sale"
    currency: str = "KRW"
    order_name: str = "First sale, VIP-01-01"

    def but(self, **changes: Any) -> Placed:
        return replace(self, **changes)


def placed(buyer: str | None = None, amount: int = 132_000, seconds_to_pay: float = 600) -> Placed:
    """A new order."""
    pay_by = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds_to_pay)
    return Placed(str(uuid4()), buyer or str(uuid4()), amount, pay_by)


@dataclass(frozen=True)
class Answer:
    """Status and body."""

    status: int
    body: Json

    @property
    def code(self) -> str:
        return str(self.body.get("code"))


@dataclass(frozen=True)
class Shop:
    """Everything a buyer and ticket do with one payment service."""

    http: aiohttp.ClientSession
    url: str
    vendor: RunningVendor
    auth: TokenSigner
    ticket: TokenSigner

    def at(self, url: str) -> Shop:
        """The same world seen from another replica."""
        return replace(self, url=url)

    def token(self, buyer: str) -> str:
        return self.auth.sign("at+jwt", {"sub": buyer, "roles": []}, timedelta(minutes=10))

    def intent(self, order: Placed, ttl: timedelta = timedelta(minutes=10)) -> str:
        claims = {
            "order": order.order,
            "event": order.event,
            "buyer": order.buyer,
            "amount": order.amount,
            "currency": order.currency,
            "orderName": order.order_name,
            "payBy": int(order.pay_by.timestamp()),
        }
        return self.ticket.sign("payment-intent+jwt", claims, ttl)

    async def attempt(self, order: Placed, buyer: str | None = None) -> Answer:
        return await self._post("/payments/attempts", {"intent": self.intent(order)}, buyer or order.buyer)

    async def pay(self, attempt: Json, card: str = GOOD_CARD, **changes: Any) -> Json:
        """Go through the vendor's window; the body for confirm, from the redirect."""
        window = await self._window(attempt, **changes)
        async with self.http.post(window["payUrl"], json={"card": card}, allow_redirects=False) as answer:
            query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        return {"paymentKey": query["paymentKey"], "orderId": query["orderId"], "amount": int(query["amount"])}

    async def leave(self, attempt: Json, button: str) -> dict[str, str]:
        """Leave the vendor's window by its "cancel" or "decline"; the query of the redirect."""
        window = await self._window(attempt)
        url = f"{self.vendor.url}/checkout/{window['paymentKey']}/{button}"
        async with self.http.post(url, allow_redirects=False) as answer:
            return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def _window(self, attempt: Json, **changes: Any) -> Json:
        request = {
            "clientKey": CLIENT_KEY,
            "orderId": attempt["vendorOrderId"],
            "amount": attempt["amount"],
            "currency": attempt["currency"],
            "orderName": attempt["orderName"],
            "successUrl": "https://shop.example/paid",
            "failUrl": "https://shop.example/failed",
        }
        async with self.http.post(f"{self.vendor.url}/checkout", json=request | changes) as answer:
            return dict(await answer.json())

    async def authenticated(self, order: Placed, card: str = GOOD_CARD) -> Json:
        """Attempt and window: all but the confirm."""
        return await self.pay((await self.attempt(order)).body, card)

    async def confirm(self, order: Placed, redirect: Json) -> Answer:
        return await self._post("/payments/confirm", redirect, order.buyer)

    async def state(self, order: Placed, buyer: str | None = None) -> Answer:
        headers = {"authorization": f"Bearer {self.token(buyer or order.buyer)}"}
        async with self.http.get(f"{self.url}/payments/orders/{order.order}", headers=headers) as answer:
            return Answer(answer.status, await answer.json())

    async def ask_to_close(self, order: Placed) -> Answer:
        request = self.ticket.sign("order-close+jwt", {"order": order.order}, timedelta(minutes=1))
        return await self._post("/internal/orders/close", {"request": request}, None)

    async def close(self, order: Placed) -> str:
        answer = await self.ask_to_close(order)
        return str(answer.body["status"])

    async def ledger(self) -> Json:
        async with self.http.get(f"{self.vendor.url}/__sim/ledger") as answer:
            return dict(await answer.json())

    async def charge_behind_our_back(self, redirect: Json) -> None:
        """Confirm at the vendor as somebody else with the merchant's key would."""
        headers = {"authorization": aiohttp.encode_basic_auth(SECRET_KEY, "")}
        url = f"{self.vendor.url}/v1/payments/confirm"
        async with self.http.post(url, json=redirect, headers=headers, raise_for_status=True):
            pass

    async def cancel_behind_our_back(self, payment_key: str, amount: int) -> None:
        """What a person does in the vendor's console."""
        headers = {"authorization": aiohttp.encode_basic_auth(SECRET_KEY, "")}
        url = f"{self.vendor.url}/v1/payments/{payment_key}/cancel"
        body = {"cancelReason": "by hand", "cancelAmount": amount}
        async with self.http.post(url, json=body, headers=headers, raise_for_status=True):
            pass

    async def charged(self, redirect: Json) -> int:
        """What the vendor keeps of an attempt: charged less cancelled."""
        sums = (await self.ledger())["orders"].get(redirect["orderId"], {"charged": 0, "cancelled": 0})
        return int(sums["charged"] - sums["cancelled"])

    async def faults(self, **switches: Any) -> None:
        async with self.http.post(f"{self.vendor.url}/__sim/faults", json=switches, raise_for_status=True):
            pass

    async def post(self, path: str, body: object, buyer: str | None = None) -> Answer:
        return await self._post(path, body, buyer)

    async def _post(self, path: str, body: object, buyer: str | None) -> Answer:
        headers = {"authorization": f"Bearer {self.token(buyer)}"} if buyer else {}
        while True:
            async with self.http.post(self.url + path, json=body, headers=headers) as answer:
                read = Answer(answer.status, await answer.json())
            if not path.endswith("/attempts") or (read.status, read.body.get("code")) != (503, "unavailable"):
                return read
            await asyncio.sleep(0.1)  # more came at once than the entrance lets in


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    """Wait until something holds; TimeoutError if it does not come about."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 (another process brings it about)
            await asyncio.sleep(0.05)
