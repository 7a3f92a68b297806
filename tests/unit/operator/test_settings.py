"""Settings that are read from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiketi_operator.settings import PlatformSettings
from tiketi_runtime.contracts.beacon import DEFAULT, QUICKNET, Chain


def described(chain: Chain) -> dict[str, object]:
    """What a relay answers to ``/info``."""
    return {
        "public_key": chain.public_key.hex(),
        "period": int(chain.period.total_seconds()),
        "genesis_time": int(chain.genesis.timestamp()),
        "hash": chain.hash,
        "groupHash": chain.seed.hex(),
        "schemeID": chain.scheme,
        "metadata": {"beaconID": chain.beacon_id},
    }


def test_the_league_of_entropy_s_chains_are_known_without_a_file() -> None:
    assert PlatformSettings().beacon_chains() == {chain.hash: chain for chain in (DEFAULT, QUICKNET)}


def test_chains_of_a_file_are_known_too(tmp_path: Path) -> None:
    info = described(QUICKNET) | {"metadata": {"beaconID": "ours"}}
    ours = Chain(
        hash="",
        public_key=QUICKNET.public_key,
        period=QUICKNET.period,
        genesis=QUICKNET.genesis,
        seed=QUICKNET.seed,
        scheme=QUICKNET.scheme,
        beacon_id="ours",
    ).compute_hash()
    file = tmp_path / "chains.json"
    file.write_text(json.dumps([info | {"hash": ours}]))
    assert set(PlatformSettings(beacon_chains_file=file).beacon_chains()) == {DEFAULT.hash, QUICKNET.hash, ours}


@pytest.mark.parametrize("content", ["", "[1]", json.dumps([described(QUICKNET) | {"period": 30}])])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "chains.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"chains\.json"):
        PlatformSettings(beacon_chains_file=file).beacon_chains()
