"""A client of the seat map, written after docs/seat-map.md and from nothing else."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Map:
    """A whole map."""

    version: int
    layout: dict[str, Any]
    states: list[int]

    def seats(self) -> list[str]:
        """The name of every seat."""
        return [seat for section in self.layout["sections"] for seat in _seats(section)]

    def shown(self) -> dict[str, int]:
        """State of every seat that is not free."""
        return {seat: state for seat, state in zip(self.seats(), self.states, strict=True) if state}


@dataclass
class Change:
    """What is different from one version to another."""

    before: int
    version: int
    checksum: int
    seats: dict[int, int]


def decode(message: bytes) -> Map | Change:
    """Raises ValueError for what is not in the format."""
    sign, form, kind, version, checksum = struct.unpack_from(">2sBBQI", message)
    if (sign, form) != (b"TS", 1):
        raise ValueError("not a seat map of format 1")
    if kind == 1:
        count, length = struct.unpack_from(">II", message, 16)
        packed = message[24 + length :]
        if len(packed) != (count + 3) // 4 or zlib.crc32(packed) != checksum:
            raise ValueError("damaged")
        states = [packed[place // 4] >> 2 * (place % 4) & 3 for place in range(count)]
        return Map(version, json.loads(message[24 : 24 + length]), states)
    if kind == 2:
        (before,) = struct.unpack_from(">Q", message, 16)
        return Change(before, version, checksum, dict(_changed(_numbers(message[24:]))))
    raise ValueError(f"kind {kind}")


def checksum_of(states: Sequence[int]) -> int:
    """Of the packed states."""
    packed = bytearray((len(states) + 3) // 4)
    for place, state in enumerate(states):
        packed[place // 4] |= state << 2 * (place % 4)
    return zlib.crc32(packed)


@dataclass
class Follower:
    """A client that listens. ``wanted`` is the version it has to fetch, or None."""

    map: Map | None = None
    wanted: int | None = 0
    kept: list[Change] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)
    """Versions reached by a change."""
    mistakes: int = 0
    """Times that the checksum told of a mistake."""

    def hear(self, message: bytes) -> None:
        """A message from the live connection."""
        change = decode(message)
        assert isinstance(change, Change)
        self._take(change)

    def fetched(self, message: bytes) -> None:
        """The answer of GET."""
        found = decode(message)
        assert isinstance(found, Map)
        if self.map is None or found.version >= self.map.version:
            self.map = found
        self.wanted = None
        kept, self.kept = self.kept, []
        for change in kept:
            self._take(change)

    def _take(self, change: Change) -> None:
        if self.map is None or self.wanted is not None:
            self.kept.append(change)
        elif change.version <= self.map.version:
            return
        elif change.before == self.map.version:
            for place, state in change.seats.items():
                self.map.states[place] = state
            self.map.version = change.version
            if checksum_of(self.map.states) != change.checksum:
                self.mistakes += 1
                self.map, self.wanted = None, change.version
            else:
                self.applied.append(change.version)
        else:
            self.kept.append(change)
            self.wanted = change.version


def _numbers(leb128: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in leb128:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("ends within a number")


def _changed(numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
    expected = 0
    for number in numbers:
        place = expected + number // 4
        yield place, number % 4
        expected = place + 1


def _seats(section: dict[str, Any]) -> Iterator[str]:
    name = section["name"]
    if "capacity" in section:
        yield from (f"{name}-{place:04d}" for place in range(1, section["capacity"] + 1))
        return
    for row in range(1, section["rows"] + 1):
        yield from (f"{name}-{row:02d}-{seat:02d}" for seat in range(1, section["seatsPerRow"] + 1))
