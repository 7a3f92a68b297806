"""Public randomness beacons (drand): which chains we know, when a round is published, and whether its value is genuine.

A beacon's round is a BLS signature that no single member of its network can make or foresee; anybody can verify it
with the chain's public key alone, so it does not matter who relays it. docs.drand.love/docs/cryptography says how.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Self

from py_arkworks_bls12381 import GT, G1Point, G2Point

_G1_BYTES: Final = 48
_G2_BYTES: Final = 96
SIGNATURES_IN_G1: Final = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
"""Domain separation tags of RFC 9380, section 8.10, as drand uses them."""
SIGNATURES_IN_G2: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_"
_DEFAULT_ID: Final = "default"


class Scheme(StrEnum):
    """How a chain signs."""

    CHAINED = "pedersen-bls-chained"
    """Signatures in G2 over the previous signature and the round."""
    UNCHAINED_G1 = "bls-unchained-g1-rfc9380"
    """Signatures in G1 over the round alone."""


class FalseBeacon(ValueError):
    """The value is not what the chain published for this round."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A drand chain. Its hash names it and covers all other fields but the scheme."""

    hash: str
    public_key: bytes
    period: timedelta
    genesis: datetime
    seed: bytes
    scheme: Scheme
    beacon_id: str

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Self:
        """Read what a relay answers to ``GET /<chain>/info``. Raises ValueError if it is none, or not of that hash."""
        try:
            chain = cls(
                hash=str(info["hash"]),
                public_key=bytes.fromhex(info["public_key"]),
                period=timedelta(seconds=int(info["period"])),
                genesis=datetime.fromtimestamp(int(info["genesis_time"]), UTC),
                seed=bytes.fromhex(info["groupHash"]),
                scheme=Scheme(info["schemeID"]),
                beacon_id=str(info["metadata"]["beaconID"]),
            )
            actual = chain.compute_hash()
        except (KeyError, TypeError, OverflowError, OSError, struct.error) as error:
            raise ValueError(f"not the description of a drand chain: {type(error).__name__}: {error}") from error
        if chain.hash != actual:
            raise ValueError(f"the chain calls itself {chain.hash}, but its hash is {actual}")
        if chain.period <= timedelta(0):
            raise ValueError(f"chain {chain.hash}: the period is not positive")
        return chain

    def compute_hash(self) -> str:
        """The hash of what the chain says of itself (drand's ``Info.Hash``)."""
        numbers = struct.pack(">IQ", int(self.period.total_seconds()), int(self.genesis.timestamp()))
        name = b"" if self.beacon_id == _DEFAULT_ID else self.beacon_id.encode()
        return sha256(numbers + self.public_key + self.seed + name).hexdigest()

    @property
    def is_chained(self) -> bool:
        """Whether a round's signature covers that of the round before."""
        return self.scheme is Scheme.CHAINED

    def message(self, number: int, previous: bytes | None) -> bytes:
        """What the network signs in this round. Raises FalseBeacon if a chained one comes without its predecessor."""
        counter = struct.pack(">Q", number)
        if not self.is_chained:
            return sha256(counter).digest()
        if previous is None:
            raise FalseBeacon("a round of a chained beacon needs the signature of the round before")
        return sha256(previous + counter).digest()


def round_time(chain: Chain, number: int) -> datetime:
    """When the round is published; nobody knows its value before. Beyond the year 9999: the end of that year.

    Raises ValueError if number < 1.
    """
    if number < 1:
        raise ValueError(f"rounds begin at 1, not {number}")
    try:
        return chain.genesis + (number - 1) * chain.period
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def round_after(chain: Chain, instant: datetime) -> int:
    """The first round that is published later than ``instant``."""
    return max(1, (instant - chain.genesis) // chain.period + 2)


def randomness_of(signature: bytes) -> bytes:
    """The random value of a round."""
    return sha256(signature).digest()


def verify_round(chain: Chain, number: int, signature: bytes, previous: bytes | None) -> None:
    """Check that the network signed this round. Raises FalseBeacon."""
    message = chain.message(number, previous)
    try:
        if chain.is_chained:
            left = [G1Point(), -G1Point.from_compressed_bytes(_sized(chain.public_key, _G1_BYTES))]
            right = [
                G2Point.from_compressed_bytes(_sized(signature, _G2_BYTES)),
                G2Point.hash_to_curve(message, SIGNATURES_IN_G2),
            ]
        else:
            left = [
                G1Point.from_compressed_bytes(_sized(signature, _G1_BYTES)),
                -G1Point.hash_to_curve(message, SIGNATURES_IN_G1),
            ]
            right = [G2Point(), G2Point.from_compressed_bytes(_sized(chain.public_key, _G2_BYTES))]
    except ValueError as error:
        raise FalseBeacon(f"round {number}: key or signature is no point of the curve") from error
    if GT.multi_pairing(left, right) != GT.one():
        raise FalseBeacon(f"round {number} was not signed by chain {chain.hash}")


def known_chains(infos: Iterable[Mapping[str, Any]] = ()) -> Mapping[str, Chain]:
    """The chains of the League of Entropy, and those described by ``infos``, by hash. Raises ValueError."""
    chains = [DEFAULT, QUICKNET, *map(Chain.from_info, infos)]
    return MappingProxyType({chain.hash: chain for chain in chains})


def _sized(point: bytes, size: int) -> bytes:
    """Raises ValueError if a compressed point has another length."""
    if len(point) != size:
        raise ValueError(f"a point of {len(point)} bytes instead of {size}")
    return point


# The League of Entropy, from https://api.drand.sh/<hash>/info. Each hash covers its chain: a test computes it.
DEFAULT: Final = Chain(
    hash="8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce",
    public_key=bytes.fromhex(
        "868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a569937c529eeda66c7293784a9402801af31"
    ),
    period=timedelta(seconds=30),
    genesis=datetime.fromtimestamp(1595431050, UTC),
    seed=bytes.fromhex("176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a"),
    scheme=Scheme.CHAINED,
    beacon_id=_DEFAULT_ID,
)
QUICKNET: Final = Chain(
    hash="52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
    public_key=bytes.fromhex(
        "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
        "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
    ),
    period=timedelta(seconds=3),
    genesis=datetime.fromtimestamp(1692803367, UTC),
    seed=bytes.fromhex("f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e"),
    scheme=Scheme.UNCHAINED_G1,
    beacon_id="quicknet",
)
