"""The public seat map: one order of versions for all processes, true to PostgreSQL, and never old."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.integration.ticket.orders.box_office import ANNA, BORIS, EVENT, FRONT, NEXT, THIRD, Stage, sale_sheet

from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import Section
from tiketi_runtime.errors import Unavailable
from tiketi_services.ticket.orders import usecases
from tiketi_services.ticket.orders.map_store import MapStore
from tiketi_services.ticket.orders.public_maps import PublicMaps
from tiketi_services.ticket.orders.repository import OrderBook
from tiketi_services.ticket.orders.seat_format import SeatMap

INTERVAL = timedelta(milliseconds=20)


class SlowBook(OrderBook):
    """Reads the house when it is let."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.pool)
        self.began, self.may_read = asyncio.Event(), asyncio.Event()

    async def house(self, event: EventId) -> tuple[Sequence[SeatId], Sequence[SeatId], Sequence[str]]:
        found = await super().house(event)
        self.began.set()
        await self.may_read.wait()
        return found


def a_process(stage: Stage, *, interval: timedelta = INTERVAL, book: OrderBook | None = None) -> PublicMaps:
    return PublicMaps(
        book or OrderBook(stage.pool), MapStore(stage.pool), interval=interval, max_age=timedelta(seconds=1)
    )


async def fresh(process: PublicMaps, sale: SaleSheet) -> SeatMap:
    """The map by a reading that begins from now on."""
    before = time.monotonic()
    while (shown := await process.look(sale)).read_at < before:  # noqa: ASYNC110 - a turn is another process' to end
        await asyncio.sleep(0.005)
    return shown.map


def states_of(seat_map: SeatMap, *seats: SeatId) -> str:
    everything = [seat for section in sale_sheet().sections for seat in section.seats()]
    return "".join(chr(seat_map.states[everything.index(seat)]) for seat in seats)


async def test_the_map_shows_held_placed_and_sold_seats(stage: Stage) -> None:
    maps, sale = a_process(stage), sale_sheet()
    empty = await maps.current(sale)
    assert empty.states == b"0" * sale.capacity
    await stage.hold(ANNA, FRONT)
    order = await stage.place(BORIS, NEXT)
    await stage.settle(await stage.place(ANNA, THIRD))
    full = await fresh(maps, sale)
    assert states_of(full, FRONT, NEXT, THIRD) == "112"
    assert full.version > empty.version
    await usecases.cancel_order(stage.office, order.id, BORIS)
    stage.payment.answers[None] = {"status": "CLOSED"}
    await usecases.close_order(stage.office, order.id)
    assert states_of(await fresh(maps, sale), FRONT, NEXT, THIRD) == "102"


async def test_a_version_grows_with_a_change_and_only_then(stage: Stage) -> None:
    maps, sale = a_process(stage), sale_sheet()
    first = await fresh(maps, sale)
    assert (await fresh(maps, sale)).version == first.version
    hold = await stage.hold(ANNA, FRONT)
    second = await fresh(maps, sale)
    await usecases.release_hold(stage.office, EVENT, ANNA, hold.id)
    third = await fresh(maps, sale)
    assert first.version < second.version < third.version
    assert (third.states, third.tag == first.tag) == (first.states, False)


async def test_a_version_is_the_same_map_in_every_process_and_after_a_restart(stage: Stage) -> None:
    """Ten processes look at random moments while seats come and go."""
    sale, seen = sale_sheet(), dict[int, bytes]()
    seats = [SeatId(f"A-0{row}-0{number}") for row in (1, 2) for number in range(1, 10)]
    is_over = asyncio.Event()

    async def look_on() -> None:
        maps, last = a_process(stage), 0
        while not is_over.is_set():
            if random.random() < 0.05:
                maps = a_process(stage)  # a new process that knows nothing
            shown = (await maps.look(sale)).map
            assert shown.version >= last
            if shown.version:
                assert seen.setdefault(shown.version, shown.states) == shown.states
            last = shown.version
            await asyncio.sleep(random.random() * 0.03)

    async def sell() -> None:
        for seat in seats:
            hold = await stage.hold(ANNA, seat)
            await asyncio.sleep(0.01)
            await usecases.release_hold(stage.office, EVENT, ANNA, hold.id)
        is_over.set()

    await asyncio.gather(*(look_on() for _ in range(10)), sell())
    assert len(seen) > 5
    assert len({states for _, states in seen.items()}) > 3


async def test_one_process_reads_for_all(stage: Stage) -> None:
    """However many look, the seats are read once in an interval."""
    readings = 0

    class CountingBook(OrderBook):
        async def house(self, event: EventId) -> tuple[Sequence[SeatId], Sequence[SeatId], Sequence[str]]:
            nonlocal readings
            readings += 1
            return await super().house(event)

    sale = sale_sheet()
    processes = [a_process(stage, interval=timedelta(seconds=30), book=CountingBook(stage.pool)) for _ in range(8)]
    found = await asyncio.gather(*(process.current(sale) for process in processes for _ in range(5)))
    assert len({seat_map.version for seat_map in found}) == 1
    assert readings == 1


async def test_a_process_that_slept_over_its_turn_shows_nothing_old(stage: Stage) -> None:
    sale = sale_sheet()
    book = SlowBook(stage)
    slow, quick = a_process(stage, book=book), a_process(stage)
    asleep = asyncio.create_task(slow.look(sale))
    await book.began.wait()
    await stage.hold(ANNA, FRONT)
    newer = await fresh(quick, sale)
    book.may_read.set()
    await asleep
    assert states_of(newer, FRONT) == "1"
    after = (await quick.look(sale)).map
    assert after.version == newer.version
    assert states_of(await fresh(slow, sale), FRONT) == "1"


async def test_a_turn_whose_process_died_lapses(stage: Stage) -> None:
    sale, interval = sale_sheet(), timedelta(milliseconds=200)
    dead = asyncio.create_task(a_process(stage, interval=interval, book=SlowBook(stage)).look(sale))
    await asyncio.sleep(0.05)
    dead.cancel()
    began = time.monotonic()
    assert (await a_process(stage, interval=interval).current(sale)).version > 0
    assert time.monotonic() - began < 1


async def test_without_anybody_to_read_nobody_waits_for_ever(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiketi_services.ticket.orders.public_maps._PATIENCE", 0.2)
    sale, book = sale_sheet(), SlowBook(stage)
    reading = asyncio.create_task(a_process(stage, interval=timedelta(seconds=30), book=book).look(sale))
    await book.began.wait()
    with pytest.raises(Unavailable, match="cannot be read"):
        await a_process(stage, interval=timedelta(seconds=30)).current(sale)
    book.may_read.set()
    await reading


async def test_who_heard_of_a_version_is_not_answered_an_older_one(stage: Stage) -> None:
    sale = sale_sheet()
    one, other = a_process(stage), a_process(stage)
    old = await other.current(sale)
    await stage.hold(ANNA, FRONT)
    new = await fresh(one, sale)
    assert (await other.current(sale)).version == old.version
    assert (await other.current(sale, at_least=new.version)).version >= new.version
    assert (await other.current(sale, at_least=2**53 - 1)).version >= new.version


async def test_a_larger_house_is_another_map_and_old_sheets_keep_away_from_it(stage: Stage) -> None:
    """Rolling over: one process has the new sheet, the other not yet."""
    sale = sale_sheet()
    sections = (*sale.sections, Section(name="Z", price=1000, capacity=7))
    larger = sale.model_copy(update={"version": 2, "sections": sections})
    behind, ahead = a_process(stage), a_process(stage)
    small = await fresh(behind, sale)
    big = await fresh(ahead, larger)
    await asyncio.sleep(3 * INTERVAL.total_seconds())
    shown = (await behind.look(sale)).map
    assert (shown.version, shown.layout) == (big.version, big.layout)
    assert big.version > small.version
    assert big.change_since(small) == big.notice
    assert (await fresh(behind, larger)).version == big.version


async def test_the_clock_set_back_stops_nothing(stage: Stage) -> None:
    """PostgreSQL moved to a server whose clock is behind: versions go on growing, turns go on being taken."""
    maps, sale = a_process(stage), sale_sheet()
    first = await fresh(maps, sale)
    await stage.pool.execute(
        "UPDATE seat_maps SET turn_at = turn_at + interval '1 h', read_at = read_at + interval '1 h',"
        " version = version + 3600000"
    )
    await stage.hold(ANNA, FRONT)
    second = await fresh(maps, sale)
    assert states_of(second, FRONT) == "1"
    assert second.version == first.version + 3_600_001


async def test_a_database_restored_from_an_older_copy_gives_no_version_out_twice(stage: Stage) -> None:
    maps, sale = a_process(stage), sale_sheet()
    await stage.hold(ANNA, FRONT)
    known = await fresh(maps, sale)
    await stage.pool.execute("TRUNCATE seats, holds, seat_maps CASCADE")
    async with asyncio.timeout(5):
        while (restored := await fresh(maps, sale)).version <= known.version:
            pass
    assert states_of(restored, FRONT) == "0"
