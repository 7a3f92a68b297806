"""An attack: the last to join knows the secret, as an operator's friend may, and chooses among accounts the best one.

Everything else of the draw is fixed by then. Each account makes another leaf, another root, another order; so she tries
them all and joins with the one whose order gives her the best place. Seeds are fixed: the figures never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from statistics import mean

import pytest

from tiketi_runtime.contracts.draw import Draw, DrawKey, entry_leaf, order_key
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Seq
from tiketi_runtime.contracts.merkle import inclusion_path, leaf_hash, root_from_path

N = 1000
ACCOUNTS = 32
DRAWS = 150
EVENT, LAST = EventId("demo/show"), Seq(N)


@dataclass(frozen=True)
class Line:
    """A line whose last number is still to be taken."""

    secret: bytes
    path: list[bytes]
    key: DrawKey

    @classmethod
    def of(cls, seed: int) -> Line:
        key = DrawKey(sha256(b"draw key %d" % seed).digest())
        leaves = [leaf_hash(b"%d %d" % (seed, number)) for number in range(N)]
        return cls(key.secret(EVENT, PUBLIC), inclusion_path(leaves, N - 1), key)

    def place(self, account: int, randomness: bytes | None) -> int:
        """The last one's place if she joins with this account, and the beacon says this."""
        buyer = BuyerId(f"account-{account}")
        leaf = entry_leaf(EVENT, PUBLIC, LAST, buyer, self.key.nonce(EVENT, PUBLIC, LAST, buyer))
        root = root_from_path(leaf, N - 1, N, self.path)
        return Draw(N, order_key(self.secret, N, root, randomness)).place(LAST)

    def best(self, guess: bytes | None) -> int:
        """The account that gives the best place if the beacon says ``guess``."""
        return min(range(ACCOUNTS), key=lambda account: self.place(account, guess))


def beacon(seed: int) -> bytes:
    return sha256(b"round %d" % seed).digest()


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return [Line.of(seed) for seed in range(DRAWS)]


def share(places: list[int]) -> float:
    """Mean place as a share of the line: 0.5 is fair."""
    return mean(places) / N


def test_without_a_beacon_she_comes_out_far_ahead(lines: list[Line]) -> None:
    """The best of 32 places drawn evenly is the 33rd part of the line, on average."""
    gained = share([line.place(line.best(None), None) for line in lines])
    assert gained == pytest.approx(1 / (ACCOUNTS + 1), abs=0.008)


def test_an_honest_last_one_stands_in_the_middle_on_average(lines: list[Line]) -> None:
    assert share([line.place(0, None) for line in lines]) == pytest.approx(0.5, abs=0.07)  # three sigma


@pytest.mark.parametrize("guess", [None, beacon(-1)], ids=["as if there were none", "guessing a value"])
def test_with_a_beacon_her_choice_is_worth_nothing(lines: list[Line], guess: bytes | None) -> None:
    """She has to join before the round is published; whatever she then believed, the order is another one."""
    gained = share([line.place(line.best(guess), beacon(seed)) for seed, line in enumerate(lines)])
    assert gained == pytest.approx(0.5, abs=0.07)


def test_a_beacon_that_is_public_before_the_entries_are_fixed_protects_nobody(lines: list[Line]) -> None:
    """Therefore such a draw says ``trust: operator`` (tests/unit/verify)."""
    gained = share([line.place(line.best(beacon(seed)), beacon(seed)) for seed, line in enumerate(lines)])
    assert gained == pytest.approx(1 / (ACCOUNTS + 1), abs=0.008)


def test_who_may_withdraw_the_beacon_has_two_orders_to_choose_from(lines: list[Line]) -> None:
    """The better of two places is a third of the line on average: a withdrawal is a gain, and is told in every file."""
    gained = share([min(line.place(0, None), line.place(0, beacon(seed))) for seed, line in enumerate(lines)])
    assert gained == pytest.approx(1 / 3, abs=0.06)
