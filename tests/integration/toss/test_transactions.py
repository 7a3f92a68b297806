"""The transactions list, and the faults that only a simulator can have."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from tests.integration.toss.merchant import Json, Merchant, Reply

KST = timedelta(hours=9)


async def _list(merchant: Merchant, **query: object) -> Reply:
    now = datetime.now(UTC) + KST
    values = {
        "startDate": f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}",
        "endDate": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}",
    } | query
    path = "/v1/transactions?" + "&".join(f"{name}={value}" for name, value in values.items() if value is not None)
    return await merchant.call("GET", path)


async def _rows(merchant: Merchant, **query: object) -> list[Json]:
    reply = await _list(merchant, **query)
    assert reply.status == 200, reply.body
    return list(reply.body)  # type: ignore[arg-type]


async def test_charges_and_cancels_are_rows_and_what_was_never_charged_is_none(merchant: Merchant) -> None:
    whole, parts = await merchant.paid(), await merchant.paid()
    await merchant.confirm(await merchant.authenticated("4000-0000-0000-0002"))
    await merchant.authenticated()
    await merchant.cancel(whole)
    await merchant.cancel(parts, cancelAmount=20_000)
    rows = await _rows(merchant)
    found = sorted((row["paymentKey"], row["status"], row["amount"]) for row in rows)
    assert found == sorted(
        [
            (whole, "DONE", 50_000),
            (whole, "CANCELED", 50_000),
            (parts, "DONE", 50_000),
            (parts, "PARTIAL_CANCELED", 20_000),
        ]
    )
    cancel = next(row for row in rows if row["status"] == "CANCELED")
    assert cancel["transactionKey"] == (await merchant.look_up(whole)).body["lastTransactionKey"]
    assert cancel["transactionAt"].endswith("+09:00")


async def test_pages_follow_each_other_without_gap_or_overlap(merchant: Merchant) -> None:
    keys = [await merchant.paid() for _ in range(5)]
    seen: list[str] = []
    after = None
    while page := await _rows(merchant, limit=2, startingAfter=after):
        assert len(page) <= 2
        seen += [row["paymentKey"] for row in page]
        after = page[-1]["transactionKey"]
    assert sorted(seen) == sorted(keys)


async def test_only_the_asked_time_is_listed(merchant: Merchant) -> None:
    await merchant.paid()
    merchant.vendor.clock.forward(timedelta(days=1))
    await merchant.paid()
    assert len(await _rows(merchant)) == 1


@pytest.mark.parametrize("query", [{"startDate": None}, {"endDate": "x"}, {"limit": 5001}, {"startingAfter": "x"}])
async def test_a_list_that_cannot_be_is_refused(merchant: Merchant, query: Json) -> None:
    reply = await _list(merchant, **query)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")


async def test_a_body_may_come_slowly_and_whole(merchant: Merchant) -> None:
    body = await merchant.authenticated()
    await merchant.faults(slowBody=300)
    started = time.perf_counter()
    reply = await merchant.confirm(body, idempotency_key="slow")
    assert reply.body["status"] == "DONE"
    assert time.perf_counter() - started > 0.3
    assert reply.headers["idempotency-key"] == "slow"
    await merchant.faults()
    assert (await merchant.confirm(body, idempotency_key="slow")).raw == reply.raw


async def test_too_many_calls_a_minute_are_answered_429(merchant: Merchant) -> None:
    await merchant.faults(requestsPerMinute=3)
    replies = [await merchant.look_up("x") for _ in range(5)]
    assert sorted({reply.status for reply in replies}) == [404, 429]
    await merchant.faults()
    assert (await merchant.look_up("x")).status == 404


async def test_look_ups_may_fail_and_be_slow(merchant: Merchant) -> None:
    key = await merchant.paid()
    await merchant.faults(failLookUps=1, beforeLookUp={"min": 100, "max": 100})
    started = time.perf_counter()
    assert (await merchant.look_up(key)).status == 500
    assert (await merchant.look_up(key)).status == 200
    assert time.perf_counter() - started > 0.2


@pytest.mark.parametrize(
    ("fault", "kept"), [("tooManyRequests", 0), ("failBeforeWork", 0), ("failAfterCommit", 50_000)]
)
async def test_the_ledger_knows_whether_an_error_charged(merchant: Merchant, fault: str, kept: int) -> None:
    body = await merchant.authenticated()
    await merchant.faults(**{fault: 1})
    assert (await merchant.confirm(body)).status in (429, 500)
    async with merchant.http.get(f"{merchant.vendor.url}/__sim/ledger") as answer:
        assert (await answer.json())["totals"]["kept"] == kept


async def test_a_cancel_whose_answer_is_lost_has_happened(merchant: Merchant) -> None:
    key = await merchant.paid()
    await merchant.faults(loseAnswers=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await merchant.cancel(key)
    assert (await merchant.look_up(key)).body["balanceAmount"] == 0
