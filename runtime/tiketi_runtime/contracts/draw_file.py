"""What is published of a draw: the notice in the event's status, the file anybody can check, and a proof for one entry.

Format version 2; version 1 is the same without ``losses``. Hashes are lower-case hexadecimal, instants RFC 3339 in UTC.
A field that is not known to a file's version makes it unreadable: nothing in it may go unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tiketi_runtime.contracts.beacon import Chain, round_time
from tiketi_runtime.contracts.draw import MOST_ENTRIES, Draw
from tiketi_runtime.contracts.sale_sheet import BeaconSheet, Document

DRAW_TYP: Final = "draw+jwt"
"""``typ`` of the signed statement in a draw file."""
ISSUER: Final = "tiketi-ticket"
"""Who signs both."""
RECEIPT_TYP: Final = "place-receipt+jwt"
"""``typ`` of a receipt that proves an entry to others."""

Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Hex = Annotated[str, StringConstraints(pattern="^([0-9a-f]{2})+$", max_length=256)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\n]*$")]


class Trust(StrEnum):
    """What the fairness of an order rests on."""

    OPERATOR = "operator"
    """Who has the draw key could have foreseen the order."""
    BEACON = "beacon"
    """Nobody could: the entries were fixed before the beacon's round was published."""


class Strict(BaseModel):
    """JSON in camelCase; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid")


class NamedBeacon(Strict):
    """What a sale sheet said of the beacon; no chain and no round: it named none, or withdrew the one before."""

    chain: Hash | None = None
    round: Annotated[int, Field(ge=1)] | None = None
    version: Annotated[int, Field(ge=1)]
    """Of the sale sheet."""
    named_at: AwareDatetime

    def same_round(self, chain: str | None, number: int | None) -> bool:
        """Whether this names the same round, or likewise none."""
        return (self.chain, self.round) == (chain, number)


class BeaconValue(Strict):
    """A published round of a beacon."""

    chain: Hash
    round: Annotated[int, Field(ge=1)]
    randomness: Hash
    signature: Hex
    previous_signature: Hex | None = None


class Loss(Strict):
    """Redis lost who waited, before the entries were fixed. Numbers whose buyers did not come back are nobody's."""

    epoch: Annotated[int, Field(ge=1)]
    """Receipts of a lower epoch were given out before it, those of this or a higher one after it."""
    at: AwareDatetime
    """When it was found, and what was left of the old memory given up."""
    numbers_to: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    """Every number given out before it is at most this one, every new one after it is higher."""
    waiting: Annotated[int, Field(ge=0)]
    """How many waited, as noted last, a few seconds before."""


def _is_untold(losses: object) -> bool:
    """Version 1 has no such field."""
    return losses is None


class DrawFacts(Strict):
    """All of a draw but its leaves."""

    event: Text
    line: Text
    entries: Annotated[int, Field(ge=0, le=MOST_ENTRIES)]
    """How many numbers were given out before the entries closed, those that belong to nobody included."""
    commitment: Hash
    root: Hash
    secret: Hash
    beacon: BeaconValue | None
    key: Hash
    beacons_named: tuple[NamedBeacon, ...]
    """What sale sheets have said, oldest first."""
    committed_at: AwareDatetime
    draw_at: AwareDatetime
    """When the entries were to close, by the sale sheet."""
    closed_at: AwareDatetime
    fixed_at: AwareDatetime
    """When the root was fixed."""
    drawn_at: AwareDatetime
    losses: Annotated[tuple[Loss, ...] | None, Field(exclude_if=_is_untold)] = None
    """Oldest first; None: not told (version 1)."""

    @property
    def version(self) -> Literal[1, 2]:
        """Of the format."""
        return 1 if self.losses is None else 2

    @property
    def draw(self) -> Draw:
        """The order."""
        return Draw(self.entries, bytes.fromhex(self.key))

    def trust(self, chains: Mapping[str, Chain]) -> Trust:
        """What the order's fairness rests on. A beacon of a chain that is not among ``chains`` counts for nothing."""
        if self.beacon is None:
            return Trust.OPERATOR
        return trust_in(chains.get(self.beacon.chain), self.beacon.round, self.fixed_at)


class SignedFacts(DrawFacts):
    """The facts, and the operator's word for them."""

    statement: str
    """JWS of the ticket service over the facts: two different ones for one line convict the operator."""

    def facts(self) -> DrawFacts:
        """What the statement is about."""
        return DrawFacts.model_validate({name: getattr(self, name) for name in DrawFacts.model_fields})


class _Versioned(Strict):
    """What files have in common. Nothing of their head may be missing: another program might read it otherwise."""

    version: Literal[1, 2]
    facts: SignedFacts

    @field_validator("facts")
    @classmethod
    def _tells_what_its_version_does(cls, facts: SignedFacts, info: ValidationInfo) -> SignedFacts:
        version = info.data.get("version", facts.version)
        if version != facts.version:
            has = "has no losses" if facts.losses is None else "has losses"
            raise PydanticCustomError("version", f"it {has}, unlike files of version {version}")
        return facts


class DrawFile(_Versioned):
    """A draw with all its leaves, as it is downloaded."""

    format: Literal["tiketi-draw"]
    leaves: tuple[Hash, ...]
    """By number."""


class ProofFile(_Versioned):
    """That one entry is in a draw, to be checked without the other leaves."""

    format: Literal["tiketi-proof"]
    seq: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    leaf: Hash
    path: tuple[Hash, ...]
    """From the leaf upwards."""
    place: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    receipt: str | None = None


class ReceiptClaims(Strict):
    """What a signed receipt says of an entry."""

    sub: Text
    """The buyer."""
    event: Text
    line: Text
    seq: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    nonce: Text
    leaf: Hash
    commitment: Hash | None
    joined_at: Annotated[int, Field(ge=0)]
    """ms. Of the answer this receipt is from: joining again makes it later."""
    beacon: BeaconSheet | None
    """As named at the time."""
    epoch: Annotated[int, Field(ge=1)] | None = None
    """Of Redis' memory of the line, which a loss ends; None: not told, as by former releases."""


class DrawnBeacon(Document):
    """The beacon of a draw in its notice."""

    chain: str
    round: int
    randomness: str | None = None


class DrawNotice(Document):
    """What is public about a draw at one moment: ``EventKeys.draws``, and ``status.draws[]``."""

    line: str
    commitment: str
    draw_at: AwareDatetime
    n: int | None = None
    root: str | None = None
    secret: str | None = None
    beacon: DrawnBeacon | None = None
    trust: Trust
    drawn_at: AwareDatetime | None = None
    losses: tuple[Loss, ...] | None = None
    """Known once the entries are fixed."""

    def to_json(self) -> str:
        """As it is kept in Redis; what is not known yet is left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    @classmethod
    def of_json(cls, document: str | bytes) -> Self:
        """Read it back. Raises pydantic.ValidationError."""
        return cls.model_validate_json(document)


def trust_in(chain: Chain | None, number: int, fixed_at: datetime) -> Trust:
    """What an order rests on whose entries were fixed at ``fixed_at`` and whose beacon was this round."""
    if chain is None or round_time(chain, number) <= fixed_at:
        return Trust.OPERATOR
    return Trust.BEACON
