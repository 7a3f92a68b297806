"""Rounds of public randomness beacons, fetched from relays that need not be trusted: every value is verified."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import aiohttp
import msgspec

from tiketi_runtime.contracts.beacon import Chain, randomness_of, round_time, verify_round
from tiketi_runtime.contracts.draw_file import BeaconValue

_TIMEOUT: Final = aiohttp.ClientTimeout(total=3)
_MOST_BYTES: Final = 4096

log = logging.getLogger(__name__)


class _Round(msgspec.Struct):
    """What a relay answers."""

    signature: str
    previous_signature: str | None = None


class Beacons:
    """Asks the relays in turn until one has the genuine value."""

    def __init__(self, http: aiohttp.ClientSession, relays: Sequence[str], chains: Mapping[str, Chain]) -> None:
        """``relays``: base URLs of drand's HTTP API."""
        self._http = http
        self._relays = [relay.rstrip("/") for relay in relays]
        self.chains = chains
        self._trouble = ""

    async def value(self, chain_hash: str, number: int) -> BeaconValue | None:
        """The value of a round; None while it is not published, or no relay answers with it."""
        chain = self.chains.get(chain_hash)
        if chain is None:
            self._complain(f"chain {chain_hash} is not known: name it in the file of chains, or withdraw the beacon")
            return None
        if datetime.now(UTC) < round_time(chain, number):
            return None
        for relay in self._relays:
            try:
                return _verified(chain, number, await self._fetch(f"{relay}/{chain.hash}/public/{number}"))
            except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
                self._complain(f"round {number} from {relay}: {type(error).__name__}: {error}")
        return None

    async def _fetch(self, url: str) -> _Round:
        """Raises ValueError (msgspec.DecodeError is one) if the answer is no round."""
        body = b""
        async with self._http.get(url, timeout=_TIMEOUT, raise_for_status=True) as answer:
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise ValueError("too long for a round of a beacon")
        return msgspec.json.decode(body, type=_Round)

    def _complain(self, trouble: str) -> None:
        """The same trouble is logged once, not at every step."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("no beacon yet", extra={"error": trouble})


def _verified(chain: Chain, number: int, answer: _Round) -> BeaconValue:
    """The value in a relay's answer. Raises ValueError (FalseBeacon) if it is not the chain's for this round."""
    signature = bytes.fromhex(answer.signature)
    previous = bytes.fromhex(answer.previous_signature) if answer.previous_signature else None
    verify_round(chain, number, signature, previous)
    return BeaconValue(
        chain=chain.hash,
        round=number,
        randomness=randomness_of(signature).hex(),
        signature=signature.hex(),
        previous_signature=previous and previous.hex(),
    )
