"""What a place costs, and how payment is checked."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_services.ticket.queue.gates.work import (
    FREE_PLACES,
    GROWN_UP,
    YOUTH_BITS,
    lifetime,
    network_of,
    required_bits,
    solves,
)

LOADS = st.floats(0, 1e6)
AGES = st.timedeltas(timedelta(days=-1), timedelta(days=4000))
PLACES = st.integers(0, 10**6)
MOST = st.integers(0, 26)
NEW = timedelta(0)


def test_an_old_account_is_asked_for_nothing_in_calm_times() -> None:
    assert required_bits(1, GROWN_UP, FREE_PLACES, 26) == 0


def test_a_new_account_pays_in_calm_times_and_less_after_a_day_and_a_week() -> None:
    ages = [NEW, timedelta(hours=1), timedelta(days=1), timedelta(days=7), GROWN_UP]
    assert [required_bits(0, age, 0, 26) for age in ages] == [YOUTH_BITS, 13, 7, 3, 0]


def test_each_doubling_of_the_load_is_a_bit() -> None:
    assert [required_bits(load, GROWN_UP, 0, 26) for load in (0.5, 1, 2, 4, 1024)] == [0, 0, 1, 2, 10]


def test_each_doubling_of_a_network_s_places_is_a_bit() -> None:
    counts = (0, 8, 16, 32, 1024, 65_536)
    assert [required_bits(0, GROWN_UP, places, 26) for places in counts] == [0, 0, 1, 2, 7, 13]


def test_a_carrier_s_grown_up_customer_in_the_rush_pays_less_than_a_stranger_s_new_account() -> None:
    carrier = required_bits(10, GROWN_UP, 20_000, 26)
    assert carrier <= YOUTH_BITS + 1
    assert carrier < required_bits(10, NEW, 0, 26)


@given(LOADS, AGES, PLACES, MOST)
def test_bits_are_never_below_none_nor_above_the_most(load: float, age: timedelta, places: int, most: int) -> None:
    assert 0 <= required_bits(load, age, places, most) <= most


@given(LOADS, LOADS, AGES, AGES, PLACES, PLACES, MOST)
def test_more_load_more_neighbours_and_less_age_never_cost_less(
    load: float, more: float, age: timedelta, older: timedelta, places: int, others: int, most: int
) -> None:
    dear = required_bits(max(load, more), min(age, older), max(places, others), most)
    assert dear >= required_bits(min(load, more), max(age, older), min(places, others), most)


@pytest.mark.parametrize(("load", "places"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(load: float, places: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        required_bits(load, NEW, places, 20)


@given(st.text("abcdef.-_", max_size=300), st.integers(0, 10**9))
def test_a_nonce_is_worth_as_many_bits_as_its_hash_has_zeros_in_front(challenge: str, number: int) -> None:
    digest = sha256(f"{challenge}{number}".encode()).digest()
    zeros = len(f"{int.from_bytes(digest):0256b}".partition("1")[0])
    assert solves(challenge, str(number), zeros)
    assert not solves(challenge, str(number), zeros + 1)


@pytest.mark.parametrize("nonce", ["x" * 33, "é", "\ud800", "\N{FULLWIDTH DIGIT ONE}"])
def test_a_nonce_no_solver_makes_is_refused_whatever_the_price(nonce: str) -> None:
    assert not solves("challenge", nonce, 0)


def test_a_dearer_challenge_may_take_longer() -> None:
    assert lifetime(0) == timedelta(minutes=2, microseconds=10)
    assert lifetime(26) > timedelta(minutes=12)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"),
        ("::1", "::/56"),
    ],
)
def test_a_network_is_what_one_subscriber_has(address: str, network: str) -> None:
    assert network_of(ip_address(address)) == network
