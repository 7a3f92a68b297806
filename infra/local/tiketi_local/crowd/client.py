"""The buyer's side of the public API, one method a call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp

from tiketi_local.crowd.timings import Timings
from tiketi_local.crowd.work import solve

Json = dict[str, Any]
MOST_CHALLENGES = 3
"""Challenges worked on for one place: each may end before the work on a busy machine does."""


class Refused(Exception):
    """The platform answered with a problem document."""

    def __init__(self, step: str, status: int, problem: Json) -> None:
        super().__init__(f"{step}: {status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.code = str(problem.get("code", ""))
        self.retry_after = float(problem.get("retryAfter", 0.5))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class SaleAddress:
    """Where one event is sold."""

    origin: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Path of everything that belongs to the event."""
        return f"/events/{self.namespace}/{self.name}"


class BuyerClient:
    """One buyer's calls, through the front door like anybody's."""

    def __init__(self, http: aiohttp.ClientSession, sale: SaleAddress, timings: Timings) -> None:
        self._http = http
        self._sale = sale
        self._timings = timings
        self.token = ""
        self._refresh_token = ""

    async def sign_up(self, email: str, password: str, name: str) -> None:
        """Make an account; it is signed in at once, and a mail is on its way."""
        account = {"email": email, "password": password, "name": name}
        self._remember(await self._call("sign up", "POST", "/auth/sign-up", account))

    async def verify(self, token: str) -> None:
        """Press the button behind a mail's link, and have it in the access token."""
        await self._call("verify e-mail", "POST", "/auth/verify-email", {"token": token})
        self._remember(await self._call("refresh", "POST", "/auth/refresh", {"refreshToken": self._refresh_token}))

    async def join(self, line: str, **sent: str) -> Json:
        """Take a place in the line, paying with work if that is asked: ``seq`` and ``receipt``.

        ``sent``: what else the body says, such as ``receipt`` or ``code``.
        """
        body: Json = dict(sent)
        for _ in range(MOST_CHALLENGES):
            try:
                return await self._call("join", "POST", f"{self._sale.path}/queue/{line}/join", body)
            except Refused as refusal:
                if refusal.code != "work-needed":
                    raise
                body["proof"] = await self._work(refusal.problem)
        return await self._call("join", "POST", f"{self._sale.path}/queue/{line}/join", body)

    async def _work(self, problem: Json) -> Json:
        with self._timings.measure("work"):
            nonce = await solve(problem["challenge"], problem["bits"])
        return {"challenge": problem["challenge"], "nonce": nonce}

    def _remember(self, tokens: Json) -> None:
        self.token = tokens["accessToken"]
        self._refresh_token = tokens["refreshToken"]

    async def claim(self, line: str, receipt: str) -> Json:
        """Ask for the turn: ``status`` and, when admitted, ``pass``."""
        return await self._call("claim", "POST", f"{self._sale.path}/queue/{line}/claim", {"receipt": receipt})

    async def leave(self, line: str, receipt: str) -> None:
        """Give the place up."""
        await self._call("leave", "POST", f"{self._sale.path}/queue/{line}/leave", {"receipt": receipt})

    async def hold(self, admission: str, section: str, quantity: int) -> Json:
        """Set the best free seats of a section aside."""
        body = {"section": section, "quantity": quantity}
        return await self._call("hold", "POST", f"{self._sale.path}/holds", body, {"Tiketi-Pass": admission})

    async def order(self, hold: str, admission: str) -> Json:
        """Turn the hold into an order: ``order`` and the signed ``intent``."""
        headers = {"Tiketi-Pass": admission, "Idempotency-Key": str(uuid4())}
        return await self._call("order", "POST", f"{self._sale.path}/orders", {"hold": hold}, headers)

    async def begin_payment(self, intent: str) -> Json:
        """Open an attempt to pay: ``vendorOrderId``, ``amount``, ``clientKey``."""
        return await self._call("attempt", "POST", "/payments/attempts", {"intent": intent})

    async def confirm(self, redirect: Mapping[str, str]) -> Json:
        """Confirm what the vendor's window sent back with the buyer."""
        body = {
            "paymentKey": redirect["paymentKey"],
            "orderId": redirect["orderId"],
            "amount": int(redirect["amount"]),
        }
        return await self._call("pay", "POST", "/payments/confirm", body)

    async def order_state(self, order: str) -> str:
        """State of an order as ticket sees it."""
        answer = await self._call("look up order", "GET", f"/orders/{order}")
        return str(answer["state"])

    async def tickets(self) -> list[Json]:
        """The buyer's tickets."""
        answer = await self._call("my tickets", "GET", "/me/tickets")
        return list(answer["tickets"])

    async def _call(
        self, step: str, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Json:
        sent = {**(headers or {}), **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        while True:
            with self._timings.measure(step):
                async with self._http.request(method, self._sale.origin + path, json=body, headers=sent) as answer:
                    document: Json = await answer.json(content_type=None) if answer.status != 204 else {}
            if answer.status < 400:
                return document
            refusal = Refused(step, answer.status, document)
            says_when = "Retry-After" in answer.headers
            self._timings.note_refusal(step, answer.status, refusal.code, says_when=says_when)
            if answer.status not in (429, 503):
                raise refusal
            await asyncio.sleep(refusal.retry_after)
