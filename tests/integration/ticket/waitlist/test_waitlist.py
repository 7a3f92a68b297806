"""Who waits for a sold-out event, and who is offered what: decided by PostgreSQL, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.ticket.orders.box_office import (
    ANNA,
    BORIS,
    CHLOE,
    EVENT,
    HOUR,
    PRESALE,
    all_at_once,
    kinds,
)
from tests.integration.ticket.waitlist.waiting_room import OTHER, OWNER, ROW, STANDING, Room

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, SeatId
from tiketi_runtime.contracts.sale_sheet import Admission, SaleSheet
from tiketi_runtime.contracts.seating import Section
from tiketi_services.ticket.orders import usecases as orders
from tiketi_services.ticket.orders.domain import (
    LimitReached,
    NotEnoughSeats,
    SeatTaken,
    SectionNotOnSale,
    UnknownSeat,
    Wish,
)
from tiketi_services.ticket.orders.map_store import MapStore
from tiketi_services.ticket.orders.public_maps import PublicMaps
from tiketi_services.ticket.queue.domain import SaleClosed
from tiketi_services.ticket.refunds.domain import ReturnDelay, Returning
from tiketi_services.ticket.refunds.repository import RefundBook
from tiketi_services.ticket.refunds.usecases import RefundDesk, refund_orders
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.waitlist.domain import (
    AlreadyWaiting,
    EntryId,
    EntryState,
    NotSoldOut,
    NotWaiting,
    OfferOpen,
    OfferOrdered,
)
from tiketi_services.ticket.waitlist.sweeper import Sweeper

NOW = timedelta(0)


def crowd(size: int) -> list[BuyerId]:
    return [BuyerId(f"buyer-{number:02d}") for number in range(size)]


# --- Joining


async def test_while_a_seat_is_free_nobody_waits_for_its_section(room: Room) -> None:
    await room.stage.hold(OWNER, *ROW[:3])
    await room.stage.hold(OTHER, *STANDING)
    with pytest.raises(NotSoldOut) as refusal:
        await room.join(ANNA)
    assert refusal.value.members["sections"] == ["A"]
    assert (await room.join(ANNA, 1, "ST")).sections == ("ST",)


async def test_a_section_is_sold_out_by_postgresql_whatever_redis_shows(room: Room) -> None:
    await room.sell_out()
    await room.stage.redis.delete(room.stage.keys.seats, room.stage.keys.counts)
    assert (await room.join(ANNA)).state is EntryState.WAITING


async def test_a_hold_that_ran_out_is_a_free_seat_even_while_it_lingers(room: Room) -> None:
    await room.sell_singly()
    await room.free_some(ROW[:1])
    with pytest.raises(NotSoldOut):
        await room.join(ANNA)


async def test_an_account_waits_once_and_the_same_request_is_answered_alike(room: Room) -> None:
    await room.sell_out()
    first = await room.join(ANNA, 2)
    assert await room.join(ANNA, 2) == first
    with pytest.raises(AlreadyWaiting):
        await room.join(ANNA, 3)
    with pytest.raises(AlreadyWaiting):
        await room.join(ANNA, 2, "A")


async def test_of_many_requests_of_one_account_at_once_there_is_one_entry(room: Room) -> None:
    await room.sell_out()
    entries = await all_at_once(*(room.join(ANNA) for _ in range(50)))
    assert len({entry.id for entry in entries}) == 1
    assert await room.stage.pool.fetchval("SELECT count(*) FROM waitlist_wants") == 2


async def test_fifty_buyers_at_once_have_fifty_places(room: Room) -> None:
    await room.sell_out()
    assert kinds(await all_at_once(*(room.join(buyer) for buyer in crowd(50)))) == ["Entry"] * 50
    assert {(await room.find(buyer)).before for buyer in crowd(50)} == set(range(50))


@pytest.mark.parametrize(
    ("sections", "quantity", "error"),
    [
        (("A",), 5, LimitReached),
        (("C",), 1, UnknownSeat),
        (("B",), 1, SectionNotOnSale),
    ],
)
async def test_what_cannot_be_had_is_not_waited_for(
    room: Room, sections: tuple[str, ...], quantity: int, error: type[Exception]
) -> None:
    sale = await room.stage.office.sales.sheet(EVENT)
    await room.stage.change(sections=(*sale.sections, Section(name="B", price=100, capacity=1)))
    await room.sell_out()
    with pytest.raises(error):
        await room.join(ANNA, quantity, *sections)


async def test_nobody_waits_before_the_sale_or_after_it_or_for_a_cancelled_event(room: Room) -> None:
    await room.sell_out()
    sale, now = await room.stage.office.sales.sheet(EVENT), datetime.now(UTC)
    for opens, closes in ((now + HOUR, now + 2 * HOUR), (now - 2 * HOUR, now - HOUR)):
        line = sale.lines[1].model_copy(update={"opens_at": opens, "closes_at": closes})
        await room.stage.change(lines=(sale.lines[0], line))
        with pytest.raises(SaleClosed):
            await room.join(ANNA)
    await room.stage.change(lines=sale.lines[:1])
    with pytest.raises(SaleClosed):
        await room.join(ANNA)
    await room.stage.change(lines=sale.lines)
    await room.stage.pool.execute("INSERT INTO cancelled_events (event, cancelled_by) VALUES ($1, 'x')", EVENT)
    with pytest.raises(SaleClosed):
        await room.join(ANNA)


async def test_who_never_joined_is_not_there(room: Room) -> None:
    for wanted in (room.find(ANNA), room.leave(ANNA), room.change_quantity(ANNA, 1)):
        with pytest.raises(NotWaiting):
            await wanted
    room.stage.office.sales._sheets.clear()
    with pytest.raises(UnknownEvent):
        await room.find(ANNA)


# --- Offers


async def test_freed_seats_are_held_for_the_first_who_waits_and_ordered_without_a_pass(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 2)
    await room.join(BORIS, 2)
    await room.free(held)
    before = await room.stage.pool.fetchval("SELECT clock_timestamp()")
    await room.sweep()
    anna, boris = await room.find(ANNA), await room.find(BORIS)
    assert anna.offer is not None
    assert boris.offer is not None
    assert (anna.state, list(anna.offer.seats), list(boris.offer.seats)) == (EntryState.OFFERED, ROW[:2], ROW[2:])
    assert before + timedelta(minutes=5) <= anna.offer.until <= before + timedelta(minutes=5, seconds=10)
    assert (await room.stage.paint(ROW[0]) or "").startswith(f"{anna.offer.hold}|{ANNA}|")
    order = await room.place(ANNA)
    await room.stage.settle(order)
    await room.sweep()
    assert (await room.find(ANNA)).state is EntryState.ORDERED
    assert {seat: state for seat, state in (await room.stage.states()).items() if seat in ROW} == {
        ROW[0]: "SOLD",
        ROW[1]: "SOLD",
        ROW[2]: "HELD",
        ROW[3]: "HELD",
    }


async def test_seats_that_come_free_in_any_way_are_offered(room: Room) -> None:
    order = await room.stage.place(OWNER, *ROW[:2])
    held = await room.stage.hold(OWNER, *ROW[2:])
    await room.stage.hold(OTHER, *STANDING)
    waiting = crowd(6)
    for buyer in waiting:
        await room.join(buyer)
    await room.free(held)
    await room.sweep()
    assert set(await room.offered(*waiting)) == set(waiting[:2])
    room.stage.payment.answers[None] = {"status": "CLOSED"}
    await orders.close_order(room.stage.office, order.id)
    await room.sweep()
    assert set(await room.offered(*waiting)) == set(waiting[:4])
    await room.free_some(STANDING)
    await room.sweep()
    assert set(await room.offered(*waiting)) == set(waiting)


async def test_a_hold_that_ran_out_is_offered_before_it_stops_lingering(room: Room) -> None:
    await room.sell_singly()
    await room.join(ANNA)
    await room.stage.pool.execute("UPDATE seats SET linger = '1 hour'")
    await room.free_some(ROW)
    await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 1}


async def test_while_somebody_waits_no_line_gets_what_comes_free(room: Room) -> None:
    held, standing = await room.sell_out()
    await room.join(ANNA, 1, "A")
    await room.free(held)
    await room.free(standing, OTHER)
    for line in (PUBLIC, PRESALE):
        with pytest.raises(SeatTaken):
            await room.stage.hold(BORIS, ROW[0], line=line)
    with pytest.raises((SeatTaken, NotEnoughSeats)):
        await orders.hold_best(room.stage.office, EVENT, BORIS, PUBLIC, Wish(1, "A"))
    mine = await room.stage.hold(BORIS, STANDING[0])  # nobody waits for these
    with pytest.raises(SeatTaken):
        await orders.change_seats(room.stage.office, EVENT, BORIS, PUBLIC, mine.id, [ROW[0]])
    changed = await orders.change_seats(room.stage.office, EVENT, BORIS, PUBLIC, mine.id, [STANDING[1]])
    assert changed.seats == (STANDING[1],)
    await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 1}
    assert len((await room.stage.hold(BORIS, ROW[3])).seats) == 1  # nobody waits any more


async def test_one_may_keep_ones_own_seats_where_others_wait(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA)
    kept = await orders.change_seats(room.stage.office, EVENT, OWNER, PUBLIC, held.id, ROW[:3])
    again = await orders.change_seats(room.stage.office, EVENT, OWNER, PUBLIC, held.id, ROW[:3])
    assert (kept.id, list(kept.seats)) == (again.id, ROW[:3])
    with pytest.raises(SeatTaken):
        await orders.change_seats(room.stage.office, EVENT, OWNER, PUBLIC, kept.id, ROW)


async def test_an_offer_that_lapses_goes_to_the_next_and_the_second_time_the_entry_is_out(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 4)
    await room.join(BORIS, 4)
    await room.free(held)
    await room.sweep()
    await room.let_lapse(ANNA)
    await room.sweep()
    anna = await room.find(ANNA)
    assert (anna.state, anna.lapses, anna.before) == (EntryState.RESTING, 1, 0)
    assert await room.offered(ANNA, BORIS) == {BORIS: 4}
    await room.stage.pool.execute("UPDATE waitlist_entries SET rests_until = now() WHERE state = 'RESTING'")
    await room.sweep()
    await room.let_lapse(BORIS)
    await room.sweep()
    assert await room.offered(ANNA, BORIS) == {ANNA: 4}
    await room.let_lapse(ANNA)
    await room.sweep()
    anna = await room.find(ANNA)
    assert (anna.state, anna.reason, anna.before, anna.offer) == (EntryState.ENDED, "lapsed", None, None)


async def test_seats_that_are_given_back_count_as_a_lapse_and_an_extended_offer_stays(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 4)
    await room.free(held)
    await room.sweep()
    offer = (await room.find(ANNA)).offer
    assert offer is not None
    extended = await orders.extend_hold(room.stage.office, EVENT, ANNA, offer.hold)
    await room.sweep()
    seen = (await room.find(ANNA)).offer
    assert seen is not None
    assert seen.until == extended.until
    await orders.release_hold(room.stage.office, EVENT, ANNA, offer.hold)
    await room.sweep()
    assert ((await room.find(ANNA)).state, (await room.find(ANNA)).lapses) == (EntryState.RESTING, 1)


async def test_an_order_made_as_the_offer_ends_is_no_lapse(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 4)
    await room.free(held)
    await room.sweep()
    await room.place(ANNA)
    await room.stage.pool.execute("UPDATE holds SET until = held_at + interval '1 us' WHERE line = '@waitlist'")
    await room.sweep()
    assert (await room.find(ANNA)).state is EntryState.ORDERED
    await room.stage.pool.execute("UPDATE holds SET until = held_at + interval '1 min' WHERE line = '@waitlist'")


async def test_seats_owned_count_at_the_moment_of_the_offer(room: Room) -> None:
    await room.stage.hold(OWNER, *ROW[1:])
    first = await room.stage.hold(ANNA, ROW[0])
    standing = await room.stage.hold(OTHER, *STANDING)
    await room.join(ANNA, 4)
    await room.join(OWNER, 2)
    await room.free(standing, OTHER)
    await room.stage.change(max_tickets_per_buyer=3)  # OWNER has all that one may have, ANNA may have two more
    await room.sweep()
    assert await room.offered(ANNA, OWNER) == {ANNA: 2}
    await room.free(first, ANNA)
    await room.sweep()
    assert (await room.find(OWNER)).state is EntryState.RESTING
    assert len((await room.stage.hold(BORIS, ROW[0])).seats) == 1  # nothing is kept for who may have no more


async def test_paused_stopped_and_cancelled_sales_offer_nothing(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA)
    await room.free(held)
    await room.stage.change(admission=Admission.PAUSED)
    await room.sweep()
    assert await room.offered(ANNA) == {}
    await room.stage.change(admission=Admission.OPEN)
    for action in ("STOP", "RESUME"):
        assert await room.offered(ANNA) == {}
        await room.stage.pool.execute(
            "INSERT INTO sale_stops (event, action, \"by\", reason) VALUES ($1, $2, 'x', 'x')", EVENT, action
        )
        await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 1}
    await room.stage.pool.execute("INSERT INTO cancelled_events (event, cancelled_by) VALUES ($1, 'x')", EVENT)
    await room.stage.pool.execute("UPDATE waitlist_entries SET state = 'WAITING'")
    await room.sweep()
    assert (await room.find(ANNA)).state is EntryState.WAITING


async def test_a_sheet_that_changed_meanwhile_offers_nothing_wrong(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA)
    await room.free(held)
    old = await room.stage.office.sales.sheet(EVENT)
    await room.stage.change(title="Second Night")
    room.stage.office.sales._sheets[EVENT] = old
    await room.sweep()
    assert await room.offered(ANNA) == {}
    with pytest.raises(AlreadyWaiting):  # asked again with the newest sheet
        await room.join(ANNA, 2)
    await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 1}


# --- While nobody serves it


async def unserved(room: Room) -> None:
    """The last time that the waitlist was looked after is half a minute ago."""
    await room.stage.pool.execute("UPDATE waitlist_served SET served_at = served_at - interval '31 s'")


async def test_nothing_is_kept_while_nobody_is_there_to_offer_it(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 1, "A")
    await room.free(held)
    with pytest.raises(SeatTaken):
        await room.stage.hold(BORIS, ROW[0])
    await unserved(room)
    assert len((await room.stage.hold(BORIS, ROW[0])).seats) == 1
    with pytest.raises(NotSoldOut):  # there are seats for everybody
        await room.join(CHLOE, 1, "A")
    await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 1}


@pytest.mark.parametrize("change", ["moved", "closed", "removed", "narrowed"])
async def test_a_presale_sells_on_when_the_public_line_offers_a_section_no_more(room: Room, change: str) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 1, "A")
    sale, now = await room.stage.office.sales.sheet(EVENT), datetime.now(UTC)
    presale, public = sale.lines
    lines = {
        "moved": (presale, public.model_copy(update={"opens_at": now + HOUR})),
        "closed": (presale, public.model_copy(update={"closes_at": now})),
        "removed": (presale,),
        "narrowed": (presale, public.model_copy(update={"sections": ("ST",)})),
    }
    await room.stage.change(lines=lines[change])
    await unserved(room)
    await room.sweep()
    await room.free(held)
    assert len((await room.stage.hold(BORIS, ROW[0], line=PRESALE)).seats) == 1


async def test_seats_are_kept_through_a_pause(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 1, "A")
    await room.stage.change(admission=Admission.PAUSED)
    await unserved(room)
    await room.sweep()
    await room.free(held)
    await room.stage.change(admission=Admission.OPEN)
    with pytest.raises(SeatTaken):
        await room.stage.hold(BORIS, ROW[0])


async def test_an_event_whose_waitlist_fails_does_not_starve_the_others(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = await room.stage.office.sales.sheet(EVENT)
    bad = EventId("arena/aaa-first")
    await room.stage.announce(sale.model_copy(update={"event": bad}))
    held, _ = await room.sell_out()
    await room.join(ANNA, 1, "A")
    await room.free(held)
    lists = room.room.lists
    settle = lists.settle

    async def failing(event: EventId, rest: timedelta, most: int) -> list[tuple[EntryId, EntryState]]:
        if event == bad:
            raise ValueError("a broken event")
        return await settle(event, rest, most)

    async def both(_: Sequence[EventId]) -> list[EventId]:
        return [bad, EVENT]

    monkeypatch.setattr(lists, "settle", failing)
    monkeypatch.setattr(lists, "waited_for", both)
    await room.stage.pool.execute("DELETE FROM waitlist_served")
    with pytest.raises(ValueError, match="a broken event"):
        await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 1}
    served = await room.stage.pool.fetch("SELECT event FROM waitlist_served")
    assert [row["event"] for row in served] == [EVENT]


async def test_seats_of_a_refund_wait_for_their_moment_while_nobody_serves_the_waitlist(room: Room) -> None:
    await room.sell_out()
    await room.join(ANNA, 1, "A")
    await room.stage.pool.execute(
        "UPDATE seats SET buyer = '', hold = gen_random_uuid(), until = now() + interval '1 h' WHERE seat = $1", ROW[0]
    )
    refund = str(await room.stage.pool.fetchval("SELECT hold FROM seats WHERE seat = $1", ROW[0]))
    await unserved(room)
    await Sweeper(room.room).offer(Returning(refund, EVENT, (ROW[0],), datetime.now(UTC) + HOUR))
    with pytest.raises(SeatTaken):
        await room.stage.hold(BORIS, ROW[0])
    await room.stage.pool.execute("DELETE FROM seats WHERE buyer = ''")


async def test_seats_that_are_kept_look_held_on_every_map(room: Room) -> None:
    sale = await room.stage.office.sales.sheet(EVENT)
    await room.stage.hold(OWNER, *ROW[:2])
    last = await room.stage.hold(OTHER, *ROW[2:])
    assert (await shown(room, sale))["ST"] == "00"
    await room.join(ANNA, 4, "A")
    await room.free(last, OTHER)
    assert await shown(room, sale) == {"A": "1111", "ST": "00"}
    await unserved(room)
    assert (await shown(room, sale))["A"] == "1100"


async def shown(room: Room, sale: SaleSheet) -> dict[str, str]:
    """What both maps show of each section: that of the box office, and the public one."""
    await asyncio.sleep(0.06)
    book = room.stage.office.book
    public = PublicMaps(book, MapStore(room.stage.pool), interval=NOW, max_age=NOW)
    states = (await public.current(sale)).states.decode()
    here = (await room.stage.office.maps.current(sale)).house.states()
    assert states == "".join(here.values())
    return here


# --- Those who gave their tickets back


async def test_who_refunded_may_wait_like_anybody(room: Room) -> None:
    order = await room.stage.place(ANNA, *ROW)
    held = await room.stage.hold(OTHER, *STANDING)
    await room.stage.settle(order)
    desk = RefundDesk(RefundBook(room.stage.pool), room.stage.office.paint, ReturnDelay(HOUR, HOUR))
    refunds, _ = await refund_orders(desk, EVENT, "organiser", "key", [order.id])
    assert len(refunds) == 1
    await room.join(ANNA, 2, "ST")
    await room.free(held, OTHER)
    await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 2}


# --- Those who want more than there is


async def test_a_large_want_is_passed_over_three_times_then_seats_are_gathered_for_it(room: Room) -> None:
    await room.sell_singly()
    small = crowd(5)
    await room.join(ANNA, 4, "A")
    for buyer in small:
        await room.join(buyer, 1, "A")
    for number, seat in enumerate(ROW[:3]):
        await room.free_some([seat])
        await room.sweep()
        assert len(await room.offered(*small)) == number + 1
    await room.free_some([ROW[3]])
    for _ in range(3):
        await room.sweep()
    assert len(await room.offered(ANNA, *small)) == 3
    for buyer in small[:3]:
        await room.leave(buyer)
    await room.sweep()
    assert await room.offered(ANNA, *small) == {ANNA: 4}


async def test_when_the_time_of_gathering_is_over_what_there_is_is_offered(room: Room) -> None:
    await room.sell_singly()
    await room.join(ANNA, 4, "A")
    await room.free_some(ROW[1:3])
    await room.sweep()
    assert await room.offered(ANNA) == {}
    hurried = room.lasting(gathering=NOW)
    await room.stage.pool.execute("UPDATE waitlist_entries SET gathers_until = NULL")
    await hurried.sweep()
    await hurried.sweep()
    assert await room.offered(ANNA) == {ANNA: 2}


# --- More, fewer, none


async def test_a_changed_quantity_keeps_the_place(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 1)
    await room.join(BORIS, 4)
    assert (await room.change_quantity(ANNA, 4)).before == 0
    with pytest.raises(LimitReached, match=r"ask for 5 besides; one buyer may have 4\. Lower `quantity`\.$") as refusal:
        await room.change_quantity(ANNA, 5)
    assert refusal.value.members == {"limit": 4, "held": 0}
    await room.free(held)
    await room.sweep()
    assert await room.offered(ANNA, BORIS) == {ANNA: 4}
    with pytest.raises(OfferOpen):
        await room.change_quantity(ANNA, 1)
    await room.leave(ANNA)
    with pytest.raises(NotWaiting):
        await room.change_quantity(ANNA, 1)


async def test_who_leaves_gives_the_offer_back_and_joins_again_at_the_end(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 4)
    await room.join(BORIS, 4)
    await room.free(held)
    await room.sweep()
    for _ in range(2):
        await room.leave(ANNA)
    assert (await room.find(ANNA)).reason == "left"
    assert await room.stage.paint(ROW[0]) is None
    await room.sweep()
    assert await room.offered(ANNA, BORIS) == {BORIS: 4}
    assert (await room.join(ANNA, 1)).before == 1


async def test_an_offer_that_is_ordered_is_not_left(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(ANNA, 4)
    await room.free(held)
    await room.sweep()
    await room.place(ANNA)
    with pytest.raises(OfferOrdered):
        await room.leave(ANNA)
    assert (await room.find(ANNA)).state is EntryState.ORDERED
    await room.leave(ANNA)  # there is nothing to leave any more


async def test_seats_of_a_refund_are_the_waitlists_at_once_and_nobody_elses(room: Room) -> None:
    await room.sell_out()
    await room.stage.pool.execute(
        "UPDATE seats SET buyer = '', hold = gen_random_uuid(), until = now() + interval '1 h' WHERE seat = ANY ($1)",
        ROW,
    )
    await room.stage.pool.execute("UPDATE holds SET released_at = now() WHERE seats = $1", ROW)
    refund = str(await room.stage.pool.fetchval("SELECT hold FROM seats WHERE seat = $1", ROW[0]))
    returning = Returning(refund, EVENT, (ROW[0],), datetime.now(UTC) + HOUR)
    await Sweeper(room.room).offer(returning)  # nobody waits
    await room.join(ANNA, 1, "A")
    await room.sweep()
    assert await room.offered(ANNA) == {}
    await Sweeper(room.room).offer(returning)
    await room.sweep()
    assert await room.offered(ANNA) == {ANNA: 1}
    await room.stage.pool.execute("DELETE FROM seats WHERE buyer = ''")


# --- All at once


async def test_however_many_sweep_at_once_each_seat_is_offered_once_and_in_order(room: Room) -> None:
    held, standing = await room.sell_out()
    buyers = crowd(50)
    for buyer in buyers:
        await room.join(buyer)
    await room.free(held)
    await room.free(standing, OTHER)
    await asyncio.gather(*(room.sweep() for _ in range(20)))
    assert set(await room.offered(*buyers)) == set(buyers[:6])


async def test_leaving_at_the_moment_of_the_offer_leaves_no_seat_behind(room: Room) -> None:
    held, standing = await room.sell_out()
    buyers = crowd(50)
    await all_at_once(*(room.join(buyer) for buyer in buyers))
    await room.free(held)
    await room.free(standing, OTHER)
    results = await all_at_once(
        *(work for buyer in buyers for work in (room.leave(buyer), room.sweep())), *(room.sweep() for _ in range(5))
    )
    assert kinds(results) == ["NoneType"] * 105
    await room.sweep()
    assert await room.offered(*buyers) == {}
    live = "SELECT count(*) FROM seats WHERE state <> 'HELD' OR until > clock_timestamp()"
    assert await room.stage.pool.fetchval(live) == 0
    assert await room.stage.pool.fetchval("SELECT count(*) FROM waitlist_wants") == 0


async def test_line_buyers_never_win_against_those_who_wait(room: Room) -> None:
    await room.sell_singly()
    waiting, rivals = crowd(6), [BuyerId(f"rival-{number}") for number in range(30)]
    for buyer in waiting:
        await room.join(buyer)
    seats: list[SeatId] = [*ROW, *STANDING]

    async def rush(rival: BuyerId) -> None:
        for seat in seats:
            with pytest.raises(SeatTaken):
                await room.stage.hold(rival, seat)

    rushes = [asyncio.create_task(rush(rival)) for rival in rivals]
    await room.free_some(seats)
    await asyncio.gather(*rushes[:20])
    await room.sweep()
    await asyncio.gather(*rushes[20:])
    assert await room.offered(*waiting) == dict.fromkeys(waiting, 1)


async def test_ordering_and_lapsing_at_once_is_one_or_the_other(room: Room) -> None:
    held, _ = await room.sell_out()
    await room.join(CHLOE, 4)
    await room.free(held)
    await room.lasting(window=timedelta(milliseconds=300)).sweep()
    await asyncio.sleep(0.29)
    results = await all_at_once(room.place(CHLOE), *(room.sweep() for _ in range(20)))
    await asyncio.sleep(0.05)
    await room.sweep()
    state = (await room.find(CHLOE)).state
    ordered = await room.stage.pool.fetchval("SELECT count(*) FROM orders")
    assert (state, ordered) in ((EntryState.ORDERED, 1), (EntryState.RESTING, 0)), results
