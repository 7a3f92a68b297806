"""Beacons against rounds that drand has published."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.beacon import (
    DEFAULT,
    QUICKNET,
    Chain,
    FalseBeacon,
    known_chains,
    randomness_of,
    round_after,
    round_time,
    verify_round,
)

# Round 3311596 of the default chain, round 657413 of quicknet; from the documentation of drand-verify.
DEFAULT_ROUND = 3311596
DEFAULT_PREVIOUS = bytes.fromhex(
    "8ed588f2a7716fb1349e2d9803da5db0005e98a83783c353d4a08f183236a9ad91d70ddb01266f4b7c576983db464b43"
    "0e65680b9e0098552758afd6c1e6afcb77e3f62fe1b93d42d1cb63abbb2205512fe12fbf74ea9c5ac3b8f5c1e283a1d8"
)
DEFAULT_SIGNATURE = bytes.fromhex(
    "a696b9409ababce45749c3a4ec369074453dd4a79967734e1390d969c8ad8d98897d217b9121e92c8ddebbddda8d92f9"
    "00e3bd6bf9deb166863b1a19390d743f82774001487594c5c09e581db7365f02b70a2c8cc41ce32446ef08e4890c4754"
)
QUICKNET_ROUND = 657413
QUICKNET_SIGNATURE = bytes.fromhex(
    "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b"
)
QUICKNET_INFO: dict[str, Any] = {
    "public_key": QUICKNET.public_key.hex(),
    "period": 3,
    "genesis_time": 1692803367,
    "hash": QUICKNET.hash,
    "groupHash": QUICKNET.seed.hex(),
    "schemeID": "bls-unchained-g1-rfc9380",
    "metadata": {"beaconID": "quicknet"},
}


@pytest.mark.parametrize("chain", [DEFAULT, QUICKNET], ids=lambda chain: chain.beacon_id)
def test_the_hash_of_a_chain_covers_what_we_say_of_it(chain: Chain) -> None:
    assert chain.compute_hash() == chain.hash


def test_published_rounds_are_genuine() -> None:
    verify_round(DEFAULT, DEFAULT_ROUND, DEFAULT_SIGNATURE, DEFAULT_PREVIOUS)
    verify_round(QUICKNET, QUICKNET_ROUND, QUICKNET_SIGNATURE, None)
    assert randomness_of(DEFAULT_SIGNATURE).hex() == "647c07b2abbf7ff2afb4d670214f565e5cd9f9c91bfdcecb59a21f3c78d73920"
    assert randomness_of(QUICKNET_SIGNATURE).hex() == "fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587"


@pytest.mark.parametrize(
    ("chain", "number", "signature", "previous"),
    [
        (QUICKNET, QUICKNET_ROUND + 1, QUICKNET_SIGNATURE, None),
        (QUICKNET, QUICKNET_ROUND, QUICKNET_SIGNATURE[:-1] + b"\x7a", None),
        (QUICKNET, QUICKNET_ROUND, b"\xc0" + bytes(47), None),
        (QUICKNET, QUICKNET_ROUND, b"", None),
        (QUICKNET, QUICKNET_ROUND, DEFAULT_SIGNATURE, None),
        (DEFAULT, DEFAULT_ROUND, DEFAULT_SIGNATURE, None),
        (DEFAULT, DEFAULT_ROUND, DEFAULT_SIGNATURE, DEFAULT_SIGNATURE),
        (DEFAULT, DEFAULT_ROUND + 1, DEFAULT_SIGNATURE, DEFAULT_PREVIOUS),
        (DEFAULT, DEFAULT_ROUND, DEFAULT_PREVIOUS, DEFAULT_SIGNATURE),
    ],
)
def test_anything_else_is_false(chain: Chain, number: int, signature: bytes, previous: bytes | None) -> None:
    with pytest.raises(FalseBeacon):
        verify_round(chain, number, signature, previous)


def test_a_chain_is_read_from_what_a_relay_says_of_it() -> None:
    assert Chain.from_info(QUICKNET_INFO) == QUICKNET


@pytest.mark.parametrize(
    "changes",
    [
        {"period": 30},
        {"genesis_time": 1692803368},
        {"groupHash": DEFAULT.seed.hex()},
        {"hash": DEFAULT.hash},
        {"metadata": {"beaconID": "default"}},
        {"schemeID": "bls-bn254-unchained-on-g1"},
        {"period": -3},
        {"public_key": "no hex"},
        {"genesis_time": 10**30},
        {"metadata": None},
    ],
)
def test_a_description_that_does_not_fit_its_hash_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"chain|Scheme|hexadecimal"):
        Chain.from_info({**QUICKNET_INFO, **changes})


def test_a_chain_that_never_moves_is_refused() -> None:
    still = replace(QUICKNET, period=timedelta(0))
    with pytest.raises(ValueError, match="period is not positive"):
        Chain.from_info({**QUICKNET_INFO, "period": 0, "hash": still.compute_hash()})


def test_further_chains_stand_beside_the_known_ones() -> None:
    ours = replace(QUICKNET, beacon_id="ours")
    info = {**QUICKNET_INFO, "metadata": {"beaconID": "ours"}, "hash": ours.compute_hash()}
    assert set(known_chains([info])) == {DEFAULT.hash, QUICKNET.hash, ours.compute_hash()}


def test_the_first_round_is_published_at_genesis() -> None:
    assert round_time(QUICKNET, 1) == QUICKNET.genesis
    assert round_time(DEFAULT, 3) == DEFAULT.genesis + timedelta(seconds=60)


def test_a_round_nobody_will_see_is_published_at_the_end_of_time() -> None:
    assert round_time(QUICKNET, 10**12) == datetime.max.replace(tzinfo=UTC)


def test_there_is_no_round_zero() -> None:
    with pytest.raises(ValueError, match="begin at 1"):
        round_time(QUICKNET, 0)


@given(st.integers(-100_000, 10_000_000))
def test_the_next_round_is_the_first_one_after_an_instant(seconds: int) -> None:
    instant = QUICKNET.genesis + timedelta(seconds=seconds)
    number = round_after(QUICKNET, instant)
    assert round_time(QUICKNET, number) > instant
    assert number == 1 or round_time(QUICKNET, number - 1) <= instant
