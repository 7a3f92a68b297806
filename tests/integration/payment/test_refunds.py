"""Money of void tickets goes back once, whatever becomes of calls, answers and processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.payment.conftest import MakeSettings
from tests.integration.payment.process import payment_process
from tests.integration.payment.shop import GOOD_CARD, Placed, Shop, placed
from tests.integration.toss.server import SECRET_KEY

from tiketi_runtime import postgres
from tiketi_runtime.contracts.messages import RefundRequested
from tiketi_runtime.postgres import Pool
from tiketi_services.payment.refunds import Refunder
from tiketi_services.payment.refunds_book import RefundNotOwed, RefundsBook
from tiketi_services.payment.refunds_plan import Next, Step
from tiketi_services.payment.toss import TossClient, TossSettings
from tiketi_services.payment.vendor import VendorPayment

NOT_IN_PARTS_CARD = "4000-0000-0000-3055"
SOON = timedelta(milliseconds=20)


@dataclass
class Till:
    """Payment's database with nobody at work but who the test lets work."""

    url: str
    pool: Pool
    shop: Shop

    @property
    def vendor(self) -> TossSettings:
        return TossSettings(self.shop.vendor.url, SECRET_KEY, timedelta(seconds=1), timedelta(seconds=5))

    def refunder(self, lease: timedelta = SOON) -> Refunder:
        return Refunder(RefundsBook(self.pool), TossClient(self.vendor), SOON, lease)

    async def sell(self, card: str = GOOD_CARD, amount: int = 3_000) -> tuple[Placed, str]:
        """A paid order, and its payment key."""
        order = placed(amount=amount)
        redirect = await self.shop.authenticated(order, card)
        await self.shop.charge_behind_our_back(redirect)
        attempt = uuid4()
        await self.pool.execute(
            "INSERT INTO orders (order_id, state, event, buyer, amount, currency, order_name, pay_by)"
            " VALUES ($1, 'PAID', $2, $3, $4, 'KRW', 'name', now())",
            UUID(order.order),
            order.event,
            order.buyer,
            amount,
        )
        await self.pool.execute(
            "INSERT INTO attempts (attempt_id, order_id, vendor_order_id, state, payment_key, ended_at)"
            " VALUES ($1, $2, $3, 'DONE', $4, now())",
            attempt,
            UUID(order.order),
            redirect["orderId"],
            redirect["paymentKey"],
        )
        await self.pool.execute(
            "INSERT INTO outcomes (order_id, attempt_id, status, amount, currency, payment_key, jws)"
            " VALUES ($1, $2, 'PAID', $3, 'KRW', $4, '')",
            UUID(order.order),
            attempt,
            amount,
            redirect["paymentKey"],
        )
        return order, redirect["paymentKey"]

    async def request(self, order: Placed, amount: int) -> UUID:
        message = _message(order, amount)
        await RefundsBook(self.pool).learn_by(message)
        return message.refund

    async def work(self, *, rounds: int = 200) -> None:
        """Work until every refund is done or refused."""
        refunder = self.refunder()
        async with refunder.toss:
            for _ in range(rounds):
                await self.pool.execute(
                    "UPDATE refunds SET try_at = now() WHERE refund_id IN (SELECT refund_id FROM refunds"
                    " WHERE state <> 'DONE' AND NOT is_refused FOR UPDATE SKIP LOCKED)"
                )
                await refunder.pay_back_due()
                if not await self.pool.fetchval(
                    "SELECT count(*) FROM refunds WHERE state <> 'DONE' AND NOT is_refused"
                ):
                    return
                await asyncio.sleep(0.02)
        raise TimeoutError

    async def kept(self, payment_key: str) -> int:
        entries = (await self.shop.ledger())["payments"]
        [entry] = [entry for entry in entries if entry["paymentKey"] == payment_key]
        return int(entry["charged"] - entry["cancelled"])

    async def told(self, order: Placed) -> list[tuple[str, int]]:
        """Refund and balance of each message."""
        rows = await self.pool.fetch(
            "SELECT body FROM outbox WHERE key = 'payment.refunded' AND body ->> 'order' = $1 ORDER BY created_at",
            order.order,
        )
        return [(row["body"]["refund"], row["body"]["balance"]) for row in rows]

    async def state(self, order: Placed) -> str:
        return str(await self.pool.fetchval("SELECT state FROM orders WHERE order_id = $1", UUID(order.order)))


def _message(order: Placed, amount: int, **changes: object) -> RefundRequested:
    facts = {
        "order": order.order,
        "event": order.event,
        "refund": uuid4(),
        "buyer": order.buyer,
        "seats": ["A-01-01"],
        "amount": amount,
        "currency": "KRW",
        "reason": "buyer",
    }
    return RefundRequested.model_validate(facts | changes)


@pytest.fixture(scope="module")
async def till(database: MakeDatabase, shop: Shop) -> AsyncIterator[Till]:
    url = await database("payment")
    await postgres.migrate(url, "tiketi_services.payment")
    async with await postgres.connect(url, 8) as pool:
        yield Till(url, pool, shop)


@pytest.fixture(autouse=True)
async def books_agree(till: Till) -> AsyncIterator[None]:
    """After every test the vendor keeps of each payment what our books say; nothing is left over for the next."""
    yield
    await till.shop.faults()
    for row in await till.pool.fetch(
        "SELECT payment_key, amount - (SELECT coalesce(sum(r.amount), 0) FROM refunds r"
        " WHERE r.order_id = x.order_id AND r.state = 'DONE') AS kept FROM outcomes x"
    ):
        assert await till.kept(row["payment_key"]) == row["kept"]
    await till.pool.execute("TRUNCATE orders, attempts, outcomes, refunds, outbox, inbox CASCADE")


async def test_an_order_is_refunded_when_the_vendors_balance_is_zero(till: Till) -> None:
    order, key = await till.sell()
    first = await till.request(order, 1_000)
    await till.work()
    assert (await till.state(order), await till.kept(key)) == ("PAID", 2_000)
    last = await till.request(order, 2_000)
    await till.work()
    assert (await till.state(order), await till.kept(key)) == ("REFUNDED", 0)
    assert await till.told(order) == [(str(first), 2_000), (str(last), 0)]


async def test_a_refund_is_learnt_once_and_never_for_more_than_was_paid(till: Till) -> None:
    order, key = await till.sell()
    book, message = RefundsBook(till.pool), _message(order, 2_000)
    await asyncio.gather(*(book.learn_by(message) for _ in range(10)))
    await book.learn_by(message.model_copy(update={"id": uuid4()}))
    for wrong in (
        _message(order, 1_001),
        _message(order, 1_000, currency="JPY"),
        _message(order, 1_000, refund=message.refund),
        _message(placed(), 1_000),
    ):
        with pytest.raises(RefundNotOwed):
            await book.learn_by(wrong)
    await till.work()
    assert await till.kept(key) == 1_000


@pytest.mark.parametrize(
    "faults",
    [
        {"loseAnswers": 7},
        {"failAfterCommit": 7},
        {"failBeforeWork": 7},
        {"passingErrors": 3},
        {"tooManyRequests": 3},
        {"failLookUps": 5},
        {"loseAnswers": 2, "failAfterCommit": 2, "failBeforeWork": 2, "passingErrors": 2, "failLookUps": 2},
    ],
)
async def test_whatever_the_vendor_answers_each_refund_is_made_once(till: Till, faults: dict[str, int]) -> None:
    sold = [await till.sell() for _ in range(3)]
    for order, _ in sold:
        await till.request(order, 1_000)
        await till.request(order, 2_000)
    await till.shop.faults(**faults)
    await till.work()
    assert [await till.kept(key) for _, key in sold] == [0, 0, 0]


async def test_many_workers_give_back_once(till: Till) -> None:
    sold = [await till.sell() for _ in range(4)]
    for order, _ in sold:
        for _ in range(3):
            await till.request(order, 1_000)
    await till.shop.faults(loseAnswers=5)
    await asyncio.gather(*(till.work() for _ in range(6)))
    assert [await till.kept(key) for _, key in sold] == [0] * 4
    assert [len(await till.told(order)) for order, _ in sold] == [3] * 4


@pytest.mark.parametrize("when", ["beforeWork", "beforeAnswer"])
async def test_a_process_killed_in_the_middle_of_a_call_leaves_nothing_undone_or_done_twice(
    till: Till, when: str
) -> None:
    order, key = await till.sell()
    refund = await till.request(order, 1_000)
    await till.shop.faults(**{when: {"min": 300, "max": 300}})
    killed = till.refunder()
    async with killed.toss:
        work = asyncio.create_task(killed.pay_back_due())
        for _ in range(200):
            row = await till.pool.fetchrow("SELECT * FROM refunds WHERE refund_id = $1", refund)
            if row is not None and row["state"] == "CALLED":
                break
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert row is not None
    assert (row["state"], row["locked_balance"], row["idempotency_key"]) == ("CALLED", 3_000, f"refund:{refund}:1")
    await asyncio.sleep(0.4)
    await till.shop.faults()
    await till.work()
    assert await till.kept(key) == 2_000
    assert await till.told(order) == [(str(refund), 2_000)]


async def test_a_service_killed_again_and_again_gives_back_once(till: Till, settings: MakeSettings) -> None:
    """kill -9 while the vendor works, three times; the fourth process finds everything done or does it."""
    sold = [await till.sell() for _ in range(3)]
    for order, _ in sold:
        for _ in range(3):
            await till.request(order, 1_000)
    mine = settings(database_url=till.url, toss_connect_timeout=0.2, toss_read_timeout=0.5)
    await till.shop.faults(beforeAnswer={"min": 50, "max": 200})
    for _ in range(3):
        async with payment_process(mine) as (process, _):
            await asyncio.sleep(0.15)
            process.kill()
    await till.shop.faults()
    await till.work()
    assert [await till.kept(key) for _, key in sold] == [0] * 3
    assert [len(await till.told(order)) for order, _ in sold] == [3] * 3


async def test_a_balance_that_somebody_else_moved_is_noticed_before_money_moves(till: Till) -> None:
    order, key = await till.sell()
    refund = await till.request(order, 2_000)
    begun = till.refunder()
    await till.shop.faults(failBeforeWork=1)
    async with begun.toss:
        await begun.pay_back_due()
    await till.shop.cancel_behind_our_back(key, 500)
    await till.shop.faults()
    await till.work()
    assert (await till.kept(key), await till.told(order)) == (500, [(str(refund), 500)])
    await till.pool.execute("UPDATE refunds SET amount = 2500")  # what was done by hand, for books_agree


async def test_what_the_vendor_refuses_is_an_alarm_and_moves_nothing(till: Till) -> None:
    order, key = await till.sell(NOT_IN_PARTS_CARD)
    await till.request(order, 1_000)
    await till.work()
    row = await till.pool.fetchrow("SELECT state, code, is_refused, calls FROM refunds")
    assert row is not None
    assert tuple(row) == ("REQUESTED", "NOT_ALLOWED_PARTIAL_REFUND", True, 2)
    assert (await RefundsBook(till.pool).count(timedelta(0)))[0] == 1
    assert await till.kept(key) == 3_000


async def test_a_payment_that_is_not_given_back_in_parts_is_given_back_as_a_whole(till: Till) -> None:
    order, key = await till.sell(NOT_IN_PARTS_CARD)
    await till.request(order, 3_000)
    await till.work()
    assert (await till.kept(key), await till.state(order)) == (0, "REFUNDED")


async def test_more_than_the_vendor_has_left_is_an_alarm_and_no_call(till: Till) -> None:
    order, key = await till.sell()
    await till.shop.cancel_behind_our_back(key, 2_500)
    await till.request(order, 1_000)
    await till.work()
    row = await till.pool.fetchrow("SELECT state, code, is_refused FROM refunds")
    assert row is not None
    assert tuple(row) == ("REQUESTED", "BALANCE_TOO_SMALL", True)
    await till.pool.execute("TRUNCATE outcomes CASCADE")


async def test_ticket_asks_again_and_is_answered_again_with_the_same_message(till: Till) -> None:
    """Whatever was lost, the request or the answer: no money moves twice, and the answer comes for certain."""
    order, key = await till.sell()
    message = _message(order, 1_000)
    book = RefundsBook(till.pool)
    for _ in range(3):
        await book.learn_by(message)
    assert await till.told(order) == []
    await till.work()
    [first] = await till.pool.fetch("SELECT id FROM outbox")
    for _ in range(3):
        await till.pool.execute("UPDATE outbox SET sent_at = now()")
        await asyncio.gather(*(book.learn_by(message) for _ in range(5)))
        [again] = await till.pool.fetch("SELECT id FROM outbox WHERE sent_at IS NULL")
        assert again["id"] == first["id"]
    await till.pool.execute("DELETE FROM outbox")
    await book.learn_by(message)
    assert await till.told(order) == [(str(message.refund), 2_000)]
    await till.work()
    assert await till.kept(key) == 2_000


class Watched(TossClient):
    """Holds a look-up up after the vendor has answered."""

    def __init__(self, settings: TossSettings) -> None:
        super().__init__(settings)
        self.has_looked, self.goes_on = asyncio.Event(), asyncio.Event()

    async def look_up(self, payment_key: str) -> VendorPayment:
        payment = await super().look_up(payment_key)
        self.has_looked.set()
        await self.goes_on.wait()
        return payment


async def test_a_refund_that_looked_before_another_one_was_made_is_not_refused(till: Till) -> None:
    order, key = await till.sell()
    watched = Watched(till.vendor)
    slow = Refunder(RefundsBook(till.pool), watched, SOON, timedelta(minutes=1))
    first = await till.request(order, 1_000)
    async with watched:
        work = asyncio.create_task(slow.pay_back_due())
        await watched.has_looked.wait()
        second = await till.request(order, 500)
        async with (quick := till.refunder(timedelta(minutes=1))).toss:
            await quick.pay_back_due()
        assert await till.told(order) == [(str(second), 2_500)]
        watched.goes_on.set()
        await work
    row = await till.pool.fetchrow("SELECT state, code, is_refused, calls FROM refunds WHERE refund_id = $1", first)
    assert row is not None
    assert tuple(row) == ("REQUESTED", "ANOTHER_UNDER_WAY", False, 1)
    await till.work()
    assert await till.kept(key) == 1_500


async def test_a_call_waits_for_another_one_that_is_just_being_written_down_as_made(till: Till) -> None:
    order, _ = await till.sell()
    for amount in (1_000, 500):
        await till.request(order, amount)
    book = RefundsBook(till.pool)
    first, second = await book.take(8, timedelta(minutes=1))
    step = Step(Next.CALL, balance=3_000, call=1)
    assert await book.begin(first, step, "first")
    async with till.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE refunds SET state = 'DONE', done_at = now(), balance = 3000 - amount WHERE refund_id = $1",
            first.refund_id,
        )
        begin = asyncio.create_task(book.begin(second, step, "second"))
        await asyncio.sleep(0.2)
        assert not begin.done()
    assert not await begin
    assert await till.pool.fetchval("SELECT state FROM refunds WHERE refund_id = $1", second.refund_id) == "REQUESTED"
    await till.pool.execute("TRUNCATE outcomes CASCADE")


async def test_many_refunds_of_one_order_at_once_are_all_made_and_none_is_an_alarm(till: Till) -> None:
    order, key = await till.sell(amount=20_000)
    refunder = till.refunder(timedelta(minutes=1))
    requests = [till.request(order, 1_000) for _ in range(20)]
    alarms: list[int] = []
    async with refunder.toss:
        await asyncio.gather(*requests)
        for _ in range(200):
            await till.pool.execute("UPDATE refunds SET try_at = now() WHERE state = 'REQUESTED'")
            await asyncio.gather(*(refunder.pay_back_due() for _ in range(6)))
            alarms.append((await refunder.book.count(timedelta(days=1)))[0])
            if not await till.pool.fetchval("SELECT count(*) FROM refunds WHERE state <> 'DONE'"):
                break
    assert (await till.kept(key), await till.state(order), sum(alarms)) == (0, "REFUNDED", 0)
