"""The draw: how the order of a line comes about so that anybody can check it afterwards.

Everything here is a hash over a few lines of text, so that a check can be written in any language (docs/fairness.md
says how). The order is a keyed permutation: nothing is shuffled or stored, a place is computed from a number and back.
"""

from __future__ import annotations

import hmac
import sys
from array import array
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256, shake_256
from pathlib import Path
from typing import Final, Self

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.merkle import leaf_hash

MOST_ENTRIES: Final = 2**32
KEY_BYTES: Final = 32
"""Shortest draw key."""
_NONCE_BYTES: Final = 16
_ROUNDS: Final = 16
"""Even. With 16, every order of four entries is as likely as any other to within 0.002 %; with 8, to within 0.5 %."""
_LEAST_BITS: Final = 2


class DrawKey:
    """The operator's secret behind every draw and every entry. It must not change between commitment and draw."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a draw key has {KEY_BYTES} bytes or more, this one has {len(key)}")
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read the key: the bytes of the file as they are. Raises OSError, or ValueError if they are too few."""
        try:
            return cls(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def secret(self, event: EventId, line: Line) -> bytes:
        """The secret of one draw: committed to before anybody joins, shown after the entries are fixed."""
        return self._mac("tiketi-secret-1", event, line)

    def nonce(self, event: EventId, line: Line, seq: Seq, buyer: BuyerId) -> str:
        """What hides the buyer in the entry's leaf; only the buyer's receipt tells it. The same for ever."""
        digest = self._mac("tiketi-nonce-1", event, line, str(seq), buyer)
        return urlsafe_b64encode(digest[:_NONCE_BYTES]).rstrip(b"=").decode()

    def _mac(self, *fields: str) -> bytes:
        return hmac.digest(self._key, _text(*fields), "sha256")


def commitment_of(secret: bytes) -> bytes:
    """What is published before the draw: binds the operator to the secret and tells nothing of it."""
    return sha256(secret).digest()


def entry_leaf(event: EventId, line: Line, seq: Seq, buyer: BuyerId, nonce: str) -> bytes:
    """Leaf of an entry: binds all of it; without the nonce nobody can tell whose it is.

    Raises ValueError if a field holds a line break.
    """
    return leaf_hash(_text("tiketi-entry-1", event, line, str(seq), buyer, nonce))


def hole_leaf(event: EventId, line: Line, seq: Seq) -> bytes:
    """Leaf of a number that belongs to nobody. After a loss of Redis numbers go on from the next mark."""
    return leaf_hash(_text("tiketi-hole-1", event, line, str(seq)))


def order_key(secret: bytes, n: int, root: bytes, randomness: bytes | None) -> bytes:
    """Key of the order: nobody has it before the secret, the entries and the beacon (if there is one) are known."""
    return sha256(
        _text("tiketi-key-1", secret.hex(), str(n), root.hex(), "-" if randomness is None else randomness.hex())
    ).digest()


@dataclass(frozen=True)
class Draw:
    """The order of ``n`` drawn entries, numbered from 1; who joined later follows in order of joining.

    A Feistel network over the smallest power of two that holds n (alternating halves, each round's function a table
    squeezed from the key by SHAKE-256), walked until it lands below n again: at most two steps on average.
    The tables of a million entries are made once and take 64 KiB.
    """

    n: int
    key: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.n <= MOST_ENTRIES:
            raise ValueError(f"a draw has 0 to {MOST_ENTRIES} entries, not {self.n}")

    def place(self, seq: int) -> int:
        """Place of the number ``seq``. Raises ValueError if seq < 1."""
        _check_number(seq)
        return seq if seq > self.n else 1 + self._forth(seq - 1)

    def seq(self, place: int) -> int:
        """Number at ``place``. Raises ValueError if place < 1."""
        _check_number(place)
        return place if place > self.n else 1 + self._back(place - 1)

    def seqs(self, from_place: int, count: int) -> list[int]:
        """Numbers at ``count`` places from ``from_place`` on."""
        return [self.seq(place) for place in range(from_place, from_place + count)]

    def order(self) -> Iterator[int]:
        """The numbers of all entries, first place first."""
        return (1 + self._back(index) for index in range(self.n))

    def _forth(self, index: int) -> int:
        bits, mask = self._right_bits, self._right_mask
        while True:
            left, right = index >> bits, index & mask
            for to_left, to_right in self._tables:
                left ^= to_left[right]
                right ^= to_right[left]
            index = left << bits | right
            if index < self.n:
                return index

    def _back(self, index: int) -> int:
        bits, mask = self._right_bits, self._right_mask
        while True:
            left, right = index >> bits, index & mask
            for to_left, to_right in self._tables_back:
                right ^= to_right[left]
                left ^= to_left[right]
            index = left << bits | right
            if index < self.n:
                return index

    @cached_property
    def _bits(self) -> int:
        return max(_LEAST_BITS, (self.n - 1).bit_length())

    @cached_property
    def _right_bits(self) -> int:
        return self._bits - self._bits // 2

    @cached_property
    def _right_mask(self) -> int:
        return (1 << self._right_bits) - 1

    @cached_property
    def _tables(self) -> tuple[tuple[array[int], array[int]], ...]:
        """For each pair of rounds: what to add to the left half by the right one, and the other way round."""
        left_bits, right_bits = self._bits // 2, self._right_bits
        return tuple(
            (self._table(number, right_bits, left_bits), self._table(number + 1, left_bits, right_bits))
            for number in range(0, _ROUNDS, 2)
        )

    @cached_property
    def _tables_back(self) -> tuple[tuple[array[int], array[int]], ...]:
        return self._tables[::-1]

    def _table(self, number: int, bits_in: int, bits_out: int) -> array[int]:
        """A random function from ``bits_in`` to ``bits_out`` bits: big-endian words of 32 bits, the low ones used."""
        words = array(
            "I", shake_256(_text("tiketi-round-1", self.key.hex(), str(self.n), str(number))).digest(4 << bits_in)
        )
        if sys.byteorder == "little":
            words.byteswap()
        mask = (1 << bits_out) - 1
        return array("I", (word & mask for word in words))


def _text(*fields: str) -> bytes:
    """Fields as lines of text: no two different tuples give the same bytes."""
    text = "\n".join(fields)
    if text.count("\n") != len(fields) - 1:
        raise ValueError("a field of a draw holds no line break")
    return text.encode()


def _check_number(number: int) -> None:
    if number < 1:
        raise ValueError(f"places and numbers begin at 1, not {number}")
