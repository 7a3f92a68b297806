"""What the bytes of a seat map say, read by a decoder that knows docs/seat-map.md alone."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sale_sheets import sale_sheet
from tests.seat_map_client import Change, Follower, Map, checksum_of, decode

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.seating import Section
from tiketi_services.ticket.orders.seat_format import SeatMap, layout_of, pack, unpack

PAGE = Path(__file__).parents[4] / "docs" / "seat-map.md"
_EXAMPLE = re.compile(r"^(?:map|change) [0-9 ]+\n((?:[0-9a-f ]+\n)+)", re.MULTILINE)

states = st.binary(max_size=700).map(lambda some: bytes(0x30 + byte % 3 for byte in some))


def a_map(version: int, what: bytes, name: str = "A") -> SeatMap:
    return SeatMap(version, json.dumps({"sections": [{"name": name, "capacity": len(what)}]}), what)


def numbers(what: bytes) -> list[int]:
    return [byte - 0x30 for byte in what]


@given(states)
def test_two_bits_a_seat_and_back(what: bytes) -> None:
    packed = pack(what)
    assert len(packed) == (len(what) + 3) // 4
    assert unpack(packed, len(what)) == what


def test_bytes_of_another_house_are_refused() -> None:
    with pytest.raises(ValueError, match="2 bytes are not 9 seats"):
        unpack(b"12", 9)


@given(st.integers(0, 2**53 - 1), states)
def test_a_map_says_what_it_was_made_of(version: int, what: bytes) -> None:
    made = a_map(version, what)
    found = decode(made.document)
    assert isinstance(found, Map)
    assert (found.version, found.layout, found.states) == (version, json.loads(made.layout), numbers(what))


@settings(max_examples=300)
@given(states, st.data())
def test_a_change_leads_from_one_map_to_the_other(what: bytes, data: st.DataObject) -> None:
    """Or it is only a notice, where the map is shorter."""
    other = bytearray(what)
    for place in data.draw(st.lists(st.integers(0, max(0, len(what) - 1)), max_size=40)):
        if what:
            other[place] = data.draw(st.sampled_from(b"012"))
    before, after = a_map(7, what), a_map(9, bytes(other))
    change = decode(after.change_since(before))
    assert isinstance(change, Change)
    assert change.version == 9
    if change.before == 9:
        assert change.seats == {}
        return
    assert change.before == 7
    assert change.seats == {place: new - 0x30 for place, new in enumerate(other) if what[place] != new}
    assert change.checksum == checksum_of(numbers(bytes(other))) == zlib.crc32(pack(bytes(other)))


def test_a_change_is_never_longer_than_the_map() -> None:
    before, after = a_map(1, b"0" * 60_000), a_map(2, b"01" * 30_000)
    assert after.change_since(before) == after.notice
    few = a_map(2, b"0" * 59_000 + b"1" * 1_000)
    assert len(few.change_since(before)) == 24 + 1_000 + 2


def test_nothing_is_applied_across_layouts() -> None:
    before = a_map(1, b"000")
    after = replace(a_map(2, b"001", "B"))
    assert after.change_since(before) == after.notice


def test_the_largest_house_fits_20_kb() -> None:
    sections = tuple(Section(name=f"SECTION{n:05d}", price=100_000_000, rows=40, seats_per_row=25) for n in range(60))
    sale = sale_sheet(EventId("demo/show"), datetime.now(UTC), sections=sections)
    document = SeatMap(2**53 - 1, layout_of(sale), b"2" * sale.capacity).document
    assert sale.capacity == 60_000
    assert len(document) < 20_000


def test_the_layout_draws_the_house() -> None:
    sections = (
        Section(name="A", price=1000, rows=2, seats_per_row=101),
        Section(name="ST", price=500, capacity=10_001),
    )
    sale = sale_sheet(EventId("demo/show"), datetime.now(UTC), sections=sections)
    document = SeatMap(1, layout_of(sale), b"0" * sale.capacity).document
    found = decode(document)
    assert isinstance(found, Map)
    assert found.seats() == [seat for section in sections for seat in section.seats()]
    assert found.layout["currency"] == sale.currency
    assert [section["price"] for section in found.layout["sections"]] == [1000, 500]


def test_json_says_the_same() -> None:
    sections = (Section(name="A", price=1000, rows=1, seats_per_row=3), Section(name="ST", price=500, capacity=2))
    sale = sale_sheet(EventId("demo/show"), datetime.now(UTC), sections=sections)
    plain = json.loads(SeatMap(5, layout_of(sale), b"01202").plain)
    assert plain["sections"] == {"A": "012", "ST": "02"}
    assert (plain["event"], plain["version"]) == ("demo/show", 5)
    assert plain["layout"] == json.loads(layout_of(sale))["sections"]


def test_the_example_of_the_page_is_true() -> None:
    first, change, notice = (bytes.fromhex(each) for each in _EXAMPLE.findall(PAGE.read_text()))
    follower = Follower()
    follower.fetched(first)
    assert follower.map is not None
    assert follower.map.shown() == {"A-01-02": 1, "A-02-03": 2, "ST-0001": 1}
    before = SeatMap(follower.map.version, json.dumps(follower.map.layout, separators=(",", ":")), b"010002100")
    after = replace(before, version=1795428000631, states=b"011102000")
    assert (before.document, after.change_since(before), after.notice) == (first, change, notice)
    follower.hear(change)
    assert follower.map.shown() == {"A-01-02": 1, "A-01-03": 1, "A-02-01": 1, "A-02-03": 2}
    follower.hear(notice)
    assert (follower.wanted, follower.applied) == (None, [1795428000631])


# --- What a client finds out by itself


def chain(*what: bytes) -> list[SeatMap]:
    return [a_map(version, each) for version, each in enumerate(what, 1)]


def test_a_client_that_missed_a_change_knows() -> None:
    one, two, three = chain(b"000", b"100", b"101")
    follower = Follower()
    follower.fetched(one.document)
    follower.hear(three.change_since(two))
    assert follower.wanted == 3
    follower.fetched(two.document)  # an old one, out of a cache
    assert follower.map is not None
    assert follower.map.states == [1, 0, 1]


def test_a_client_that_missed_the_last_change_knows_by_the_notice() -> None:
    one, two = chain(b"000", b"100")
    follower = Follower()
    follower.fetched(one.document)
    follower.hear(two.notice)
    assert follower.wanted == 2


def test_a_change_that_lacks_a_seat_is_found_by_the_checksum() -> None:
    one, two = chain(b"0" * 40, b"1" + b"0" * 4 + b"1" + b"0" * 34)
    whole = two.change_since(one)
    follower = Follower()
    follower.fetched(one.document)
    follower.hear(whole[:-1])
    assert (follower.mistakes, follower.map, follower.wanted) == (1, None, 2)
    follower.fetched(two.document)
    assert follower.map is not None
    assert follower.map.states == [1, 0, 0, 0, 0, 1, *[0] * 34]


@settings(max_examples=300)
@given(st.lists(st.binary(min_size=24, max_size=24), min_size=2, max_size=12), st.data())
def test_whatever_is_lost_repeated_or_late_the_map_is_right_or_known_to_be_wrong(
    readings: list[bytes], data: st.DataObject
) -> None:
    """Two processes tell the same versions, each skipping some; the client changes between them and loses messages."""
    maps = [a_map(version, bytes(0x30 + byte % 3 for byte in each)) for version, each in enumerate(readings, 1)]
    follower, told = Follower(), {0: maps[0], 1: maps[0]}
    for reading in maps:
        for process in (0, 1):
            if data.draw(st.booleans()):
                continue  # it did not look in time
            change, told[process] = reading.change_since(told[process]), reading
            if data.draw(st.booleans()):
                follower.hear(change)
        if follower.wanted is not None and data.draw(st.booleans()):
            follower.fetched(data.draw(st.sampled_from(maps[: reading.version])).document)
        if follower.map is not None:
            assert follower.map.states == numbers(maps[follower.map.version - 1].states)
    follower.hear(maps[-1].notice)
    while follower.wanted is not None:
        follower.fetched(maps[-1].document)
    assert follower.map is not None
    assert follower.map.states == numbers(maps[-1].states)
    assert follower.mistakes == 0
