"""The seat map as it goes over the wire: two bits a seat, and changes from one version to the next. Pure.

docs/seat-map.md is the exact description; whoever changes the format gives it another FORMAT number.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.contracts.seating import Section

MEDIA_TYPE: Final = "application/vnd.tiketi.seat-map"
FORMAT: Final = 1
MAP, CHANGE = 1, 2
"""What a message is."""

_HEAD: Final = struct.Struct(">2sBBQI")
"""``TS``, format, kind, version, checksum."""
_MAP_HEAD: Final = struct.Struct(">II")
"""Seats, bytes of the layout."""
_CHANGE_HEAD: Final = struct.Struct(">Q")
"""The version before."""
_WINDOW: Final = 64
"""Seats compared at a time."""

# State of a seat to and from its two bits; at place p these are bits 2 (p mod 4) and the next of byte p div 4.
_TO_BITS: Final = tuple(bytes((byte & 3) << shift for byte in range(256)) for shift in (0, 2, 4, 6))
_FROM_BITS: Final = tuple(bytes(0x30 | byte >> shift & 3 for byte in range(256)) for shift in (0, 2, 4, 6))


def pack(states: bytes) -> bytes:
    """States as one character each, to two bits each."""
    size = (len(states) + 3) // 4
    bits = 0
    for quarter, table in enumerate(_TO_BITS):
        bits |= int.from_bytes(states[quarter::4].translate(table), "little")
    return bits.to_bytes(size, "little")


def unpack(packed: bytes, seats: int) -> bytes:
    """States as one character each. Raises ValueError if there are not as many."""
    if len(packed) != (seats + 3) // 4:
        raise ValueError(f"{len(packed)} bytes are not {seats} seats")
    states = bytearray(4 * len(packed))
    for quarter, table in enumerate(_FROM_BITS):
        states[quarter::4] = packed.translate(table)
    return bytes(states[:seats])


def layout_of(sale: SaleSheet) -> str:
    """How the house looks, as JSON: sections in the order in which their places are numbered."""
    content = {"event": sale.event, "currency": sale.currency, "sections": list(map(_section, sale.sections))}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _section(section: Section) -> dict[str, Any]:
    shape: dict[str, Any] = (
        {"capacity": section.capacity}
        if section.is_standing
        else {"rows": section.rows, "seatsPerRow": section.seats_per_row}
    )
    return {"name": section.name, "price": section.price, **shape}


@dataclass(frozen=True)
class SeatMap:
    """The state of every seat at one version. A version names one content, in every process and for ever."""

    version: int
    """Grows with every change, over all processes and restarts."""
    layout: str
    """JSON; see ``layout_of``."""
    states: bytes
    """One character a seat (0 free, 1 held, 2 sold), in the order of the layout."""

    @cached_property
    def packed(self) -> bytes:
        """Two bits a seat."""
        return pack(self.states)

    @cached_property
    def checksum(self) -> int:
        """CRC-32 of the packed states: a client finds out by it when it has applied too little or too much."""
        return zlib.crc32(self.packed)

    @property
    def tag(self) -> str:
        """Entity tag."""
        return f'"{self.version:x}-{self.checksum:08x}"'

    @cached_property
    def document(self) -> bytes:
        """The whole map."""
        layout = self.layout.encode()
        return self._head(MAP) + _MAP_HEAD.pack(len(self.states), len(layout)) + layout + self.packed

    @cached_property
    def plain(self) -> bytes:
        """The whole map as JSON, one character a seat: easy to read, and four times as long."""
        layout = json.loads(self.layout)
        sections, begin = {}, 0
        for section in layout["sections"]:
            end = begin + (section.get("capacity") or section["rows"] * section["seatsPerRow"])
            sections[section["name"]] = self.states[begin:end].decode()
            begin = end
        content = {
            "event": layout["event"],
            "version": self.version,
            "currency": layout["currency"],
            "layout": layout["sections"],
            "sections": sections,
        }
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def notice(self) -> bytes:
        """A change of nothing: says which version there is. Who has an older one fetches the map."""
        return self._head(CHANGE) + _CHANGE_HEAD.pack(self.version)

    def change_since(self, before: SeatMap) -> bytes:
        """What makes this map of that one. Only a notice if the layout is another one, or the map itself is shorter."""
        if before.layout != self.layout:
            return self.notice
        steps = bytes(_steps(before.states, self.states))
        if len(steps) > len(self.packed):
            return self.notice
        return self._head(CHANGE) + _CHANGE_HEAD.pack(before.version) + steps

    def _head(self, kind: int) -> bytes:
        return _HEAD.pack(b"TS", FORMAT, kind, self.version, self.checksum)


def _steps(before: bytes, after: bytes) -> Iterator[int]:
    """For each seat that differs, in rising order, the number 4 x (places passed over) + state, as LEB128."""
    expected = 0
    for place in _differing(before, after):
        number = (place - expected) << 2 | after[place] & 3
        while number > 0x7F:
            yield number & 0x7F | 0x80
            number >>= 7
        yield number
        expected = place + 1


def _differing(before: bytes, after: bytes) -> Iterable[int]:
    for begin in range(0, len(after), _WINDOW):
        end = min(begin + _WINDOW, len(after))
        if before[begin:end] != after[begin:end]:
            yield from (place for place in range(begin, end) if before[place] != after[place])
