"""What the QR code of a ticket says. Gate programs of others read it too, so it is a contract.

It is a compact JWS (RFC 7515, EdDSA) with ``typ`` TYP and the claims below, nothing else; it verifies offline with the
ticket service's public keys. There is nothing secret in it, but whoever holds a copy can show it: it proves that the
ticket is genuine and whose it is, not that it has not been used or refunded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from tiketi_runtime.contracts.identity import EventId, SeatId, namespace_and_name
from tiketi_runtime.errors import InvalidToken

TYP: Final = "ticket+jws"


@dataclass(frozen=True, slots=True)
class TicketCode:
    """The signed content."""

    ticket: str
    """Id of the ticket (UUID)."""
    event: EventId
    seat: SeatId
    owner: str | None
    """Name of whose ticket it is; None if its order was placed before names were kept."""

    def claims(self) -> dict[str, str | None]:
        """With names as short as they can be read: every byte makes the code finer and slower to scan."""
        return {"tkt": self.ticket, "evt": self.event, "seat": self.seat, "name": self.owner}

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Self:
        """Read verified claims; further ones are for later versions. Raises InvalidToken if they say something else."""
        try:
            owner = claims["name"]
            if not (isinstance(claims["seat"], str) and (owner is None or isinstance(owner, str))):
                raise ValueError("seat and name must be text")
            namespace_and_name(claims["evt"])
            return cls(str(UUID(claims["tkt"])), EventId(claims["evt"]), SeatId(claims["seat"]), owner)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidToken(f"This is not the content of a ticket: {error}.") from error
