"""A public randomness beacon of this machine's own: drand's HTTP API, real BLS signatures, one member, no network.

Fit for tests and demos only: who has the seed knows every round beforehand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from tiketi_runtime.contracts.beacon import SIGNATURES_IN_G1, Chain, Scheme, randomness_of, round_time

GENESIS: Final = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD: Final = timedelta(seconds=3)
"""Like quicknet's."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Simulator:
    """A chain whose key derives from ``seed``."""

    def __init__(self, seed: bytes, *, genesis: datetime = GENESIS, period: timedelta = PERIOD) -> None:
        self._key = Scalar.from_be_bytes_mod_order(seed)
        unnamed = Chain(
            hash="",
            public_key=(G2Point() * self._key).to_compressed_bytes(),
            period=period,
            genesis=genesis,
            seed=bytes(32),
            scheme=Scheme.UNCHAINED_G1,
            beacon_id="tiketi-local",
        )
        self.chain = replace(unnamed, hash=unnamed.compute_hash())

    def info(self) -> dict[str, Any]:
        """What a relay answers to ``/info``."""
        return {
            "public_key": self.chain.public_key.hex(),
            "period": int(self.chain.period.total_seconds()),
            "genesis_time": int(self.chain.genesis.timestamp()),
            "hash": self.chain.hash,
            "groupHash": self.chain.seed.hex(),
            "schemeID": self.chain.scheme.value,
            "metadata": {"beaconID": self.chain.beacon_id},
        }

    def round(self, number: int) -> dict[str, Any]:
        """What a relay answers to ``/public/<round>``, whether it is due or not."""
        signature = (
            G1Point.hash_to_curve(self.chain.message(number, None), SIGNATURES_IN_G1) * self._key
        ).to_compressed_bytes()
        return {"round": number, "randomness": randomness_of(signature).hex(), "signature": signature.hex()}

    def app(self) -> web.Application:
        """The HTTP API."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/chains", self._chains)
        app.router.add_get(f"/{self.chain.hash}/info", self._info)
        app.router.add_get(f"/{self.chain.hash}/public/{{round:\\d{{1,12}}}}", self._round)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _chains(self, _: web.Request) -> web.Response:
        return web.json_response([self.chain.hash])

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(self.info())

    async def _round(self, request: web.Request) -> web.Response:
        """Like a relay of drand: what is not published yet is not found, or too early (425)."""
        number = int(request.match_info["round"])
        if number < 1:
            return web.Response(status=404)
        if datetime.now(UTC) < round_time(self.chain, number):
            return web.Response(status=425)
        return web.json_response(self.round(number))


def write_chains(simulator: Simulator, path: Path) -> None:
    """The file that lets services know the chain."""
    path.write_text(json.dumps([simulator.info()], indent=2) + "\n")


def main() -> None:
    """``python -m tiketi_local.beacon``."""
    parser = argparse.ArgumentParser(prog="python -m tiketi_local.beacon", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed-file", type=Path, required=True, help="32 random bytes or more")
    options = parser.parse_args()
    simulator = Simulator(options.seed_file.read_bytes())
    web.run_app(simulator.app(), host=options.host, port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
