"""A draw as Tiketi publishes it, made without any service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tiketi_local.beacon import Simulator
from tiketi_runtime.contracts.beacon import round_after
from tiketi_runtime.contracts.draw import DrawKey, commitment_of, entry_leaf, hole_leaf, order_key
from tiketi_runtime.contracts.draw_file import (
    DRAW_TYP,
    RECEIPT_TYP,
    BeaconValue,
    DrawFacts,
    DrawFile,
    Loss,
    NamedBeacon,
    ReceiptClaims,
    SignedFacts,
)
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Seq
from tiketi_runtime.contracts.merkle import root_of
from tiketi_runtime.contracts.sale_sheet import BeaconSheet
from tiketi_runtime.security import TokenSigner
from tiketi_services.verify.__main__ import main

EVENT = EventId("demo/show")
DRAW_KEY = DrawKey(bytes(range(32)))
SIGNER = TokenSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)), "tiketi-ticket")
STRANGER = TokenSigner(Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1"), "tiketi-ticket")
BUYERS = [f"buyer-{number}" for number in range(1, 13)]
SIMULATOR = Simulator(b"a seed for tests only, 32 bytes.")
CLOSED_AT = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
FIXED_AT = CLOSED_AT + timedelta(seconds=1)
BEACON = BeaconSheet(chain=SIMULATOR.chain.hash, round=round_after(SIMULATOR.chain, FIXED_AT + timedelta(seconds=5)))


def leaf_of(seq: int, buyer: str | None, event: EventId = EVENT) -> bytes:
    number = Seq(seq)
    if buyer is None:
        return hole_leaf(event, PUBLIC, number)
    return entry_leaf(event, PUBLIC, number, BuyerId(buyer), DRAW_KEY.nonce(event, PUBLIC, number, BuyerId(buyer)))


LEAVES = [leaf_of(seq, buyer) for seq, buyer in enumerate(BUYERS, start=1)]


def beacon_value(sheet: BeaconSheet | None) -> BeaconValue | None:
    if sheet is None:
        return None
    said = SIMULATOR.round(sheet.round)
    return BeaconValue(chain=sheet.chain, round=sheet.round, randomness=said["randomness"], signature=said["signature"])


def sign(facts: DrawFacts, signer: TokenSigner = SIGNER) -> SignedFacts:
    claims = facts.model_dump(mode="json", by_alias=True)
    statement = signer.sign(DRAW_TYP, claims, timedelta(days=36525), issued_at=facts.drawn_at)
    return SignedFacts(**dict(facts), statement=statement)


def draw_of(buyers: Sequence[str | None], beacon: BeaconSheet | None = BEACON, **changes: Any) -> DrawFile:
    """The draw of these buyers, by number; ``changes``: of the facts, which stay consistent with each other."""
    leaves = [leaf_of(seq, buyer) for seq, buyer in enumerate(buyers, start=1)]
    return draw_of_leaves(leaves, beacon, **changes)


def a_loss(**changes: Any) -> Loss:
    """Of Redis, half a minute before the entries closed, after the receipts below were given."""
    told = {"epoch": 2, "at": CLOSED_AT - timedelta(seconds=30), "numbers_to": 20_000, "waiting": 9}
    return Loss.model_validate({**told, **changes})


def draw_of_leaves(leaves: Sequence[bytes], beacon: BeaconSheet | None = BEACON, **changes: Any) -> DrawFile:
    secret, root = DRAW_KEY.secret(EVENT, PUBLIC), root_of(leaves)
    value = beacon_value(beacon)
    named = NamedBeacon(
        chain=beacon and beacon.chain, round=beacon and beacon.round, version=1, named_at=CLOSED_AT - timedelta(days=1)
    )
    facts = DrawFacts(
        **{
            "event": EVENT,
            "line": PUBLIC,
            "entries": len(leaves),
            "commitment": commitment_of(secret).hex(),
            "root": root.hex(),
            "secret": secret.hex(),
            "beacon": value,
            "key": order_key(
                secret, len(leaves), root, None if value is None else bytes.fromhex(value.randomness)
            ).hex(),
            "beacons_named": (named,) if beacon else (),
            "committed_at": CLOSED_AT - timedelta(days=2),
            "draw_at": CLOSED_AT,
            "closed_at": CLOSED_AT,
            "fixed_at": FIXED_AT,
            "drawn_at": FIXED_AT + timedelta(seconds=10),
            "losses": (),
            **changes,
        }
    )
    return DrawFile(
        format="tiketi-draw", version=facts.version, facts=sign(facts), leaves=tuple(leaf.hex() for leaf in leaves)
    )


def receipt_of(seq: int, buyer: str, signer: TokenSigner = SIGNER, **changes: Any) -> str:
    """The receipt the buyer of this number was given a minute before the entries closed."""
    claims = ReceiptClaims(
        **{
            "sub": buyer,
            "event": EVENT,
            "line": PUBLIC,
            "seq": seq,
            "nonce": DRAW_KEY.nonce(EVENT, PUBLIC, Seq(seq), BuyerId(buyer)),
            "leaf": leaf_of(seq, buyer).hex(),
            "commitment": commitment_of(DRAW_KEY.secret(EVENT, PUBLIC)).hex(),
            "joined_at": int((CLOSED_AT - timedelta(minutes=1)).timestamp() * 1000),
            "beacon": BEACON,
            "epoch": 1,
            **changes,
        }
    )
    said = claims.model_dump(mode="json", by_alias=True)
    return signer.sign(RECEIPT_TYP, said, timedelta(days=36525), issued_at=CLOSED_AT - timedelta(minutes=1))


@dataclass
class Said:
    """What the command line answered."""

    code: int
    out: str
    err: str

    @property
    def faults(self) -> list[str]:
        """Names of the checks that failed, of the readable report."""
        return [line.split()[1] for line in self.out.splitlines() if line.startswith("  fault")]


@dataclass
class Desk:
    """A folder with files, and the command."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    options: list[str] = field(default_factory=list)

    def write(self, name: str, content: Any) -> str:
        path = self.folder / name
        if isinstance(content, DrawFile):
            content = content.model_dump_json(by_alias=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def trust(self) -> None:
        """Use the service's keys and the test chain from now on."""
        keys = self.write("keys.json", SIGNER.jwks())
        chains = self.write("chains.json", [SIMULATOR.info()])
        self.options = ["--keys", keys, "--chains", chains]

    def run(self, *arguments: str) -> Said:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        said = self.capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Said(end.value.code, said.out, said.err)

    def verify(self, file: Any, *arguments: str) -> Said:
        return self.run("verify", self.write("draw.json", file), *self.options, *arguments)
