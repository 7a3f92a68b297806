"""Presale codes as operator and ticket both know them: as digests, never as they were handed out. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final, Self

from tiketi_runtime.contracts.identity import EventId, Line

SHORTEST: Final = 8
"""Characters a code has at least: fewer can be guessed within what failed tries are allowed."""
LONGEST: Final = 128
MOST: Final = 100_000
"""Codes of one presale. A Secret holds 1 MiB."""

_DOMAIN: Final = "tiketi-presale-code-v1"
_DIGEST_BYTES: Final = 32


def normalised(code: str) -> str:
    """The code without what is lost when people copy it: blanks around it, and how its letters are composed.

    Capital letters stay: they count.
    """
    return unicodedata.normalize("NFC", code).strip()


def digest_of(event: EventId, line: Line, code: str) -> bytes:
    """SHA-256 of the normalised code, which means something for this line of this event only.

    Codes are compared by digest, so that the time a comparison takes says nothing about a code.
    """
    text = "\0".join((_DOMAIN, event, line, normalised(code)))
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class CodeBook:
    """All codes of one presale."""

    digests: frozenset[bytes]

    @classmethod
    def of(cls, event: EventId, line: Line, codes: Iterable[str]) -> Self:
        """The book of these codes."""
        return cls(frozenset(digest_of(event, line, code) for code in codes))

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read what ``to_bytes`` wrote. Raises ValueError if it was cut short or altered."""
        parts = [stored[at : at + _DIGEST_BYTES] for at in range(0, len(stored), _DIGEST_BYTES)]
        book = cls(frozenset(parts[1:]))
        if not parts or book.to_bytes() != stored:
            raise ValueError("not a book of presale codes")
        return book

    @cached_property
    def version(self) -> str:
        """Digest of all digests, hexadecimal: changes with the codes."""
        return sha256(b"".join(sorted(self.digests))).hexdigest()

    def to_bytes(self) -> bytes:
        """The version, then all digests in order, 32 bytes each."""
        return bytes.fromhex(self.version) + b"".join(sorted(self.digests))
