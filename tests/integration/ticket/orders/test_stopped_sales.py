"""A sale whose books do not agree: nothing new is held, and what was promised is kept."""

from __future__ import annotations

import pytest
from tests.integration.ticket.orders.box_office import ANNA, BORIS, EVENT, FRONT, NEXT, THIRD, Stage

from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import OrderState, SalePaused
from tiketi_services.ticket.queue.terms import terms_of


async def stop(stage: Stage, action: str = "STOP") -> None:
    await stage.pool.execute(
        "INSERT INTO sale_stops (event, action, \"by\", reason) VALUES ($1, $2, 'auditor', 'because')", EVENT, action
    )


async def test_nothing_is_held_from_the_moment_the_row_is_there(stage: Stage) -> None:
    await stop(stage)
    with pytest.raises(SalePaused):
        await stage.hold(ANNA, FRONT)
    assert await stage.states() == {}
    assert await stage.paint(FRONT) is None


async def test_another_events_stop_stops_nothing(stage: Stage) -> None:
    await stage.pool.execute(
        "INSERT INTO sale_stops (event, action, \"by\", reason) VALUES ('arena/other', 'STOP', 'auditor', 'because')"
    )
    await stage.hold(ANNA, FRONT)


async def test_a_held_seat_cannot_be_changed_for_another_and_stays(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT, NEXT)
    await stop(stage)
    with pytest.raises(SalePaused):
        await usecases.change_seats(stage.office, EVENT, ANNA, "public", hold.id, [FRONT, THIRD])
    assert set(await stage.states()) == {FRONT, NEXT}


async def test_who_holds_may_order_and_pay(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await stop(stage)
    await stage.office.sales.refresh_stops()
    order = await usecases.place_order(stage.office, EVENT, ANNA, hold.id, "key")
    outcome = await usecases.read_outcome(stage.office, stage.outcome(order), order.id)
    settled = await usecases.settle(stage.office, outcome)
    assert settled.state is OrderState.PAID


async def test_the_line_is_paused_as_soon_as_the_process_has_heard_of_it_and_goes_on_afterwards(stage: Stage) -> None:
    before = await stage.office.sales.sheet(EVENT)
    await stop(stage)
    await stage.office.sales.refresh_stops()
    sheet = await stage.office.sales.sheet(EVENT)
    assert sheet.admission is Admission.PAUSED
    assert sheet is await stage.office.sales.sheet(EVENT)
    assert stage.office.sales.all()[EVENT] is sheet
    assert terms_of(sheet, sheet.lines[0]).is_paused
    assert sheet.version == before.version
    with pytest.raises(SalePaused):
        await stage.hold(BORIS, FRONT)
    await stop(stage, "RESUME")
    await stage.office.sales.refresh_stops()
    assert await stage.office.sales.sheet(EVENT) is before
    assert not terms_of(before, before.lines[0]).is_paused
    await stage.hold(BORIS, FRONT)


async def test_a_new_sheet_of_a_stopped_sale_is_paused_too(stage: Stage) -> None:
    await stop(stage)
    await stage.office.sales.refresh_stops()
    await stage.change(title="Second Night", admission=Admission.OPEN)
    sheet = await stage.office.sales.sheet(EVENT)
    assert (sheet.title, sheet.admission) == ("Second Night", Admission.PAUSED)
