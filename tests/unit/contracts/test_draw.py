"""The order of a draw: a permutation, evenly spread, the same in every implementation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.draw import (
    MOST_ENTRIES,
    Draw,
    DrawKey,
    commitment_of,
    entry_leaf,
    hole_leaf,
    order_key,
)
from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.merkle import root_of

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "draw.json").read_text())
EVENT, LINE, BUYER = EventId("demo/show"), Line("public"), BuyerId("5f0c0d0e-0000-4000-8000-000000000001")
KEYS = st.binary(min_size=32, max_size=32)


def key(seed: int) -> bytes:
    return sha256(b"seed %d" % seed).digest()


# --- A permutation


@given(st.integers(0, 3000), KEYS)
def test_every_entry_has_a_place_of_its_own(n: int, order: bytes) -> None:
    draw = Draw(n, order)
    assert sorted(draw.place(seq) for seq in range(1, n + 1)) == list(range(1, n + 1))


@given(st.integers(1, MOST_ENTRIES), KEYS, st.data())
def test_a_place_leads_back_to_its_number(n: int, order: bytes, data: st.DataObject) -> None:
    draw = Draw(min(n, 2**22), order)  # beyond, the tables take long to make
    seq = data.draw(st.integers(1, draw.n))
    place = draw.place(seq)
    assert 1 <= place <= draw.n
    assert draw.seq(place) == seq


def test_the_largest_draw_is_a_permutation_as_well() -> None:
    draw = Draw(MOST_ENTRIES, key(1))
    for seq in (1, 2, MOST_ENTRIES // 2, MOST_ENTRIES - 1, MOST_ENTRIES):
        assert draw.seq(draw.place(seq)) == seq


@given(st.integers(0, 300), KEYS, st.integers(1, 400), st.integers(0, 50))
def test_the_numbers_at_some_places_are_those_whose_places_they_are(
    n: int, order: bytes, from_place: int, count: int
) -> None:
    draw = Draw(n, order)
    seqs = draw.seqs(from_place, count)
    assert [draw.place(seq) for seq in seqs] == list(range(from_place, from_place + count))


def test_who_joined_after_the_draw_follows_in_order_of_joining() -> None:
    draw = Draw(10, key(1))
    assert draw.seqs(9, 4)[2:] == [11, 12]
    assert [draw.place(seq) for seq in (11, 12, 1_000_000)] == [11, 12, 1_000_000]


def test_draws_of_nobody_and_of_one_are_drawn() -> None:
    assert list(Draw(0, key(1)).order()) == []
    assert Draw(0, key(1)).place(1) == 1
    assert list(Draw(1, key(1)).order()) == [1]
    assert Draw(1, key(1)).seqs(1, 3) == [1, 2, 3]


def test_the_order_is_all_numbers_by_place() -> None:
    draw = Draw(100, key(1))
    assert list(draw.order()) == draw.seqs(1, 100)


@pytest.mark.parametrize("n", [-1, MOST_ENTRIES + 1])
def test_a_draw_of_an_impossible_size_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="entries"):
        Draw(n, key(1))


def test_places_and_numbers_begin_at_one() -> None:
    for call in (Draw(3, key(1)).place, Draw(3, key(1)).seq):
        with pytest.raises(ValueError, match="begin at 1"):
            call(0)


# --- Evenly spread. Seeds are fixed: these either hold for ever or not at all.


def chi_square(counts: Iterable[int], expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize(("n", "bound"), [(2, 10.8), (5, 18.5), (16, 37.7), (17, 39.3), (100, 149)])
def test_an_entry_is_as_likely_at_any_place(n: int, bound: float) -> None:
    """``bound``: the value chi-square exceeds by chance in 1 of 1,000 cases, with n - 1 degrees of freedom."""
    draws = [Draw(n, key(seed)) for seed in range(50 * n)]
    for seq in {1, 2, n // 2 + 1, n}:
        places = Counter(draw.place(seq) for draw in draws)
        assert chi_square((places[place] for place in range(1, n + 1)), len(draws) / n) < bound


@pytest.mark.parametrize(("n", "bound"), [(3, 20.5), (7, 74.7), (8, 94.5), (12, 190)])
def test_two_entries_are_as_likely_at_any_two_places(n: int, bound: float) -> None:
    """Neighbours in joining are not neighbours in the order more often than others. Bound as above."""
    draws = 30 * n * n
    pairs = Counter((draw.place(1), draw.place(2)) for draw in (Draw(n, key(seed)) for seed in range(draws)))
    possible = list(permutations(range(1, n + 1), 2))
    assert len(pairs) == len(possible)
    assert chi_square((pairs[pair] for pair in possible), draws / len(possible)) < bound


def test_every_order_of_four_is_as_likely() -> None:
    draws = 12_000
    orders = Counter(tuple(Draw(4, key(seed)).order()) for seed in range(draws))
    assert len(orders) == 24
    assert chi_square(orders.values(), draws / 24) < 49.7  # 1 of 1,000, 23 degrees of freedom


def test_keys_that_differ_in_one_bit_give_unrelated_orders() -> None:
    one, other = key(1), bytes([key(1)[0] ^ 1]) + key(1)[1:]
    same = sum(Draw(1000, one).place(seq) == Draw(1000, other).place(seq) for seq in range(1, 1001))
    assert same < 8  # by chance one; 8 or more in 1 of 100,000 cases


# --- Commitment, leaves, key


def test_secrets_and_nonces_are_apart_for_every_draw() -> None:
    draw_key = DrawKey(key(1))
    words = [
        draw_key.secret(EVENT, LINE).hex(),
        draw_key.secret(EVENT, Line("fans")).hex(),
        draw_key.secret(EventId("demo/other"), LINE).hex(),
        DrawKey(key(2)).secret(EVENT, LINE).hex(),
        draw_key.nonce(EVENT, LINE, Seq(1), BUYER),
        draw_key.nonce(EVENT, LINE, Seq(2), BUYER),
        draw_key.nonce(EVENT, LINE, Seq(1), BuyerId("another")),
    ]
    assert len(set(words)) == len(words)


def test_a_leaf_binds_every_part_of_its_entry() -> None:
    leaves = [
        entry_leaf(EVENT, LINE, Seq(1), BUYER, "nonce"),
        entry_leaf(EventId("demo/other"), LINE, Seq(1), BUYER, "nonce"),
        entry_leaf(EVENT, Line("fans"), Seq(1), BUYER, "nonce"),
        entry_leaf(EVENT, LINE, Seq(2), BUYER, "nonce"),
        entry_leaf(EVENT, LINE, Seq(1), BuyerId("another"), "nonce"),
        entry_leaf(EVENT, LINE, Seq(1), BUYER, "another"),
        hole_leaf(EVENT, LINE, Seq(1)),
        hole_leaf(EVENT, LINE, Seq(2)),
    ]
    assert len(set(leaves)) == len(leaves)


def test_no_entry_can_be_written_in_two_ways() -> None:
    with pytest.raises(ValueError, match="line break"):
        entry_leaf(EVENT, LINE, Seq(1), BuyerId("a\nb"), "nonce")


def test_the_key_depends_on_all_that_is_known_last() -> None:
    secret, root = key(1), key(2)
    keys = [
        order_key(secret, 5, root, None),
        order_key(key(3), 5, root, None),
        order_key(secret, 6, root, None),
        order_key(secret, 5, key(4), None),
        order_key(secret, 5, root, key(5)),
    ]
    assert len(set(keys)) == len(keys)


def test_a_draw_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 31)
    with pytest.raises(ValueError, match=r"short: a draw key has 32 bytes or more, this one has 31"):
        DrawKey.from_file(tmp_path / "short")
    (tmp_path / "draw.key").write_bytes(b"x" * 32)
    assert DrawKey.from_file(tmp_path / "draw.key").secret(EVENT, LINE) == DrawKey(b"x" * 32).secret(EVENT, LINE)


# --- The same for ever: files that were published must stay true


@pytest.mark.parametrize("vector", VECTORS["draws"], ids=lambda vector: f"{vector['entries']} entries")
def test_draws_are_those_of_the_frozen_vectors(vector: dict[str, Any]) -> None:
    draw_key = DrawKey(bytes.fromhex(VECTORS["drawKey"]))
    event, line = EventId(VECTORS["event"]), Line(VECTORS["line"])
    secret = draw_key.secret(event, line)
    leaves = []
    for number, buyer in enumerate(vector["buyers"], start=1):
        seq = Seq(number)
        if buyer is None:
            leaves.append(hole_leaf(event, line, seq))
        else:
            leaves.append(
                entry_leaf(event, line, seq, BuyerId(buyer), draw_key.nonce(event, line, seq, BuyerId(buyer)))
            )
    root = root_of(leaves)
    randomness = None if vector["randomness"] is None else bytes.fromhex(vector["randomness"])
    order = order_key(secret, vector["entries"], root, randomness)
    assert commitment_of(secret).hex() == VECTORS["commitment"]
    assert [leaf.hex() for leaf in leaves] == vector["leaves"]
    assert root.hex() == vector["root"]
    assert order.hex() == vector["key"]
    assert list(Draw(vector["entries"], order).order()) == vector["order"]


@pytest.mark.parametrize("vector", VECTORS["places"], ids=lambda vector: f"{vector['n']} entries")
def test_places_are_those_of_the_frozen_vectors(vector: dict[str, Any]) -> None:
    draw = Draw(vector["n"], bytes.fromhex(vector["key"]))
    assert {str(seq): draw.place(seq) for seq in map(int, vector["places"])} == vector["places"]
