"""One buyer, from the line to the ticket or to giving up."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from random import Random
from typing import Any

import socketio
from socketio.exceptions import ConnectionError as SocketConnectionError

from tiketi_local.crowd.card_window import GOOD_CARD, REFUSED_CARD, CardWindow
from tiketi_local.crowd.client import BuyerClient, Json, Refused, SaleAddress
from tiketi_local.crowd.live import NAMESPACE, LiveLine
from tiketi_local.crowd.timings import Timings

LINE = "public"
OUT_OF_TIME = frozenset({"admission-expired", "hold-expired", "pay-by-passed"})
"""Problem codes of a buyer who was too slow: nobody's fault on a busy machine."""
ISSUE_POLLS = 240
"""A minute: far more than a message takes."""


class Plan(StrEnum):
    """What a buyer means to do."""

    BUY = "buys"
    LEAVE = "leaves the line"
    LET_EXPIRE = "lets the hold expire"
    BAD_CARD_THEN_GOOD = "card refused, then another"
    BAD_CARD = "card refused, gives up"


class Step(StrEnum):
    """Where a buyer stands."""

    HOME = "at home"
    WAITING = "in line"
    SHOPPING = "admitted"
    HOLDING = "holding seats"
    PAYING = "paying"
    BOUGHT = "has tickets"
    LEFT = "left the line"
    EXPIRED = "let the hold expire"
    REFUSED = "card refused"
    TOO_LATE = "sold out"
    TOO_SLOW = "ran out of time"
    FAILED = "failed"


class Buyer:
    """A client with a plan."""

    def __init__(self, plan: Plan, client: BuyerClient, sale: SaleAddress, window: CardWindow, random: Random) -> None:
        self.plan = plan
        self.client = client
        self.step = Step.HOME
        self.fault = ""
        self.was_admitted = False
        self.seats: list[str] = []
        self._sale = sale
        self._window = window
        self._random = random
        self.live = LiveLine()

    async def go(self, sections: list[str], timings: Timings) -> None:
        """The whole way. A refusal nobody expects is kept as ``fault``."""
        socket = socketio.AsyncClient(logger=False, engineio_logger=False, handle_sigint=False)
        self.live.listen(socket)
        try:
            place = await self.client.join(LINE)
            self.step = Step.WAITING
            with timings.measure("socket"):
                await self._connect(socket, place["receipt"])
            self.step = await self._wait_and_buy(place, sections)
        except Refused as refusal:
            if refusal.code in OUT_OF_TIME:
                self.step = Step.TOO_SLOW
            else:
                self.step, self.fault = Step.FAILED, str(refusal)
        except (SocketConnectionError, OSError) as error:
            self.step, self.fault = Step.FAILED, str(error)
        finally:
            await socket.disconnect()

    async def _connect(self, socket: Any, receipt: str) -> None:
        await socket.connect(
            self._sale.origin,
            transports=["websocket"],
            socketio_path=f"{self._sale.path}/live/",
            namespaces=[NAMESPACE],
            auth=lambda: {"token": self.client.token, "line": LINE, "receipt": receipt},
            wait_timeout=20,
        )

    async def _wait_and_buy(self, place: Json, sections: list[str]) -> Step:
        if self.plan is Plan.LEAVE:
            await asyncio.sleep(self._random.uniform(0.5, 5))
            await self.client.leave(LINE, place["receipt"])
            return Step.LEFT
        admission = await self._claim(place)
        if admission is None:
            return Step.TOO_LATE
        self.step, self.was_admitted = Step.SHOPPING, True
        await asyncio.sleep(self._random.uniform(0.2, 1.5))
        end = await self._shop(admission, sections)
        if end in (Step.TOO_LATE, Step.REFUSED):
            await self.client.leave(LINE, place["receipt"])  # a good neighbour frees the slot
        return end

    async def _shop(self, admission: str, sections: list[str]) -> Step:
        hold = await self._hold(admission, sections)
        if hold is None:
            return Step.TOO_LATE
        self.step = Step.HOLDING
        if self.plan is Plan.LET_EXPIRE:
            return Step.EXPIRED
        await asyncio.sleep(self._random.uniform(0.2, 1.5))
        order = await self.client.order(hold["hold"], admission)
        self.step = Step.PAYING
        return await self._pay(order)

    async def _claim(self, place: Json) -> str | None:
        while await self.live.until_turn():
            answer = await self.client.claim(LINE, place["receipt"])
            if answer["status"] == "admitted":
                return str(answer["pass"])
            await asyncio.sleep(float(answer.get("retryAfter", 1)))
        return None

    async def _hold(self, admission: str, sections: list[str]) -> Json | None:
        """Try section after section, fewer seats each round; None when nothing is left."""
        for quantity in range(self._random.choice((1, 2, 2, 2, 3, 4)), 0, -1):
            for section in self._random.sample(sections, len(sections)):
                try:
                    hold = await self.client.hold(admission, section, quantity)
                except Refused as refusal:
                    if refusal.status != 409:
                        raise
                else:
                    self.seats = list(hold["seats"])
                    return hold
        return None

    async def _pay(self, order: Json) -> Step:
        cards = {Plan.BAD_CARD: [REFUSED_CARD], Plan.BAD_CARD_THEN_GOOD: [REFUSED_CARD, GOOD_CARD]}
        for card in cards.get(self.plan, [GOOD_CARD]):
            attempt = await self.client.begin_payment(order["intent"])
            redirect = await self._window.pay(attempt, card)
            try:
                await self.client.confirm(redirect)
            except Refused as refusal:
                if refusal.status != 402:
                    raise
            else:
                return await self._until_issued(order["order"])
        return Step.REFUSED

    async def _until_issued(self, order: str) -> Step:
        for _ in range(ISSUE_POLLS):
            if await self.client.order_state(order) == "PAID":
                return Step.BOUGHT
            await asyncio.sleep(0.25)
        self.fault = f"order {order} was paid, and no ticket came"
        return Step.FAILED
