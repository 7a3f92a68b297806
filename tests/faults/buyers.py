"""Scripted buyers: they know nothing but the public API, try again as a page would, and write down every answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import aiohttp
from tests.faults.journal import Journal
from tests.faults.stage import EVENT, HOLD, LIMIT, Stage
from tests.integration.toss.server import CLIENT_KEY

Json = dict[str, Any]

GOOD, REFUSED, ANSWER_LOST, ERROR_AFTER = ("4000-0000-0000-" + end for end in ("0077", "0002", "0119", "0127"))
TIMEOUT = aiohttp.ClientTimeout(total=4)
PATIENCE = 25.0
"""Seconds a visit lasts at most."""
AT_ONCE = 6
"""Identical requests that a stampede releases together."""
WINDOW = 4
"""Seats that everybody wants, times the number of buyers: the first so many that nobody was seen to have."""


class Plan(StrEnum):
    """What a buyer means to do."""

    BUY = "buys"
    BAD_CARD = "card refused, then another"
    TROUBLED_CARD = "card whose answer gets lost"
    TWO_WINDOWS = "two payments at once"
    CANCEL = "orders and gives up"
    WALK_AWAY = "orders and never pays"
    DAWDLE = "holds, and orders when it is too late"
    RELEASE = "holds and gives back"
    GREEDY = "holds more than the limit, all at once"
    STAMPEDE = "sends everything many times at once"
    GIVE_BACK = "pays and gives tickets back"
    GO = "pays and comes to the gate"
    BOTH = "gives tickets back while somebody goes in with them"


PLANS: Mapping[Plan, int] = {
    Plan.BUY: 26,
    Plan.BAD_CARD: 6,
    Plan.TROUBLED_CARD: 8,
    Plan.TWO_WINDOWS: 8,
    Plan.CANCEL: 6,
    Plan.WALK_AWAY: 5,
    Plan.DAWDLE: 5,
    Plan.RELEASE: 5,
    Plan.GREEDY: 5,
    Plan.STAMPEDE: 10,
    Plan.GIVE_BACK: 7,
    Plan.GO: 5,
    Plan.BOTH: 4,
}
"""Of a hundred buyers."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a request ended for who sent it."""

    how: str
    status: int = 0
    body: Json = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        return self.how == "ok"

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class House:
    """What buyers have seen of the seats, all together: they crowd where seats are still free."""

    def __init__(self, sections: Mapping[str, tuple[int, int]], buyers: int) -> None:
        self._seats = [
            f"{name}-{row:02d}-{seat:02d}"
            for name, (rows, seats) in sections.items()
            for row in range(1, rows + 1)
            for seat in range(1, seats + 1)
        ]
        self._first, self._window = 0, WINDOW * buyers
        self._gone: set[str] = set()

    def wanted(self, chance: Random, number: int) -> list[str]:
        """Seats next to each other, out of those that everybody wants."""
        while self._first < len(self._seats) - self._window - LIMIT and self._seats[self._first] in self._gone:
            self._first += 1
        start = self._first + chance.randrange(self._window)
        return self._seats[start : start + number]

    @property
    def section(self) -> str:
        """The section that is being sold."""
        return self._seats[self._first].partition("-")[0]

    def gone(self, seats: list[str]) -> None:
        """Sold, as somebody was told."""
        self._gone.update(seats)


class Buyer:
    """One visit: one account, one plan."""

    def __init__(self, stage: Stage, journal: Journal, house: House, chance: Random) -> None:
        self._stage, self._journal, self._house, self._chance = stage, journal, house, chance
        self.id = str(UUID(int=chance.getrandbits(128), version=4))
        self.plan = chance.choices(list(PLANS), list(PLANS.values()))[0]
        self._headers = {"authorization": f"Bearer {stage.token(self.id)}"}
        self._ends_at = time.monotonic() + PATIENCE
        self._sent = 0
        self._events = f"{stage.ticket_url}/events/{EVENT}"

    async def visit(self) -> None:
        """From the line to the ticket, or as far as it goes."""
        tiketi_pass = await self._admitted()
        if tiketi_pass is None:
            return
        hold = await self._hold(tiketi_pass)
        if hold is None or self.plan is Plan.GREEDY:
            return
        if self.plan is Plan.RELEASE:
            await self._send("release", "DELETE", f"{self._events}/holds/{hold['hold']}", hold=hold["hold"])
            return
        if self.plan is Plan.DAWDLE:
            await asyncio.sleep(HOLD.total_seconds() + self._chance.uniform(-0.5, 1))
        order = await self._order(hold)
        if order is None or self.plan is Plan.WALK_AWAY:
            return
        if self.plan is Plan.CANCEL:
            await self._insist("cancel", f"{self._stage.ticket_url}/orders/{order['order']}/cancel", {}, order)
            return
        if await self._pay(order):
            paid = await self._watch(order)
            if paid is not None and paid["state"] == "PAID":
                await self._use(paid)

    # --- The line

    async def _admitted(self) -> str | None:
        queue, receipt = f"{self._events}/queue/public", ""
        while self._has_time():
            if receipt:
                told = await self._send("claim", "POST", f"{queue}/claim", {"receipt": receipt})
                if told.body.get("status") == "admitted":
                    return str(told.body["pass"])
                if told.code == "stale-receipt":  # the line was built anew, without this place
                    receipt = ""
            else:
                told = await self._send("join", "POST", f"{queue}/join", {})
                receipt = str(told.body.get("receipt", ""))
                if receipt:
                    continue
            await self._pause(told)
        return None

    # --- Seats

    async def _hold(self, tiketi_pass: str) -> Json | None:
        headers = {"tiketi-pass": tiketi_pass}
        while self._has_time():
            if self._chance.random() < 0.2:
                body: Json = {"section": self._house.section, "quantity": self._chance.randint(1, 3)}
            else:
                body = {"seats": self._house.wanted(self._chance, self._chance.randint(1, 3))}
            url = f"{self._events}/holds"
            if self.plan is Plan.GREEDY:
                bodies = [{"seats": self._house.wanted(self._chance, 3)} for _ in range(AT_ONCE)]
                answers = await asyncio.gather(*(self._send("hold", "POST", url, each, headers) for each in bodies))
            elif self.plan is Plan.STAMPEDE:
                answers = await self._at_once(lambda: self._send("hold", "POST", url, body, headers))  # noqa: B023
            else:
                answers = [await self._send("hold", "POST", url, body, headers)]
            for told in answers:
                if told.is_ok:
                    return told.body
            self._house.gone([seat for told in answers for seat in told.body.get("taken", [])][:1])
            if answers[-1].code in ("limit-reached", "not-admitted", "admission-expired"):
                return None
            await self._pause(answers[-1])
        return None

    # --- Order

    async def _order(self, hold: Json) -> Json | None:
        key = f"{self.id}-{hold['hold']}"
        headers = {"idempotency-key": key}
        url, body = f"{self._events}/orders", {"hold": hold["hold"]}
        while self._has_time():
            if self.plan is Plan.STAMPEDE:
                answers = await self._at_once(lambda: self._send("order", "POST", url, body, headers, key=key))
            else:
                answers = [await self._send("order", "POST", url, body, headers, key=key)]
            for told in answers:
                if told.is_ok:
                    if self._chance.random() < 0.3:  # and again: the same answer is owed for ever
                        await self._send("order", "POST", url, body, headers, key=key)
                    return told.body
            if answers[-1].how == "fail" and answers[-1].code != "request-in-flight":
                return None
            await self._pause(answers[-1])
        return None

    # --- Payment

    async def _pay(self, order: Json) -> bool:
        """Whether an attempt was made whose end may be that the order is paid."""
        cards = [GOOD]
        if self.plan is Plan.BAD_CARD:
            cards = [REFUSED, GOOD]
        elif self.plan is Plan.TROUBLED_CARD:
            cards = [self._chance.choice([ANSWER_LOST, ERROR_AFTER])]
        elif self.plan is Plan.TWO_WINDOWS:
            redirects = [await self._window(order, GOOD) for _ in range(2)]
            at_once = [self._confirm(order, redirect) for redirect in redirects if redirect is not None]
            return any(await asyncio.gather(*at_once))
        for card in cards:
            redirect = await self._window(order, card)
            if redirect is not None and await self._confirm(order, redirect):
                return True
        return False

    async def _window(self, order: Json, card: str) -> Json | None:
        told = await self._insist(
            "attempt", f"{self._stage.payment_url}/payments/attempts", {"intent": order["intent"]}, order
        )
        if not told.is_ok:
            return None
        attempt = told.body
        window = {
            "clientKey": CLIENT_KEY,
            "orderId": attempt["vendorOrderId"],
            "amount": attempt["amount"],
            "currency": attempt["currency"],
            "orderName": attempt["orderName"],
            "successUrl": "https://shop.example/paid",
            "failUrl": "https://shop.example/failed",
        }
        http, url = self._stage.http, self._stage.vendor.url
        async with http.post(f"{url}/checkout", json=window, raise_for_status=True) as answer:
            pay_url = (await answer.json())["payUrl"]
        async with http.post(pay_url, json={"card": card}, allow_redirects=False) as answer:
            query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        return {"paymentKey": query["paymentKey"], "orderId": query["orderId"], "amount": int(query["amount"])}

    async def _confirm(self, order: Json, redirect: Json) -> bool:
        """Send it until it is decided, or for as long as the visit lasts."""
        url = f"{self._stage.payment_url}/payments/confirm"
        facts = {"order": order["order"], "vendorOrder": redirect["orderId"]}
        while self._has_time():
            if self.plan is Plan.STAMPEDE:
                confirms = self._at_once(lambda: self._send("confirm", "POST", url, redirect, **facts))
                answers, _ = await asyncio.gather(confirms, self._hear_of_it(redirect))
            else:
                answers = [await self._send("confirm", "POST", url, redirect, **facts)]
            told = next((each for each in answers if each.is_ok), answers[-1])
            if told.is_ok:
                if self._chance.random() < 0.5:
                    await self._insist(
                        "outcome",
                        f"{self._stage.ticket_url}/orders/{order['order']}/outcome",
                        {"outcome": told.body["outcome"]},
                        order,
                    )
                return True
            if told.how == "fail" and told.code != "attempt-under-way":
                return False
            await self._pause(told)
        return True

    async def _hear_of_it(self, redirect: Json) -> None:
        """The same webhook many times at once, while the confirms are under way; it may be of anybody."""
        transmission = f"storm_{redirect['orderId']}"
        body = {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-01-01T00:00:00.000000", "data": redirect}
        headers = {
            "tosspayments-webhook-transmission-id": transmission,
            "tosspayments-webhook-transmission-retried-count": "0",
        }
        url = f"{self._stage.payment_url}/payments/webhooks"
        await self._at_once(lambda: self._send("webhook", "POST", url, body, headers, transmission=transmission))

    async def _watch(self, order: Json) -> Json | None:
        """Until it has ended, as far as this visit sees."""
        while self._has_time():
            told = await self._send(
                "look", "GET", f"{self._stage.ticket_url}/orders/{order['order']}", order=order["order"]
            )
            if told.is_ok and told.body["state"] != "OPEN":
                self._house.gone(list(order["seats"]))
                return told.body
            await asyncio.sleep(0.4)
        return None

    # --- Tickets

    async def _use(self, order: Json) -> None:
        """What becomes of tickets that were paid."""
        tickets = [each["ticket"] for each in order["tickets"]]
        if self.plan is Plan.GIVE_BACK:
            some = tickets[: self._chance.randint(1, len(tickets))]
            await self._give_back(order, some if self._chance.random() < 0.5 else None)
            if self._chance.random() < 0.5:  # as if it had never been
                await self._give_back(order, some)
        elif self.plan is Plan.GO:
            await self._go_in(order, tickets[0])
        elif self.plan is Plan.BOTH:
            await asyncio.gather(self._give_back(order, tickets[:1]), self._go_in(order, tickets[0]))
        elif self.plan is Plan.STAMPEDE:
            await self._go_in(order, tickets[0])
            await self._give_back(order, tickets[1:] or tickets)

    async def _give_back(self, order: Json, tickets: list[str] | None) -> None:
        """Some tickets, or all, sent until there is an answer; often by several clicks at once."""
        self._sent += 1
        key = f"{self.id}-back-{self._sent}"
        url, headers = f"{self._stage.ticket_url}/orders/{order['order']}/refunds", {"idempotency-key": key}
        body: Json = {"all": True} if tickets is None else {"tickets": tickets}
        facts = {"order": order["order"], "key": key, "wanted": tickets or "all"}
        while self._has_time():
            if self.plan in (Plan.STAMPEDE, Plan.BOTH):
                answers = await self._at_once(lambda: self._send("refund", "POST", url, body, headers, **facts))
            else:
                answers = [await self._send("refund", "POST", url, body, headers, **facts)]
            if any(told.is_ok for told in answers):
                await self._send("refund", "POST", url, body, headers, **facts)
                return
            if answers[-1].how == "fail" and answers[-1].code != "request-in-flight":
                return
            await self._pause(answers[-1])

    async def _go_in(self, order: Json, ticket: str) -> None:
        """Two gates scan the ticket at once, each of them several times."""
        code = await self._code(ticket)
        if code is None:
            return
        headers = {"authorization": f"Bearer {self._stage.token('gate', is_gate=True)}"}
        url, body = f"{self._events}/check-ins", {"code": code, "gate": "North"}

        async def scan(key: str) -> None:
            facts, with_key = {"order": order["order"], "ticket": ticket, "key": key}, {"idempotency-key": key}
            while self._has_time():
                answers = await self._at_once(
                    lambda: self._send("scan", "POST", url, body, headers | with_key, **facts), AT_ONCE // 2
                )
                if any(told.how != "unknown" for told in answers):
                    return
                await self._pause(answers[-1])

        await asyncio.gather(*(scan(f"{ticket}-{gate}") for gate in range(2)))

    async def _code(self, ticket: str) -> str | None:
        """What the ticket's QR code shows; None if it is void by now."""
        while self._has_time():
            told = await self._send("mine", "GET", f"{self._stage.ticket_url}/me/tickets")
            if told.is_ok:
                return next((each["code"] for each in told.body["tickets"] if each["ticket"] == ticket), None)
            await self._pause(told)
        return None

    # --- Requests

    async def _insist(self, what: str, url: str, body: Json, order: Json) -> Told:
        """Send it again until there is an answer."""
        while True:
            told = await self._send(what, "POST", url, body, order=order["order"])
            if told.how != "unknown" or not self._has_time():
                return told
            await self._pause(told)

    async def _at_once(self, one: Callable[[], Any], times: int = AT_ONCE) -> list[Told]:
        gate = asyncio.Event()

        async def wait() -> Told:
            await gate.wait()
            told: Told = await one()
            return told

        waiting = [asyncio.create_task(wait()) for _ in range(times)]
        await asyncio.sleep(0)
        gate.set()
        return list(await asyncio.gather(*waiting))

    async def _send(
        self,
        what: str,
        method: str,
        url: str,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> Told:
        number = self._journal.invoke(what, buyer=self.id, **facts, **_of_interest(body or {}))
        told = await self._answer(method, url, body, {**self._headers, **(headers or {})})
        seen = _of_interest(told.body) | {"status": told.status, **({"code": told.code} if told.code else {})}
        self._journal.end(number, what, told.how, buyer=self.id, **{**facts, **seen})
        return told

    async def _answer(self, method: str, url: str, body: Json | None, headers: Mapping[str, str]) -> Told:
        try:
            async with self._stage.http.request(method, url, json=body, headers=headers, timeout=TIMEOUT) as answer:
                document: Json = json.loads(await answer.text() or "{}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Told("unknown", 0, {"code": type(error).__name__})
        if answer.status >= 500 or (answer.status == 202 and document.get("status") == "unknown"):
            return Told("unknown", answer.status, document)
        return Told("ok" if answer.status < 300 else "fail", answer.status, document)

    def _has_time(self) -> bool:
        return time.monotonic() < self._ends_at

    async def _pause(self, told: Told) -> None:
        asked = float(told.body.get("retryAfter", 0.2) or 0.2)
        await asyncio.sleep(min(asked, 1.0) * self._chance.uniform(0.5, 1.5))


_NAMES = ("hold", "order", "seats", "until", "amount", "state", "paymentKey", "orderId", "tickets", "status", "refund")


def _of_interest(body: Json) -> Json:
    """What a check may need of a body: names, never tokens."""
    found = {name: body[name] for name in _NAMES if name in body}
    if "status" in found:
        found["said"] = found.pop("status")
    if "tickets" in found:
        found["tickets"] = [each["ticket"] if isinstance(each, dict) else each for each in found["tickets"]]
    return found


async def crowd(stage: Stage, journal: Journal, seed: int, size: int, until: Callable[[], bool]) -> int:
    """``size`` visits at a time, one after the other, until it is time to go; returns how many there were."""
    house, visits = House(stage.sections, size), 0

    async def one(lane: int) -> None:
        nonlocal visits
        chance = Random(f"{seed} {lane}")
        while not until():
            visits += 1
            await Buyer(stage, journal, house, chance).visit()

    async with asyncio.TaskGroup() as group:
        for lane in range(size):
            group.create_task(one(lane))
    return visits
