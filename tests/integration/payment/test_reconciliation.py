"""Our books against the vendor's transactions list, a day at a time; and what became of one attempt, asked by hand."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.process import environment
from tests.integration.payment.shop import LOST_ANSWER_CARD, REFUSED_CARD, Json, Placed, Shop, placed, until
from tests.integration.serving import serve_app

from tiketi_runtime import postgres
from tiketi_runtime.security import TokenSigner
from tiketi_services.payment.app import build_app, build_cashier, toss_settings
from tiketi_services.payment.books import Action, Kind, day_of
from tiketi_services.payment.reconciliation import Reconciliation, Report
from tiketi_services.payment.repository import Books
from tiketi_services.payment.resolver import Resolver
from tiketi_services.payment.settings import PaymentSettings
from tiketi_services.payment.toss import AnswerLost, TossClient


def _today() -> date:
    return day_of(datetime.now(UTC))


@pytest.fixture
async def reconciliation(settings: MakeSettings, shop: Shop) -> AsyncIterator[Reconciliation]:
    """One beside the running service, as the command is."""
    values = settings()
    signer = TokenSigner.from_pem_file(values.signing_key_file, "tiketi-payment")
    async with await postgres.connect(values.database_url, 2) as pool, TossClient(toss_settings(values)) as toss:
        cashier = build_cashier(values, pool, toss, signer)
        yield Reconciliation(cashier, Books(pool), mends=True, after=timedelta(hours=1))


def _of(report: Report, redirect: Json) -> list[tuple[Kind, Action]]:
    return [
        (finding.kind, action) for finding, action in report.findings if finding.payment_key == redirect["paymentKey"]
    ]


async def _paid(shop: Shop, amount: int = 132_000) -> tuple[Placed, Json]:
    order = placed(amount=amount)
    redirect = await shop.authenticated(order)
    assert (await shop.confirm(order, redirect)).status == 200
    return order, redirect


# --- A day


async def test_a_day_of_everything_that_may_happen_agrees(shop: Shop, reconciliation: Reconciliation) -> None:
    """Paid, refused, lost and found, left, cancelled instead: nothing of it is a disagreement."""
    redirects = [(await _paid(shop))[1] for _ in range(3)]
    refused = placed()
    redirects.append(await shop.authenticated(refused, REFUSED_CARD))
    await shop.confirm(refused, redirects[-1])
    lost = placed()
    redirects.append(await shop.authenticated(lost, LOST_ANSWER_CARD))
    await shop.confirm(lost, redirects[-1])
    redirects.append(await shop.authenticated(placed()))
    report = await reconciliation.run(_today())
    assert report.transactions >= 4
    assert [_of(report, redirect) for redirect in redirects] == [[]] * len(redirects)


async def test_a_payment_that_names_no_attempt_of_ours_is_recorded_and_left_alone(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool
) -> None:
    """It may belong to another shop of the same merchant: nobody but a person can know."""
    attempt = {"vendorOrderId": "tk_" + "z" * 26, "amount": 7000, "currency": "KRW", "orderName": "x"}
    redirect = await shop.pay(attempt)
    await shop.charge_behind_our_back(redirect)
    before = _found(Kind.UNKNOWN_PAYMENT)
    for _ in range(2):
        assert _of(await reconciliation.run(_today()), redirect) == [(Kind.UNKNOWN_PAYMENT, Action.RECORDED)]
    assert _found(Kind.UNKNOWN_PAYMENT) == before + 1, "told once"
    row = await rows.fetchrow("SELECT * FROM findings WHERE payment_key = $1", redirect["paymentKey"])
    assert (row["day"], row["vendor_order_id"], row["attempt_id"]) == (_today(), attempt["vendorOrderId"], None)
    assert row["told"] == "vendor: DONE 7000 KRW, keeps 7000; ours: nothing"
    assert await shop.charged(redirect) == 7000
    await shop.cancel_behind_our_back(redirect["paymentKey"], 7000)  # a person has decided


def _found(kind: Kind) -> float:
    return REGISTRY.get_sample_value("tiketi_payment_findings_total", {"kind": kind.value}) or 0.0


async def test_a_charge_under_an_order_id_of_ours_that_nobody_asked_for_is_cancelled_in_full(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.charge_behind_our_back(redirect)
    assert _of(await reconciliation.run(_today()), redirect) == [(Kind.STRAY_CHARGE, Action.CANCELLED)]

    async def is_given_back() -> bool:
        query = "SELECT state FROM cancellations WHERE payment_key = $1"
        return bool(await rows.fetchval(query, redirect["paymentKey"]) == "DONE")

    await until(is_given_back)
    assert await shop.charged(redirect) == 0
    assert _of(await reconciliation.run(_today()), redirect) == []
    assert (
        await rows.fetchval("SELECT gone_at FROM findings WHERE payment_key = $1", redirect["paymentKey"]) is not None
    )
    assert (await shop.confirm(order, await shop.authenticated(order))).status == 200


async def test_record_only_mends_nothing(shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool) -> None:
    redirect = await shop.authenticated(placed())
    await shop.charge_behind_our_back(redirect)
    careful = Reconciliation(reconciliation.cashier, reconciliation.books, mends=False, after=timedelta(0))
    assert _of(await careful.run(_today()), redirect) == [(Kind.STRAY_CHARGE, Action.RECORDED)]
    assert await rows.fetchval("SELECT 1 FROM cancellations WHERE payment_key = $1", redirect["paymentKey"]) is None
    await shop.cancel_behind_our_back(redirect["paymentKey"], 132_000)


@pytest.mark.parametrize(("order_state", "ends"), [("OPEN", "PAID"), ("CLOSED", "CLOSED")])
async def test_a_charge_of_an_attempt_that_ended_as_refused_is_taken_for_what_it_is(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool, order_state: str, ends: str
) -> None:
    order, redirect = placed(), {}
    redirect = await shop.authenticated(order)
    await _meddle(rows, redirect, "REFUSED")
    await rows.execute("UPDATE orders SET state = $2 WHERE order_id = $1", order.order, order_state)
    await shop.charge_behind_our_back(redirect)
    assert _of(await reconciliation.run(_today()), redirect) == [(Kind.CHARGED_THOUGH_REFUSED, Action.APPLIED)]
    assert (await shop.state(order)).body["state"] == ends

    async def is_right() -> bool:
        return await shop.charged(redirect) == (order.amount if ends == "PAID" else 0)

    await until(is_right)
    assert _of(await reconciliation.run(_today()), redirect) == []


async def test_an_attempt_that_is_done_here_and_not_there_is_found(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool
) -> None:
    never_charged, unheard_of = await shop.authenticated(placed()), await shop.authenticated(placed())
    await _meddle(rows, never_charged, "DONE")
    unheard_of["paymentKey"] = "tiketisim20260101000000zzzzz"
    await _meddle(rows, unheard_of, "DONE")
    report = await reconciliation.run(_today())
    for redirect in (never_charged, unheard_of):
        assert _of(report, redirect) == [(Kind.MISSING_AT_VENDOR, Action.RECORDED)]


async def _meddle(rows: asyncpg.Pool, redirect: Json, state: str) -> None:
    """Put an attempt where only a fault could have brought it."""
    await rows.execute(
        "UPDATE attempts SET state = $2, payment_key = $3, calls = 1, ended_at = now(), confirming_at = now()"
        " WHERE vendor_order_id = $1",
        redirect["orderId"],
        state,
        redirect["paymentKey"],
    )


async def test_amounts_that_differ_are_found_and_nothing_is_done_to_them(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool
) -> None:
    _, given_back_there = await _paid(shop)
    await shop.cancel_behind_our_back(given_back_there["paymentKey"], 1000)
    other_order, other_amount = await _paid(shop)
    await rows.execute("UPDATE orders SET amount = amount + 1 WHERE order_id = $1", other_order.order)
    report = await reconciliation.run(_today())
    assert _of(report, given_back_there) == [(Kind.CANCELLED_THERE, Action.RECORDED)]
    assert _of(report, other_amount) == [(Kind.AMOUNT_DIFFERS, Action.RECORDED)]
    assert (await shop.charged(given_back_there), await shop.charged(other_amount)) == (131_000, 132_000)
    # Put right again, for the books at the end of every test.
    await rows.execute("UPDATE orders SET amount = amount - 1 WHERE order_id = $1", other_order.order)
    assert _of(await reconciliation.run(_today()), other_amount) == []
    await rows.execute("ALTER TABLE outcomes DISABLE TRIGGER outcomes_insert_only")
    await rows.execute("UPDATE outcomes SET amount = 131000 WHERE payment_key = $1", given_back_there["paymentKey"])
    await rows.execute("ALTER TABLE outcomes ENABLE TRIGGER outcomes_insert_only")


async def test_our_books_say_given_back_and_the_vendor_keeps_it(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool
) -> None:
    redirect = await shop.authenticated(placed())
    await shop.charge_behind_our_back(redirect)
    await _meddle(rows, redirect, "DONE")
    await rows.execute(
        "INSERT INTO cancellations (cancellation_id, attempt_id, payment_key, reason, state)"
        " SELECT gen_random_uuid(), attempt_id, payment_key, 'X', 'DONE' FROM attempts WHERE vendor_order_id = $1",
        redirect["orderId"],
    )
    assert _of(await reconciliation.run(_today()), redirect) == [(Kind.NOT_GIVEN_BACK, Action.RECORDED)]
    await shop.cancel_behind_our_back(redirect["paymentKey"], 132_000)
    assert _of(await reconciliation.run(_today()), redirect) == []


async def test_what_is_still_under_way_is_no_finding(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    await shop.faults(loseAnswers=1, failLookUps=4)
    assert (await shop.confirm(order, redirect)).status == 202
    await shop.faults()
    assert _of(await reconciliation.run(_today()), redirect) == []


async def test_pages_of_the_list_are_put_together(
    shop: Shop, reconciliation: Reconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiketi_services.payment.toss._PAGE", 2)
    monkeypatch.setattr("tiketi_services.payment.reconciliation.PAGE", 2)
    redirects = [(await _paid(shop))[1] for _ in range(5)]
    report = await reconciliation.run(_today())
    assert report.transactions >= 5
    assert [_of(report, redirect) for redirect in redirects] == [[]] * 5


async def test_a_vendor_that_is_away_leaves_the_day_open(shop: Shop, reconciliation: Reconciliation) -> None:
    await shop.faults(failLookUps=-1)
    with pytest.raises(Exception, match="500"):
        await reconciliation.run(_today())


# --- Day by day


async def test_each_day_of_the_last_week_is_reconciled_once_by_one_process(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool
) -> None:
    # The service's own loop has begun with some of them.
    await rows.execute("DELETE FROM reconciliations")
    days: list[date] = []
    while reports := await asyncio.gather(*(reconciliation.run_due() for _ in range(3))):
        if not any(reports):
            break
        days += [report.day for report in reports if report is not None]
    last = day_of(datetime.now(UTC) - timedelta(hours=1)) - timedelta(days=1)
    assert sorted(days) == [last - timedelta(days=back) for back in range(6, -1, -1)]
    await rows.execute("UPDATE reconciliations SET leased_until = now()")
    assert await reconciliation.run_due() is None, "what is finished stays finished"
    await rows.execute("DELETE FROM reconciliations WHERE day = $1", last)
    again = await reconciliation.run_due()
    assert again is not None
    assert again.day == last
    until_when = REGISTRY.get_sample_value("tiketi_payment_reconciled_until_timestamp_seconds")
    assert until_when == datetime(last.year, last.month, last.day, tzinfo=UTC).timestamp() + 86_400 - 9 * 3600


async def test_a_day_whose_reconciliation_failed_is_taken_again(
    reconciliation: Reconciliation, settings: MakeSettings, rows: asyncpg.Pool
) -> None:
    await rows.execute("DELETE FROM reconciliations")
    unreachable = settings(toss_url="http://127.0.0.1:9")
    async with TossClient(toss_settings(unreachable)) as toss:
        signer = reconciliation.cashier.signer
        pool = reconciliation.cashier.payments._pool
        lonely = Reconciliation(
            build_cashier(unreachable, pool, toss, signer), reconciliation.books, mends=True, after=timedelta(hours=1)
        )
        with pytest.raises(AnswerLost):
            await lonely.run_due()
    (row,) = await rows.fetch("SELECT * FROM reconciliations")
    assert row["finished_at"] is None
    await rows.execute("UPDATE reconciliations SET leased_until = now()")
    report = await reconciliation.run_due()
    assert report is not None
    assert report.day == row["day"]


# --- Commands


async def _command(settings: PaymentSettings, *arguments: str) -> tuple[int, str, str]:
    program = (sys.executable, "-m", "tiketi_services.payment.app", *arguments)
    process = await asyncio.create_subprocess_exec(*program, env=environment(settings, 1), stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_reconciles_a_day_and_says_what_it_found(shop: Shop, settings: MakeSettings) -> None:
    redirect = await shop.authenticated(placed())
    await shop.charge_behind_our_back(redirect)
    code, out, _ = await _command(settings(), "reconcile", "--day", str(_today()), "--record-only")
    assert code == 1
    assert f"{_today()}: " in out.splitlines()[0]
    line = next(line for line in out.splitlines() if redirect["paymentKey"] in line)
    assert line.startswith("stray-charge")
    assert line.endswith("-> recorded")
    await shop.cancel_behind_our_back(redirect["paymentKey"], 132_000)
    code, out, _ = await _command(settings(), "reconcile", "--day", "2026-01-01")
    assert (code, out) == (0, "2026-01-01: 0 transactions, 0 findings\n")


async def test_resolve_asks_the_vendor_once_and_applies_its_word(
    shop: Shop, settings: MakeSettings, rows: asyncpg.Pool
) -> None:
    async with serve_app(build_app(settings(resolve_interval=3600))) as url:
        lazy = shop.at(url)
        order = placed()
        redirect = await lazy.authenticated(order)
        await _unknown_and_put_off(rows, lazy, order, redirect)
        attempt = (await lazy.state(order)).body["attempts"][0]["attempt"]
        code, out, _ = await _command(settings(), "resolve", attempt)
        assert (code, out) == (
            1,
            "vendor: IN_PROGRESS, charged 0 KRW, keeps 0\nattempt: UNKNOWN (COMMON_ERROR)\n"
            "the vendor has not decided: nothing was changed\n",
        )
        await shop.charge_behind_our_back(redirect)
        code, out, _ = await _command(settings(), "resolve", redirect["orderId"])
        assert (code, out) == (0, "vendor: DONE, charged 132000 KRW, keeps 132000\nattempt: DONE\n")
        assert (await lazy.confirm(order, redirect)).status == 200
        code, out, _ = await _command(settings(), "resolve", attempt)
        assert code == 0, "again: nothing happens"


async def _unknown_and_put_off(rows: asyncpg.Pool, shop: Shop, order: Placed, redirect: Json) -> None:
    await rows.execute(
        "UPDATE attempts SET state = 'UNKNOWN', payment_key = $2, calls = 1, confirming_at = now() - interval '1 hour',"
        " code = 'COMMON_ERROR', look_at = now() + interval '1 hour'"
        " WHERE vendor_order_id = $1",
        redirect["orderId"],
        redirect["paymentKey"],
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resolve", "nonsense"), "an attempt's id"),
        (("resolve", "00000000-0000-4000-8000-000000000000"), "no such attempt"),
        (("reconcile", "--day", "yesterday"), "a day like"),
        (("reconcile", "--day", "2999-01-01"), "yet to come"),
        (("refund",), "invalid choice"),
    ],
)
async def test_a_command_that_cannot_be_done_says_so_in_one_line(
    settings: MakeSettings, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = await _command(settings(), *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("tiketi-payment")
    assert words in err
    assert err.count("\n") == 1


# --- What is open for too long


async def test_an_attempt_unknown_for_half_an_hour_is_counted_and_logged_once(
    shop: Shop, reconciliation: Reconciliation, rows: asyncpg.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    order = placed()
    redirect = await shop.authenticated(order)
    resolver = Resolver(reconciliation.cashier, timedelta(1), timedelta(1), 1)
    await _unknown_and_put_off(rows, shop, order, redirect)
    await rows.execute(
        "UPDATE attempts SET confirming_at = now() - interval '29 min' WHERE vendor_order_id = $1", redirect["orderId"]
    )
    await resolver.tell_overdue()
    assert REGISTRY.get_sample_value("tiketi_payment_unknown_overdue") == 0
    await rows.execute(
        "UPDATE attempts SET confirming_at = now() - interval '31 min' WHERE vendor_order_id = $1", redirect["orderId"]
    )
    caplog.clear()
    for _ in range(3):
        await resolver.tell_overdue()
    assert REGISTRY.get_sample_value("tiketi_payment_unknown_overdue") == 1
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    attempt = (await shop.state(order)).body["attempts"][0]["attempt"]
    assert [record.__dict__["attempt"] for record in errors] == [attempt]
    assert await shop.close(order) == "PENDING", "its seats wait"
    await rows.execute("UPDATE attempts SET look_at = now() WHERE vendor_order_id = $1", redirect["orderId"])

    async def is_paid() -> bool:
        return bool((await shop.state(order)).body["state"] == "PAID")

    await until(is_paid)
    await resolver.tell_overdue()
    assert REGISTRY.get_sample_value("tiketi_payment_unknown_overdue") == 0
