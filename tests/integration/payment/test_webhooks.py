"""The vendor's webhooks: hints, kept and answered at once; what they are about is read at the vendor, in a budget."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import REGISTRY
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.process import payment_process
from tests.integration.payment.shop import LOST_ANSWER_CARD, REFUSED_CARD, Json, Placed, Shop, placed, until
from tests.integration.serving import serve_app

from tiketi_local.toss import api
from tiketi_local.toss.simulator import Simulator
from tiketi_services.payment.app import build_app

NEVER = 3600
"""Seconds: the resolver sleeps, so that what is found out is found out because of webhooks."""


@pytest.fixture(scope="module")
async def payment_url(settings: MakeSettings) -> AsyncIterator[str]:
    """Instead of the usual one: a payment that hears webhooks."""
    async with serve_app(build_app(settings(webhook_patience=0.3, webhook_looks_per_second=1000))) as url:
        yield url


@pytest.fixture(autouse=True)
def _webhooks_go_to_payment(shop: Shop) -> None:
    shop.vendor.simulator.webhooks.url = f"{shop.url}/payments/webhooks"
    shop.vendor.simulator.webhooks.minute = 0.02


@pytest.fixture
async def resolver_is_away(rows: asyncpg.Pool) -> AsyncIterator[None]:
    """From now on nothing is due for the resolver."""
    await rows.execute(
        "CREATE OR REPLACE FUNCTION put_off() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.look_at := now() + interval '1 hour'; RETURN NEW; END $$;"
        "CREATE TRIGGER put_off BEFORE UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION put_off()"
    )
    yield
    await rows.execute("DROP TRIGGER put_off ON attempts")


async def _post(shop: Shop, body: bytes, transmission: str | None = None, **headers: str) -> int:
    sent = {"content-type": "application/json"} | headers
    if transmission is not None:
        sent["tosspayments-webhook-transmission-id"] = transmission
        sent["tosspayments-webhook-transmission-retried-count"] = "0"
    async with shop.http.post(f"{shop.url}/payments/webhooks", data=body, headers=sent) as answer:
        return answer.status


def _event(redirect: Json, status: str = "DONE") -> bytes:
    data = {"orderId": redirect["orderId"], "paymentKey": redirect["paymentKey"], "status": status}
    return json.dumps(
        {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-23T10:00:00.12345", "data": data}
    ).encode()


def _count(outcome: str) -> float:
    return REGISTRY.get_sample_value("tiketi_payment_webhooks_total", {"outcome": outcome}) or 0.0


def _look_ups() -> float:
    samples = [
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == "tiketi_payment_vendor_seconds_count" and sample.labels["call"] == "look_up"
    ]
    return sum(samples)


async def _kept(rows: asyncpg.Pool, redirect: Json) -> int:
    query = "SELECT count(*) FROM webhooks JOIN attempts USING (attempt_id) WHERE vendor_order_id = $1"
    return int(await rows.fetchval(query, redirect["orderId"]))


async def _is(shop: Shop, order: Placed, state: str) -> bool:
    return bool((await shop.state(order)).body["attempts"][-1]["state"] == state)


# --- What becomes of them


@pytest.mark.usefixtures("resolver_is_away")
@pytest.mark.parametrize(
    ("fault", "card", "ends"), [("loseAnswers", None, "DONE"), ("failAfterCommit", REFUSED_CARD, "REFUSED")]
)
async def test_a_webhook_ends_an_attempt_whose_answer_was_lost(
    shop: Shop, rows: asyncpg.Pool, fault: str, card: str | None, ends: str
) -> None:
    order = placed()
    redirect = await shop.authenticated(order, card or LOST_ANSWER_CARD)
    await shop.faults(**{fault: 1})
    assert (await shop.confirm(order, redirect)).status == 202
    await until(lambda: _is(shop, order, ends))
    body = await rows.fetchval(
        "SELECT body FROM webhooks JOIN attempts USING (attempt_id) WHERE vendor_order_id = $1", redirect["orderId"]
    )
    assert json.loads(body)["data"]["paymentKey"] == redirect["paymentKey"]


async def test_a_usual_payment_is_not_read_again_because_of_its_webhook(shop: Shop, rows: asyncpg.Pool) -> None:
    before = _look_ups()
    order = placed()
    redirect = await shop.authenticated(order)
    assert (await shop.confirm(order, redirect)).status == 200

    async def is_kept() -> bool:
        return await _kept(rows, redirect) == 1

    await until(is_kept)
    await asyncio.sleep(0.5)
    assert _look_ups() == before


@pytest.mark.parametrize("slow", [0, 1000])
async def test_a_webhook_before_the_confirms_answer_changes_nothing(shop: Shop, slow: int) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(webhooks={"early": True}, beforeAnswer={"min": slow, "max": slow})
    answer = await shop.confirm(order, redirect)
    assert (answer.status, answer.body["status"]) == (200, "paid")
    assert await shop.charged(redirect) == order.amount


@pytest.mark.usefixtures("resolver_is_away")
async def test_a_process_killed_while_confirming_is_made_up_for_within_seconds(
    shop: Shop, settings: MakeSettings
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(beforeAnswer={"min": 30_000, "max": 30_000})
    async with payment_process(settings(resolve_interval=NEVER)) as (process, url):
        confirming = asyncio.create_task(shop.at(url).confirm(order, redirect))

        async def is_charged() -> bool:
            return await shop.charged(redirect) > 0

        await until(is_charged)
        process.kill()
        await asyncio.gather(confirming, return_exceptions=True)
    await shop.faults()
    await until(lambda: _is(shop, order, "DONE"))


@pytest.mark.usefixtures("resolver_is_away")
@pytest.mark.parametrize(
    "webhooks", [{"duplicates": 5}, {"backwards": 2}, {"delay": {"min": 0, "max": 300}}, {"missing": 1}]
)
async def test_doubled_reordered_and_lost_webhooks_end_the_same(shop: Shop, rows: asyncpg.Pool, webhooks: Json) -> None:
    """Charged, answer lost, and cancelled in the vendor's console: the payment's present state counts, not a hint's."""
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(loseAnswers=1, webhooks=webhooks)
    assert (await shop.confirm(order, redirect)).status == 202
    if "backwards" in webhooks or "missing" in webhooks:
        await shop.cancel_behind_our_back(redirect["paymentKey"], order.amount)
        await until(lambda: _is(shop, order, "REFUSED"))
    else:
        await until(lambda: _is(shop, order, "DONE"))
    late = await shop.confirm(order, redirect)
    assert late.status == (402 if "backwards" in webhooks or "missing" in webhooks else 200)


async def test_a_webhook_is_kept_once_however_often_it_comes(shop: Shop, rows: asyncpg.Pool) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    again = _count("again")
    statuses = await asyncio.gather(*(_post(shop, _event(redirect), "whtrans_once") for _ in range(20)))
    assert set(statuses) == {200}
    assert await _kept(rows, redirect) == 1
    assert _count("again") == again + 19
    for _ in range(3):
        assert await _post(shop, _event(redirect)) == 200  # no transmission id: its content stands for it
    assert await _kept(rows, redirect) == 2


async def test_a_late_done_after_a_cancel_does_nothing(shop: Shop, rows: asyncpg.Pool) -> None:
    order = placed()
    redirect = await shop.authenticated(order, REFUSED_CARD)
    assert (await shop.confirm(order, redirect)).status == 402
    looked = _look_ups()
    assert await _post(shop, _event(redirect, "DONE"), "whtrans_late") == 200
    await asyncio.sleep(0.5)
    assert await _is(shop, order, "REFUSED")
    assert _look_ups() == looked, "an attempt that has ended is not looked at"


async def test_old_webhooks_are_forgotten(shop: Shop, settings: MakeSettings, rows: asyncpg.Pool) -> None:
    redirects = [await shop.authenticated(placed()) for _ in range(2)]
    for redirect in redirects:
        assert await _post(shop, _event(redirect), f"whtrans_{uuid4()}") == 200
    await rows.execute(
        "UPDATE webhooks SET received_at = now() - interval '31 days' FROM attempts"
        " WHERE attempts.attempt_id = webhooks.attempt_id AND vendor_order_id = $1",
        redirects[0]["orderId"],
    )

    async def is_forgotten() -> bool:
        return await _kept(rows, redirects[0]) == 0

    async with serve_app(build_app(settings())):
        await until(is_forgotten)
    assert await _kept(rows, redirects[1]) == 1


# --- Budget


async def test_however_many_webhooks_come_one_look_up_is_in_flight(
    shop: Shop, rows: asyncpg.Pool, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two replicas neither a resolver nor a webhooks' worker begins one while another's is under way."""
    in_flight: list[str] = []
    crowds: list[int] = []
    answer_get = api._get

    async def counted(simulator: Simulator, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.get("payment_key") != redirect["paymentKey"]:
            return await answer_get(simulator, request, handler)
        in_flight.append(request.path)
        crowds.append(len(in_flight))
        try:
            return await answer_get(simulator, request, handler)
        finally:
            in_flight.pop()

    order = placed()
    redirect = await shop.authenticated(order)
    monkeypatch.setattr(api, "_get", counted)
    await shop.faults(failBeforeWork=-1, beforeLookUp={"min": 900, "max": 900})
    assert (await shop.confirm(order, redirect)).status == 202
    async with serve_app(build_app(settings(webhook_patience=0.3, webhook_looks_per_second=1000))):
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(_post(shop, _event(redirect), f"whtrans_many_{number}"))
        for number in range(20):
            await _post(shop, _event(redirect), f"whtrans_more_{number}")
            await asyncio.sleep(0.2)
    assert len(crowds) >= 3
    assert max(crowds) == 1
    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(_post(shop, _event(redirect), f"whtrans_flood_{number}"))
    assert 50 <= await _kept(rows, redirect) < 60, "those that come at one moment do not count each other"
    await shop.faults()
    await until(lambda: _is(shop, order, "DONE"), seconds=60)  # the next look-up may be 30 s away


@pytest.mark.usefixtures("resolver_is_away")
async def test_webhooks_make_ten_look_ups_of_an_attempt_and_then_the_resolver_has_it(
    shop: Shop, rows: asyncpg.Pool
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(failBeforeWork=1)
    assert (await shop.confirm(order, redirect)).status == 202
    for number in range(15):
        await _post(shop, _event(redirect), f"whtrans_{order.order}_{number}")
        await asyncio.sleep(0.6)
    query = "SELECT hinted_looks FROM attempts WHERE vendor_order_id = $1"
    assert await rows.fetchval(query, redirect["orderId"]) == 10
    await rows.execute("DROP TRIGGER put_off ON attempts")
    await rows.execute("UPDATE attempts SET look_at = now() WHERE vendor_order_id = $1", redirect["orderId"])
    await rows.execute("CREATE TRIGGER put_off BEFORE UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION put_off()")
    await until(lambda: _is(shop, order, "DONE"))


# --- Bad ones


async def test_forged_and_unknown_webhooks_are_answered_200_and_kept_nowhere(shop: Shop, rows: asyncpg.Pool) -> None:
    before, kept = _count("not-ours"), await rows.fetchval("SELECT count(*) FROM webhooks")
    bodies = [
        {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "tk_" + "a" * 26, "paymentKey": "x"}},
        {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "somebody-elses", "paymentKey": "x"}},
        {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "a\u0000b"}},
        {"eventType": "payout.changed", "data": {}},
        {"createdAt": "2022-01-01T00:00:00", "secret": "ps_x", "status": "DONE", "orderId": "x", "transactionKey": "y"},
        {},
    ]
    for body in bodies:
        assert await _post(shop, json.dumps(body).encode(), f"whtrans_{uuid4()}") == 200
    assert _count("not-ours") == before + len(bodies)
    assert await rows.fetchval("SELECT count(*) FROM webhooks") == kept


async def test_a_forged_done_pays_nothing(shop: Shop) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    assert await _post(shop, _event(redirect), f"whtrans_{uuid4()}") == 200
    await asyncio.sleep(0.5)
    state = (await shop.state(order)).body
    assert (state["state"], state["attempts"][0]["state"], state["outcome"]) == ("OPEN", "READY", None)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed-webhook"),
        (b"{", 400, "malformed-webhook"),
        (b"[]", 400, "malformed-webhook"),
        (b"\xff\xfe", 400, "malformed-webhook"),
        (b'{"data": []}', 400, "malformed-webhook"),
        (b'{"data": {"orderId": 7}}', 400, "malformed-webhook"),
        (b'{"data":' * 1500 + b"1" + b"}" * 1500, 400, "malformed-webhook"),
        (b'{"data": {"orderId": "' + b"x" * 20_000 + b'"}}', 413, "body-too-large"),
        (b'{"data": {"orderId": "' + b"x" * 200_000 + b'"}}', 413, "body-too-large"),
    ],
)
async def test_malformed_and_oversized_webhooks_are_refused_and_counted(
    shop: Shop, body: bytes, status: int, code: str
) -> None:
    before = _count("malformed")
    async with shop.http.post(f"{shop.url}/payments/webhooks", data=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert _count("malformed") == before + 1


async def test_odd_headers_do_no_harm(shop: Shop, rows: asyncpg.Pool) -> None:
    redirect = await shop.authenticated(placed())
    for number, transmission in enumerate(("x" * 5000, "ünïcode", " ", "a b")):
        assert await _post(shop, _event(redirect, str(number)), transmission) == 200
    odd = {"tosspayments-webhook-transmission-retried-count": "-99999999999999999999"}
    assert await _post(shop, _event(redirect, "odd"), **odd) == 200
    assert await _kept(rows, redirect) == 5


async def test_they_are_answered_within_milliseconds(shop: Shop) -> None:
    redirect = await shop.authenticated(placed())
    took = []
    for number in range(40):
        started = time.perf_counter()
        assert await _post(shop, _event(redirect), f"whtrans_fast_{uuid4()}_{number}") == 200
        took.append(time.perf_counter() - started)
    assert sorted(took)[20] < 0.05
