"""Seats of holds that ran out: anybody's at once who names them, shown as free a little later, not all together."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    CHLOE,
    EVENT,
    FRONT,
    NEXT,
    THIRD,
    Stage,
    sweeper,
)

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, SeatId
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.domain import NotEnoughSeats, Order, Wish

RETRY = timedelta(seconds=1)
PAST_A_READING = 0.06
"""Seconds after which the box office under test reads the house anew."""


async def run_out(stage: Stage, *, shown: bool) -> None:
    """All holds ran out a second ago, and their seats linger still, or no longer."""
    await stage.pool.execute(
        "UPDATE seats SET until = clock_timestamp() - interval '1 s', linger = $1 WHERE state = 'HELD'",
        timedelta(0) if shown else timedelta(minutes=1),
    )
    await stage.pool.execute("UPDATE holds SET held_at = held_at - interval '1 h', until = now() - interval '1 s'")
    await asyncio.sleep(PAST_A_READING)


async def state(stage: Stage, seat: SeatId) -> str:
    sale = await stage.office.sales.sheet(EVENT)
    places = list(sale.sections[0].seats())
    return (await stage.office.maps.current(sale)).house.states()["A"][places.index(seat)]


async def test_holds_of_one_moment_return_over_a_tenth_of_their_time_and_neighbours_together(stage: Stage) -> None:
    seats = [SeatId(f"A-0{row}-{seat:02d}") for row in range(1, 5) for seat in range(1, 11)]
    for number in range(20):
        await stage.hold(BuyerId(f"buyer-{number}"), *seats[2 * number : 2 * number + 2])
    rows = await stage.pool.fetch("SELECT hold, min(linger) AS low, max(linger) AS high FROM seats GROUP BY hold")
    times = sorted(row["low"] for row in rows)
    assert all(row["low"] == row["high"] for row in rows)
    assert timedelta(0) <= times[0] < timedelta(seconds=20) < timedelta(seconds=40) < times[-1] <= timedelta(minutes=1)
    assert len(set(times)) == 20


async def test_a_seat_that_lingers_is_not_offered_but_is_whose_who_names_it(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, NEXT)
    await run_out(stage, shown=False)
    assert await state(stage, FRONT) == "1"
    best = await usecases.hold_best(stage.office, EVENT, BORIS, PUBLIC, Wish(2, "A"))
    assert not {FRONT, NEXT} & set(best.seats)
    await stage.redis.delete(stage.keys.seats)  # whose clock did not jump
    assert (await stage.hold(CHLOE, FRONT)).seats == [FRONT]
    lingers = await stage.pool.fetchval("SELECT linger FROM seats WHERE seat = $1", FRONT)
    assert lingers != timedelta(minutes=1), "the new hold has a time of its own"


async def test_it_is_shown_and_offered_when_its_moment_has_come(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT)
    await run_out(stage, shown=True)
    assert await state(stage, FRONT) == "0"
    await sweeper(stage, RETRY).sweep_holds()
    assert await stage.paint(FRONT) is None
    assert (await usecases.hold_best(stage.office, EVENT, BORIS, PUBLIC, Wish(1, "A"))).seats == [FRONT]


async def test_neither_sweeping_nor_mending_shows_it_early(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await run_out(stage, shown=False)
    await sweeper(stage, RETRY).sweep_holds()
    await stage.redis.hdel(stage.keys.seats, FRONT)
    await sweeper(stage, RETRY).mend_paint()
    assert (await stage.paint(FRONT) or "").startswith(hold.id)
    assert await stage.redis.hget(stage.keys.counts, "taken:A") == b"1", "nobody is admitted for it yet"
    assert await stage.states() == {FRONT: "HELD"}


async def test_what_a_buyer_gives_back_is_shown_at_once(stage: Stage) -> None:
    hold = await stage.hold(ANNA, FRONT)
    await usecases.release_hold(stage.office, EVENT, ANNA, hold.id)
    await asyncio.sleep(PAST_A_READING)
    assert await state(stage, FRONT) == "0"


async def lapse(stage: Stage, *orders: Order) -> None:
    """The time to pay of these orders is over, and payment closes them."""
    await stage.pool.execute(
        "UPDATE orders SET placed_at = placed_at - interval '10 min', pay_by = pay_by - interval '10 min',"
        " close_at = now() - interval '1 s' WHERE id = ANY ($1)",
        [order.id for order in orders],
    )
    await stage.pool.execute("UPDATE holds SET held_at = held_at - interval '11 min'")
    stage.payment.answers[None] = {"status": "CLOSED"}
    await sweeper(stage, RETRY).close_orders()
    await asyncio.sleep(PAST_A_READING)


async def test_orders_that_lapse_together_return_over_a_tenth_of_their_time(stage: Stage) -> None:
    seats = [SeatId(f"A-0{row}-{seat:02d}") for row in range(1, 5) for seat in range(1, 11)]
    orders = [
        await stage.place(BuyerId(f"buyer-{number}"), *seats[2 * number : 2 * number + 2]) for number in range(20)
    ]
    await lapse(stage, *orders)
    rows = await stage.pool.fetch("SELECT hold, min(linger) AS low, max(linger) AS high FROM seats GROUP BY hold")
    times = sorted(row["low"] for row in rows)
    assert all(row["low"] == row["high"] for row in rows)
    assert timedelta(0) <= times[0] < timedelta(seconds=20) < timedelta(seconds=40) < times[-1] <= timedelta(minutes=1)
    assert len(set(times)) == 20


async def test_a_seat_of_a_lapsed_order_is_whose_who_names_it_and_looks_held_for_a_while(stage: Stage) -> None:
    await lapse(stage, await stage.place(ANNA, FRONT, NEXT))
    await stage.pool.execute("UPDATE seats SET linger = '1 min'")
    await asyncio.sleep(PAST_A_READING)
    assert (await state(stage, FRONT), await state(stage, NEXT)) == ("1", "1")
    assert (await stage.hold(BORIS, FRONT)).seats == [FRONT]
    await stage.pool.execute("UPDATE seats SET linger = '0' WHERE seat = $1", NEXT)
    await sweeper(stage, RETRY).sweep_holds()
    await asyncio.sleep(PAST_A_READING)
    assert (await state(stage, FRONT), await state(stage, NEXT)) == ("1", "0")
    assert await stage.paint(NEXT) is None


async def test_an_order_that_its_buyer_gives_up_frees_its_seats_at_once(stage: Stage) -> None:
    order = await stage.place(ANNA, FRONT)
    await usecases.cancel_order(stage.office, order.id, ANNA)
    stage.payment.answers[None] = {"status": "CLOSED"}
    await sweeper(stage, RETRY).close_orders()
    assert await stage.states() == {}
    assert await stage.paint(FRONT) is None


async def test_lingering_seats_do_not_count_toward_the_limit_of_who_had_them(stage: Stage) -> None:
    await stage.hold(ANNA, FRONT, NEXT, THIRD)
    await run_out(stage, shown=False)
    assert len((await stage.hold(ANNA, *(SeatId(f"A-02-0{number}") for number in (1, 2, 3, 4)))).seats) == 4


async def test_while_all_that_is_left_lingers_nothing_is_offered(stage: Stage) -> None:
    seats = list((await stage.office.sales.sheet(EVENT)).sections[1].seats())
    await stage.hold(ANNA, *seats[:4])
    await stage.hold(BORIS, *seats[4:])
    await run_out(stage, shown=False)
    with pytest.raises(NotEnoughSeats) as refusal:
        await usecases.hold_best(stage.office, EVENT, CHLOE, PUBLIC, Wish(1, "B"))
    assert refusal.value.members == {"left": 0}
