"""An event that is cancelled is not sold any more, whoever asks and whoever resumes; what was placed is settled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from tests.integration.ticket.orders.box_office import ANNA, BORIS, EVENT, FRONT, NEXT, THIRD, Stage, sweeper

from tiketi_local.world import World
from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import BuyerId, SeatId
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.stats.ledgers import Ledgers
from tiketi_services.ticket.orders import usecases as orders
from tiketi_services.ticket.orders.domain import AlreadyOrdered, OrderState, SalePaused
from tiketi_services.ticket.queue.terms import terms_of
from tiketi_services.ticket.refunds import usecases
from tiketi_services.ticket.refunds.usecases import RefundDesk
from tiketi_services.ticket.sales.domain import EventCancelled, is_cancelled

STOPS = 'SELECT action, "by", reason, facts FROM sale_stops WHERE event = $1 ORDER BY id'


async def cancel(desk: RefundDesk) -> None:
    await usecases.cancel_event(desk, EVENT, "olga")


async def test_from_the_commit_on_nothing_is_held_changed_or_ordered(stage: Stage, desk: RefundDesk) -> None:
    hold, other = await stage.hold(ANNA, FRONT), await stage.hold(BORIS, NEXT)
    placed = await orders.place_order(stage.office, EVENT, BORIS, other.id, "key")
    await cancel(desk)
    with pytest.raises(EventCancelled):
        await stage.hold(BORIS, THIRD)
    with pytest.raises(EventCancelled):
        await orders.change_seats(stage.office, EVENT, ANNA, "public", hold.id, [THIRD])
    with pytest.raises(EventCancelled):
        await orders.place_order(stage.office, EVENT, ANNA, hold.id, str(uuid4()))
    assert await orders.place_order(stage.office, EVENT, BORIS, other.id, "key") == placed
    assert await stage.states() == {FRONT: "HELD", NEXT: "PLACED"}
    assert await stage.pool.fetchval("SELECT count(*) FROM order_owners") == 0


async def test_the_line_admits_nobody_as_soon_as_the_process_has_heard_of_it(stage: Stage, desk: RefundDesk) -> None:
    assert not stage.office.sales.is_cancelled(EVENT)
    await cancel(desk)
    await stage.office.sales.refresh_stops()
    assert stage.office.sales.is_cancelled(EVENT)
    await stage.change(title="Second Night", admission=Admission.OPEN)
    sheet = await stage.office.sales.sheet(EVENT)
    assert is_cancelled(sheet)
    assert terms_of(sheet, sheet.lines[0]).is_paused
    with pytest.raises(EventCancelled):
        await stage.hold(ANNA, FRONT)


async def test_a_sale_that_is_only_stopped_is_still_paused(stage: Stage) -> None:
    await stage.pool.execute(
        "INSERT INTO sale_stops (event, action, \"by\", reason) VALUES ($1, 'STOP', 'auditor', 'because')", EVENT
    )
    with pytest.raises(SalePaused):
        await stage.hold(ANNA, FRONT)
    assert not stage.office.sales.is_cancelled(EVENT)


async def test_who_has_an_order_may_pay_and_is_refunded(stage: Stage, desk: RefundDesk) -> None:
    order = await stage.place(ANNA, FRONT)
    await cancel(desk)
    assert (await stage.settle(order)).state is OrderState.PAID
    await usecases.refund_cancelled(desk)
    [refund] = await desk.book.of_order(order.id)
    assert refund.reason == "event-cancelled"


async def test_an_order_that_nobody_pays_is_closed_all_the_same(stage: Stage, desk: RefundDesk) -> None:
    order = await stage.place(ANNA, FRONT)
    await cancel(desk)
    await orders.cancel_order(stage.office, order.id, ANNA)
    stage.payment.answers[None] = {"status": "CLOSED"}
    await sweeper(stage, timedelta(seconds=1)).close_orders()
    assert await stage.states() == {}


@pytest.mark.parametrize("stopped_before", [False, True])
async def test_the_stop_is_written_once_and_says_by_whom_and_why(
    stage: Stage, desk: RefundDesk, stopped_before: bool
) -> None:
    if stopped_before:
        await stage.pool.execute(
            "INSERT INTO sale_stops (event, action, \"by\", reason) VALUES ($1, 'STOP', 'auditor', 'because')", EVENT
        )
    await asyncio.gather(*(usecases.cancel_event(desk, EVENT, "olga") for _ in range(10)))
    stop = (await stage.pool.fetch(STOPS, EVENT))[stopped_before:]
    fact = {"kind": "event-cancelled", "subject": EVENT, "told": "cancelled by olga"}
    assert [tuple(row) for row in stop] == [("STOP", "olga", "the event is cancelled", [fact])]


async def test_nobody_can_resume_it(stage: Stage, desk: RefundDesk, world: World, database_url: str) -> None:
    await cancel(desk)
    as_auditor = world.site.database_url("auditor", database_url.rpartition("/")[2])
    async with await postgres.connect(as_auditor, 1) as pool:
        for books in (Ledgers(pool, pool), Ledgers(stage.pool, stage.pool)):
            with pytest.raises(asyncpg.PostgresError, match="is cancelled: its sale stays stopped") as refusal:
                await books.resume(EVENT, "anna", "by mistake", [])
            assert refusal.value.sqlstate == "TK002"
    with pytest.raises(EventCancelled):
        await stage.hold(ANNA, FRONT)
    assert await stage.pool.fetchval("SELECT sale_is_stopped($1)", EVENT)


async def test_holding_ordering_and_cancelling_at_once_leaves_nothing_new_behind(
    stage: Stage, desk: RefundDesk
) -> None:
    """Who is decided before the cancellation is refunded; afterwards nobody is."""
    holds = [(buyer, await stage.hold(buyer, seat)) for buyer, seat in ((ANNA, FRONT), (BORIS, NEXT))]
    work = [orders.place_order(stage.office, EVENT, buyer, hold.id, str(uuid4())) for buyer, hold in holds]
    await asyncio.gather(*work, cancel(desk), stage.hold(BuyerId("chloe"), THIRD), return_exceptions=True)
    before = (
        await stage.pool.fetchval("SELECT count(*) FROM holds"),
        await stage.pool.fetchval("SELECT count(*) FROM orders"),
    )
    for buyer, hold in holds:
        with pytest.raises((EventCancelled, AlreadyOrdered)):
            await orders.place_order(stage.office, EVENT, buyer, hold.id, str(uuid4()))
    with pytest.raises(EventCancelled):
        await stage.hold(ANNA, SeatId("A-01-04"))
    after = (
        await stage.pool.fetchval("SELECT count(*) FROM holds"),
        await stage.pool.fetchval("SELECT count(*) FROM orders"),
    )
    assert after == before
