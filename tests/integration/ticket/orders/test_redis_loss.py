"""Redis is emptied in the middle of a rush, again and again: whoever was told that seats are held can order them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from tests.integration.ticket.orders.box_office import EVENT, Stage, sweeper

from tiketi_runtime.background import running
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, SeatId
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import Hold, NotEnoughSeats, SeatTaken, Wish

RETRY = timedelta(seconds=1)
SEATS = [SeatId(f"A-0{row}-{seat:02d}") for row in range(1, 6) for seat in range(1, 11)]


async def lose_redis(stage: Stage) -> None:
    """Emptied in mid-sale; now and then the operator's sheet is back, and the seats are painted anew."""
    while True:
        await stage.redis.flushdb()
        await asyncio.sleep(0.004)
        await stage.announce(await stage.office.sales.sheet(EVENT))
        await sweeper(stage, RETRY).mend_paint()
        await asyncio.sleep(0.004)


async def shop(stage: Stage, buyer: BuyerId, dice: random.Random) -> Hold | None:
    """Hold something, perhaps change it; what was acknowledged last."""
    hold: Hold | None = None
    for _ in range(6):
        with suppress(SeatTaken, NotEnoughSeats):
            if hold is None:
                hold = (
                    await stage.hold(buyer, *dice.sample(SEATS, 2))
                    if dice.random() < 0.7
                    else await usecases.hold_best(stage.office, EVENT, buyer, PUBLIC, Wish(2))
                )
            else:
                seats = [hold.seats[0], dice.choice(SEATS)]
                if len(set(seats)) == 2:
                    hold = await usecases.change_seats(stage.office, EVENT, buyer, PUBLIC, hold.id, seats)
                hold = await usecases.extend_hold(stage.office, EVENT, buyer, hold.id)
    return hold


async def test_every_acknowledged_hold_still_orders(stage: Stage) -> None:
    buyers = [BuyerId(f"buyer-{number}") for number in range(40)]
    async with running(lose_redis(stage)):
        holds = await asyncio.gather(*(shop(stage, buyer, random.Random(n)) for n, buyer in enumerate(buyers)))
        acknowledged = [(buyer, hold) for buyer, hold in zip(buyers, holds, strict=True) if hold is not None]
        orders = await asyncio.gather(
            *(usecases.place_order(stage.office, EVENT, buyer, hold.id, str(uuid4())) for buyer, hold in acknowledged)
        )
    assert len(acknowledged) > 20
    assert [order.seats for order in orders] == [tuple(hold.seats) for _, hold in acknowledged]
    sold = [seat for order in orders for seat in order.seats]
    assert len(sold) == len(set(sold))


async def test_after_the_last_loss_the_paint_is_right_again(stage: Stage) -> None:
    holds = [await stage.hold(BuyerId(f"buyer-{n}"), seat) for n, seat in enumerate(SEATS[:10])]
    await stage.redis.flushdb()
    await stage.announce(await stage.office.sales.sheet(EVENT))
    await sweeper(stage, RETRY).mend_paint()
    for hold in holds:
        assert (await stage.paint(hold.seats[0]) or "").startswith(hold.id)
