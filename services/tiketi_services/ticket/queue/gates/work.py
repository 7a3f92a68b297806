"""Proof of work: what a new place costs the machine that asks for it. Pure.

The puzzle: find a nonce such that SHA-256 of challenge and nonce begins with so many zero bits. Finding it takes 2^bits
hashes on average, checking it takes one. docs/bots.md has the measured price of each number of bits, and says what this
keeps out and what not.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

LONGEST_NONCE: Final = 32
"""Characters; a counter in decimal has 8."""

YOUTH_BITS: Final = 14
"""Asked of an account made this moment: 8 ms of a laptop (docs/bots.md), several times that of a telephone. An account
per place is what a bot needs, and making accounts ahead of time costs it weeks."""
GROWN_UP: Final = timedelta(days=30)
"""From this age on an account is asked for nothing in calm times."""
FREE_PLACES: Final = 8
"""Places of one network at no extra cost: a household, a dormitory floor, a small office."""

_CALM_LIFETIME: Final = timedelta(minutes=2)
_SLOW_HASHES_PER_SECOND: Final = 100_000
"""Of an old telephone in a browser."""


def required_bits(load: float, account_age: timedelta, places_from_network: int, max_bits: int) -> int:
    """Bits of work for a new place, 0 to ``max_bits``. Every bit doubles the cost, so costs multiply where bits add:

    - youth: from YOUTH_BITS for a new account down to 0 at GROWN_UP, evenly by the logarithm of the age in hours.
      Most of it is gone after days: who signs up the week before pays little, who signs up by thousands at the
      opening pays in full.
    - crowding: one bit for each doubling of ``load``, which is places given out per second, divided by as many as
      the line admits per second. Up to 1 no line forms and nothing is asked.
    - neighbours: one bit when the network has taken twice as many places as are free, another for each doubling. It
      grows slowly and ends nowhere: mobile carriers put tens of thousands of people behind one address. For them it is
      some 11 bits, 2,000 hashes, and nobody is blocked; a farm of one network pays the same on each of its accounts.

    Raises ValueError if load or places_from_network is negative.
    """
    if load < 0 or places_from_network < 0:
        raise ValueError("neither load nor places can be negative")
    hours = max(0.0, account_age / timedelta(hours=1))
    youth = YOUTH_BITS * max(0.0, 1 - math.log1p(hours) / math.log1p(GROWN_UP / timedelta(hours=1)))
    crowding = math.log2(max(1.0, load))
    neighbours = math.log2(max(1.0, places_from_network / FREE_PLACES))
    return min(max_bits, round(youth + crowding + neighbours))


def solves(challenge: str, nonce: str, bits: int) -> bool:
    """Whether the nonce is a solution: one hash."""
    if not nonce.isascii() or len(nonce) > LONGEST_NONCE:
        return False
    digest = sha256(f"{challenge}{nonce}".encode()).digest()
    return 8 * len(digest) - int.from_bytes(digest).bit_length() >= bits


def lifetime(bits: int) -> timedelta:
    """How long a challenge may be answered: long enough for a slow machine with bad luck, too short to hoard."""
    return _CALM_LIFETIME + timedelta(seconds=2**bits / _SLOW_HASHES_PER_SECOND)


@lru_cache(4096)
def network_of(address: IPv4Address | IPv6Address) -> str:
    """The network that is counted: what one subscriber or one carrier's gateway usually has, IPv4 /24 or IPv6 /56.

    Single addresses would let everybody with an IPv6 line count as 2^64 strangers.
    """
    prefix = 24 if isinstance(address, IPv4Address) else 56
    return str(ip_network((address, prefix), strict=False))
