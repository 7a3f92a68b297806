"""A merchant as the simulator meets one: its browser in the window, its server at the API."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY, RunningVendor

GOOD_CARD = "4000-0000-0000-0077"

Json = dict[str, Any]


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True)
class Reply:
    status: int
    raw: bytes
    body: Json
    headers: dict[str, str]

    @property
    def code(self) -> str:
        return str(self.body.get("code"))


@dataclass(frozen=True)
class Merchant:
    """One who calls the vendor."""

    http: aiohttp.ClientSession
    vendor: RunningVendor

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        sent = {"authorization": basic(SECRET_KEY)} | {name.replace("_", "-"): text for name, text in headers.items()}
        async with self.http.request(method, self.vendor.url + path, json=body, headers=sent) as answer:
            return Reply(answer.status, await answer.read(), await answer.json(), dict(answer.headers))

    async def window(self, **changes: object) -> Json:
        request = {
            "clientKey": CLIENT_KEY,
            "orderId": f"order-{id(changes)}-{asyncio.get_running_loop().time():.6f}".replace(".", "-"),
            "amount": 50_000,
            "currency": "KRW",
            "orderName": "Two seats",
            "successUrl": "https://shop.example/paid?lang=ko",
            "failUrl": "https://shop.example/failed",
        } | changes
        async with self.http.post(f"{self.vendor.url}/checkout", json=request) as answer:
            assert answer.status == 200, await answer.text()
            return request | dict(await answer.json())

    async def press(self, payment_key: str, button: str, **form: str) -> dict[str, str]:
        """Query of the redirect that a button of the window ends in."""
        url = f"{self.vendor.url}/checkout/{payment_key}/{button}"
        async with self.http.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 303
            return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def authenticated(self, card: str = GOOD_CARD, **changes: object) -> Json:
        """The body of a confirm for a payment whose buyer has pressed "pay"."""
        window = await self.window(**changes)
        query = await self.press(window["paymentKey"], "pay", card=card)
        return {"paymentKey": query["paymentKey"], "orderId": query["orderId"], "amount": int(query["amount"])}

    async def confirm(self, body: Json, **headers: str) -> Reply:
        return await self.call("POST", "/v1/payments/confirm", body, **headers)

    async def paid(self, card: str = GOOD_CARD) -> str:
        """Payment key of a payment that is DONE."""
        body = await self.authenticated(card)
        assert (await self.confirm(body)).status == 200
        return str(body["paymentKey"])

    async def cancel(self, key: str, **body: object) -> Reply:
        return await self.call("POST", f"/v1/payments/{key}/cancel", {"cancelReason": "changed mind"} | body)

    async def look_up(self, key: str) -> Reply:
        return await self.call("GET", f"/v1/payments/{key}")

    async def faults(self, **switches: object) -> None:
        async with self.http.post(f"{self.vendor.url}/__sim/faults", json=switches, raise_for_status=True):
            pass
