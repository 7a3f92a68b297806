"""Webhooks as the documents describe them, and everything that may happen to them on the way."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aiohttp import web
from tests.integration.toss.merchant import Json, Merchant

REFUSED_CARD = "4000-0000-0000-0002"


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: Json

    @property
    def transmission(self) -> str:
        return self.headers["tosspayments-webhook-transmission-id"]

    @property
    def status(self) -> str:
        return str(self.body["data"]["status"])


@dataclass
class Receiver:
    """A merchant's address for webhooks; ``answers``: statuses to answer, then 200."""

    url: str = ""
    heard: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        headers = {name.lower(): text for name, text in request.headers.items()}
        self.heard.append(Received(headers, json.loads(await request.read())))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def until(self, count: int) -> list[Received]:
        async with asyncio.timeout(10):
            while len(self.heard) < count:  # noqa: ASYNC110 (the simulator brings it about)
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # one too many would come now
        assert len(self.heard) == count
        return self.heard


@pytest.fixture
async def receiver(merchant: Merchant) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    console = {"url": receiver.url, "secondsPerMinute": 0.005}
    async with merchant.http.post(f"{merchant.vendor.url}/__sim/webhooks", json=console, raise_for_status=True):
        pass
    yield receiver
    await runner.cleanup()


async def _states(merchant: Merchant) -> list[str]:
    async with merchant.http.get(f"{merchant.vendor.url}/__sim/webhooks") as answer:
        return [each["state"] for each in (await answer.json())["transmissions"]]


async def test_an_approval_is_told_with_the_documented_headers_and_body(merchant: Merchant, receiver: Receiver) -> None:
    key = await merchant.paid()
    (heard,) = await receiver.until(1)
    assert heard.transmission.startswith("whtrans_")
    assert heard.headers["tosspayments-webhook-transmission-time"].endswith("+09:00")
    assert heard.headers["tosspayments-webhook-transmission-retried-count"] == "0"
    assert "tosspayments-webhook-signature" not in heard.headers
    assert sorted(heard.body) == ["createdAt", "data", "eventType"]
    assert heard.body["eventType"] == "PAYMENT_STATUS_CHANGED"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{5,6}", heard.body["createdAt"])
    looked_up = (await merchant.look_up(key)).body
    links = {"receipt", "checkout"}
    assert {n: v for n, v in heard.body["data"].items() if n not in links} == {
        n: v for n, v in looked_up.items() if n not in links
    }
    assert await _states(merchant) == ["delivered"]


async def test_every_end_of_a_payment_is_told_and_its_beginnings_are_not(
    merchant: Merchant, receiver: Receiver
) -> None:
    body = await merchant.authenticated()
    late = await merchant.authenticated(REFUSED_CARD)
    assert receiver.heard == []
    await merchant.confirm(late)
    key = await merchant.paid()
    await receiver.until(2)
    await merchant.cancel(key, cancelAmount=1)
    await receiver.until(3)
    await merchant.cancel(key)
    await receiver.until(4)
    merchant.vendor.clock.forward(timedelta(minutes=11))
    heard = await receiver.until(5)
    assert [each.status for each in heard] == ["ABORTED", "DONE", "PARTIAL_CANCELED", "PARTIAL_CANCELED", "EXPIRED"]
    assert heard[-1].body["data"]["paymentKey"] == body["paymentKey"]


async def test_a_webhook_not_answered_200_is_sent_seven_times_more(merchant: Merchant, receiver: Receiver) -> None:
    receiver.answers = [500, 204, 302, 404, 500, 500, 500, 500, 500]
    async with merchant.http.post(
        f"{merchant.vendor.url}/__sim/webhooks", json={"url": receiver.url, "secondsPerMinute": 0.001}
    ):
        pass
    await merchant.paid()
    heard = await receiver.until(8)
    assert len({each.transmission for each in heard}) == 1
    retried = [each.headers["tosspayments-webhook-transmission-retried-count"] for each in heard]
    assert retried == [str(number) for number in range(8)]
    assert await _states(merchant) == ["given-up"]


async def test_a_resend_by_hand_ends_the_schedule(merchant: Merchant, receiver: Receiver) -> None:
    receiver.answers = [500]
    async with merchant.http.post(
        f"{merchant.vendor.url}/__sim/webhooks", json={"url": receiver.url, "secondsPerMinute": 0.3}
    ):
        pass
    await merchant.paid()
    (heard,) = await receiver.until(1)
    again = f"{merchant.vendor.url}/__sim/webhooks/{heard.transmission}/resend"
    async with merchant.http.post(again) as answer:
        assert answer.status == 202
    await receiver.until(2)
    await asyncio.sleep(0.4)
    assert len(receiver.heard) == 2
    async with merchant.http.post(f"{merchant.vendor.url}/__sim/webhooks/nothing/resend") as answer:
        assert answer.status == 404


async def test_webhooks_may_be_missing_doubled_and_reordered(merchant: Merchant, receiver: Receiver) -> None:
    await merchant.faults(webhooks={"missing": 1})
    await merchant.paid()
    await merchant.faults(webhooks={"duplicates": 2})
    await merchant.paid()
    heard = await receiver.until(3)
    assert len({each.transmission for each in heard}) == 1
    receiver.heard.clear()
    await merchant.faults(webhooks={"backwards": 2})
    await merchant.cancel(await merchant.paid())
    assert [each.status for each in await receiver.until(2)] == ["CANCELED", "DONE"]
    assert await _states(merchant) == ["missing", "delivered", "delivered", "delivered"]


async def test_a_webhook_may_come_before_the_answer(merchant: Merchant, receiver: Receiver) -> None:
    body = await merchant.authenticated()
    await merchant.faults(webhooks={"early": True}, beforeAnswer={"min": 300, "max": 300})
    confirming = asyncio.create_task(merchant.confirm(body))
    await receiver.until(1)
    assert not confirming.done()
    assert (await confirming).status == 200


async def test_any_documented_body_can_be_sent(merchant: Merchant, receiver: Receiver) -> None:
    deposit = {
        "createdAt": "2022-01-01T00:00:00.000000",
        "secret": "ps_Z61JOxRQVEabPBz6pzavVW0X9bAq",
        "orderId": "IamOrderId-3",
        "status": "DONE",
        "transactionKey": "9FF15E1A29D0E77C218F57262BFA4986",
    }
    async with merchant.http.post(f"{merchant.vendor.url}/__sim/webhooks/send", json=deposit) as answer:
        assert answer.status == 200
    (heard,) = await receiver.until(1)
    assert heard.body == deposit
