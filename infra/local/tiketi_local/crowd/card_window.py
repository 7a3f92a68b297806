"""The vendor's payment window, as the simulator offers it to programs: what a buyer does there by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import aiohttp

GOOD_CARD = "4000-0000-0000-0077"
REFUSED_CARD = "4000-0000-0000-0002"


@dataclass(frozen=True, slots=True)
class CardWindow:
    """One vendor."""

    http: aiohttp.ClientSession
    url: str

    async def pay(self, attempt: Mapping[str, object], card: str) -> dict[str, str]:
        """Authenticate with ``card``; returns the query that the vendor redirects the buyer's browser with."""
        request = {
            "clientKey": attempt["clientKey"],
            "orderId": attempt["vendorOrderId"],
            "amount": attempt["amount"],
            "currency": attempt["currency"],
            "orderName": attempt["orderName"],
            "successUrl": "https://shop.example/paid",
            "failUrl": "https://shop.example/failed",
        }
        async with self.http.post(f"{self.url}/checkout", json=request, raise_for_status=True) as answer:
            window = await answer.json()
        pay_url = f"{self.url}/checkout/{window['paymentKey']}/pay"
        async with self.http.post(pay_url, json={"card": card}, allow_redirects=False) as answer:
            return dict(parse_qsl(urlsplit(answer.headers["location"]).query))
