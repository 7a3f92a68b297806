"""Rounds of public randomness beacons, fetched from relays that need not be trusted: every value is verified."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

import aiohttp
import msgspec

from tiketi_runtime.contracts.beacon import Chain, randomness_of, round_time, verify_round
from tiketi_runtime.contracts.draw_file import BeaconValue

_TIMEOUT: Final = aiohttp.ClientTimeout(total=3)
_MOST_BYTES: Final = 4096
_COMPLAIN_INTERVAL: Final = 60
"""Seconds"""
_PERIODS: Final = 3
"""A round comes within one; relays have it some seconds later."""
_USUAL_PERIOD: Final = timedelta(seconds=30)
_LEAST_PATIENCE: Final = timedelta(seconds=10)

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
        self._complained: dict[tuple[str, int], float] = {}
        """When a round that is waited for was last complained of; time.monotonic()"""

    async def value(self, chain_hash: str, number: int) -> BeaconValue | None:
        """The value of a round; None while it is not published, or no relay answers with it."""
        chain = self.chains.get(chain_hash)
        if chain is None:
            self._complain(chain_hash, number, "the chain is not known: name it in the file of chains, or withdraw it")
            return None
        if datetime.now(UTC) < round_time(chain, number):
            return None
        troubles = []
        for relay in self._relays:
            try:
                value = _verified(chain, number, await self._fetch(f"{relay}/{chain.hash}/public/{number}"))
            except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
                troubles.append(f"{relay}: {type(error).__name__}: {error}")
            else:
                self._complained.pop((chain_hash, number), None)
                return value
        self._complain(chain_hash, number, "; ".join(troubles) or "there is no relay to ask")
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

    def _complain(self, chain_hash: str, number: int, trouble: str) -> None:
        """When the waiting begins, and once a minute from then on: not at every step, whatever the relays say."""
        now = time.monotonic()
        if now - self._complained.get((chain_hash, number), -inf) >= _COMPLAIN_INTERVAL:
            self._complained[chain_hash, number] = now
            log.warning("no beacon yet", extra={"chain": chain_hash, "round": number, "error": trouble})


def is_overdue(chain: Chain | None, waiting: timedelta) -> bool:
    """Whether a round has been waited for so long that it will not come by itself; None: the chain is not known."""
    usual = _PERIODS * (_USUAL_PERIOD if chain is None else chain.period)
    return waiting > max(usual, _LEAST_PATIENCE)


def waiting_of(chain: Chain | None, number: int, fixed_at: datetime, now: datetime) -> timedelta:
    """For how long entries fixed at ``fixed_at`` have waited beyond the time at which the round was to be published."""
    due = fixed_at if chain is None else max(fixed_at, round_time(chain, number))
    return max(timedelta(0), now - due)


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
