"""What pods do for lines by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.integration.ticket.queue.lines import ANNA, FAR, Scene, redis_now
from tests.integration.ticket.sales.a_sale import a_sale

from tiketi_runtime.contracts.draw import Draw
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Line, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.queue.admitter import Admitter
from tiketi_services.ticket.queue.domain import Recovering
from tiketi_services.ticket.queue.repository import MOST_GHOSTS
from tiketi_services.ticket.queue.terms import terms_of

FAST = {"newUsersPerMinute": 60_000_000, "totalActiveUsers": 100_000}


@dataclass
class Sheets:
    """Stands for the sales: these sheets are in force."""

    sheets: list[SaleSheet]

    def all(self) -> dict[EventId, SaleSheet]:
        return {sheet.event: sheet for sheet in self.sheets}


@dataclass
class Orders:
    """Stands for the draws: this order is known, however often it is asked for."""

    order: Draw | None = None
    asked: list[Line] = field(default_factory=list)

    def of(self, event: EventId, line: Line) -> Draw | None:
        self.asked.append(line)
        return self.order


class Recorder:
    """Stands for the recorder: has so many claims left over, of every event."""

    def __init__(self, *left_over: int, lost: EventId | None = None) -> None:
        self._left_over = left_over
        self._lost = lost
        self.left_over: dict[EventId, list[int]] = {}

    async def record_left_over(self, events: list[EventId]) -> int:
        (event,) = events
        if event == self._lost:
            raise Recovering("The line is being rebuilt.")
        return self.left_over.setdefault(event, list(self._left_over)).pop(0)


def an_admitter(
    scene: Scene, *sales: SaleSheet, orders: Orders | None = None, recorder: Recorder | None = None
) -> Admitter:
    return Admitter(Sheets(list(sales)), scene.lines, orders or Orders(), recorder or Recorder())  # type: ignore[arg-type]


async def fill(scene: Scene, sale: SaleSheet, number: int) -> None:
    """Let so many join, a few hundred at a time."""
    scene.terms = terms_of(sale, sale.lines[0])
    await scene.join(*(BuyerId(f"buyer-{seq}") for seq in range(1, number + 1)))
    now = await redis_now(scene.redis)
    await scene.redis.hset(scene.line.serving, mapping={"tokens": FAR, "claims": FAR, "at": now})


async def test_a_line_is_served_to_its_end_in_one_step(scene: Scene) -> None:
    sale = a_sale(
        "any", event=scene.terms.event, queue=FAST, sections=[{"name": "A", "price": 1_000, "capacity": 2_000}]
    )
    await fill(scene, sale, 1_200)
    await an_admitter(scene, sale).serve()
    assert (await scene.horizon(), (await scene.state()).waiting) == (1_200, 0)


async def test_a_drawn_line_is_served_to_its_end_in_one_step(scene: Scene) -> None:
    sale = a_sale(
        "any", event=scene.terms.event, queue=FAST, sections=[{"name": "A", "price": 1_000, "capacity": 2_000}]
    )
    line = sale.lines[0].model_copy(update={"draw_at": sale.opens_at + timedelta(hours=1)})
    drawn = sale.model_copy(update={"lines": (line,)})
    await fill(scene, drawn, 1_200)
    await scene.redis.hset(scene.line.draw, mapping={"n": 1_200, "ready": 1})
    orders = Orders(Draw(1_200, bytes(32)))
    await an_admitter(scene, drawn, orders=orders).serve()
    assert (await scene.horizon(), (await scene.state()).waiting) == (1_200, 0)


async def test_an_order_this_process_does_not_know_keeps_it_from_serving_and_no_longer(scene: Scene) -> None:
    sale = a_sale("any", event=scene.terms.event, queue=FAST)
    await fill(scene, sale, 3)
    await scene.redis.hset(scene.line.draw, mapping={"n": 3, "ready": 1})
    orders = Orders()
    admitter = an_admitter(scene, sale, orders=orders)
    await admitter.serve()
    assert await scene.horizon() == 0
    orders.order = Draw(3, bytes(32))
    await admitter.serve()
    assert await scene.horizon() == 3


async def test_a_line_that_is_being_rebuilt_keeps_no_other_waiting(scene: Scene) -> None:
    lost, sale = a_sale("lost"), a_sale("any", event=scene.terms.event)
    await fill(scene, sale, 1)
    await an_admitter(scene, lost, sale).serve()
    assert await scene.horizon() == 1


async def test_a_loss_that_serving_meets_is_told(scene: Scene) -> None:
    lost: list[EventId] = []
    scene.lines = type(scene.lines)(scene.redis, lost.append)
    await an_admitter(scene, a_sale("lost")).serve()
    assert lost == [event_id("demo", "lost")]


async def test_a_line_that_is_not_due_is_left_alone(scene: Scene) -> None:
    later = a_sale("any", event=scene.terms.event, opens_in=timedelta(hours=1))
    await an_admitter(scene, later).serve()
    assert not await scene.redis.exists(EventKeys(later.event).line(PUBLIC).serving)


async def test_all_who_fell_silent_are_swept_in_one_step(scene: Scene) -> None:
    sale = a_sale("any", event=scene.terms.event)
    await fill(scene, sale, 1)
    long_ago = await redis_now(scene.redis) - 3_600_000
    ghosts = {f"ghost-{number}": long_ago for number in range(MOST_GHOSTS + 5)}
    await scene.redis.hset(scene.line.places, mapping={name: 1 + at for at, name in enumerate(ghosts, start=1)})
    await scene.redis.zadd(scene.line.alive, dict(ghosts))
    await scene.redis.zadd(scene.line.alive, {ANNA: long_ago + 3_600_000})
    await an_admitter(scene, sale).sweep()
    assert await scene.redis.zcard(scene.line.alive) == 2


@pytest.mark.parametrize("left_over", [(0,), (1_000, 3), (1_000, 1_000, 0)])
async def test_claims_are_recorded_until_none_is_left_over(scene: Scene, left_over: tuple[int, ...]) -> None:
    recorder = Recorder(*left_over)
    sale = a_sale("any")
    await an_admitter(scene, sale, recorder=recorder).record()
    assert recorder.left_over == {sale.event: []}


async def test_claims_of_an_event_that_is_being_rebuilt_keep_no_others_from_being_recorded(scene: Scene) -> None:
    lost, sale = a_sale("lost"), a_sale("any")
    recorder = Recorder(1_000, 0, lost=lost.event)
    await an_admitter(scene, lost, sale, recorder=recorder).record()
    assert recorder.left_over == {sale.event: []}
