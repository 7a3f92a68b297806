"""Seats as they are named and counted. Standing places are numbered too, so that one constraint guards every ticket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.identity import SeatId

SECTION_NAME = r"^[A-Z][A-Z0-9]{0,11}$"
_SEATED = re.compile(r"([A-Z][A-Z0-9]{0,11})-([0-9]{2,3})-([0-9]{2,3})", re.ASCII)
_STANDING = re.compile(r"([A-Z][A-Z0-9]{0,11})-([0-9]{4,6})", re.ASCII)


class Section(BaseModel):
    """Places of one price: rows of seats, or a standing area of numbered places."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    name: Annotated[str, Field(max_length=12, pattern=SECTION_NAME)]
    price: Annotated[int, Field(ge=100, le=100_000_000)]
    """Minor units of the sale's currency."""
    rows: Annotated[int, Field(ge=1, le=300)] | None = None
    seats_per_row: Annotated[int, Field(ge=1, le=300)] | None = None
    capacity: Annotated[int, Field(ge=1, le=60_000)] | None = None

    @model_validator(mode="after")
    def _is_seated_or_standing(self) -> Self:
        seated = self.rows is not None and self.seats_per_row is not None
        half = (self.rows is None) != (self.seats_per_row is None)
        if half or seated == (self.capacity is not None):
            raise ValueError(f"section {self.name}: give rows and seatsPerRow, or capacity")
        return self

    @property
    def size(self) -> int:
        """Number of places."""
        return self.capacity if self.capacity is not None else (self.rows or 0) * (self.seats_per_row or 0)

    @property
    def is_standing(self) -> bool:
        """True for numbered standing places."""
        return self.capacity is not None

    def seats(self) -> Iterator[SeatId]:
        """Every seat id of the section, in the order of the house."""
        if self.capacity is not None:
            for number in range(1, self.capacity + 1):
                yield standing_seat(self.name, number)
            return
        for row in range(1, (self.rows or 0) + 1):
            for seat in range(1, (self.seats_per_row or 0) + 1):
                yield seated_seat(self.name, row, seat)

    def has(self, seat: SeatId) -> bool:
        """Whether the seat is one of this section, written exactly as ``seats`` writes it."""
        if match := _SEATED.fullmatch(seat):
            row, number = int(match[2]), int(match[3])
            inside = 1 <= row <= (self.rows or 0) and 1 <= number <= (self.seats_per_row or 0)
            return inside and seat == seated_seat(self.name, row, number)
        if match := _STANDING.fullmatch(seat):
            place = int(match[2])
            return 1 <= place <= (self.capacity or 0) and seat == standing_seat(self.name, place)
        return False


def seated_seat(section: str, row: int, seat: int) -> SeatId:
    """``VIP-03-12``. Widths are least widths: a row 100 keeps the ids of rows below it."""
    return SeatId(f"{section}-{row:02d}-{seat:02d}")


def standing_seat(section: str, number: int) -> SeatId:
    """``ST-0451``."""
    return SeatId(f"{section}-{number:04d}")


def section_name(seat: SeatId) -> str:
    """Name of the section a seat id claims to be in; the section itself says whether that is so."""
    return seat.partition("-")[0]
