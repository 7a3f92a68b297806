"""A payment service on real stores, a vendor, and a shop around them; new ones for each test file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.conftest import MakeDatabase
from tests.integration.payment.shop import Shop
from tests.integration.serving import serve_app
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY, RunningVendor, serve_vendor

from tiketi_local.world import World
from tiketi_runtime.security import TokenSigner
from tiketi_services.payment.app import build_app
from tiketi_services.payment.settings import PaymentSettings


@dataclass(frozen=True)
class Keys:
    """Signers of the services around, and where payment finds their keys."""

    folder: Path
    auth: TokenSigner
    ticket: TokenSigner

    def jwks_url(self, name: str) -> str:
        return f"file://{self.folder}/{name}.jwks"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    signers = {name: _signer(folder, name) for name in ("auth", "ticket", "payment")}
    return Keys(folder, signers["auth"], signers["ticket"])


def _signer(folder: Path, name: str) -> TokenSigner:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(pem)
    signer = TokenSigner.from_pem_file(path, f"tiketi-{name}")
    (folder / f"{name}.jwks").write_text(json.dumps(signer.jwks()))
    return signer


@pytest.fixture(scope="module")
async def vendor() -> AsyncIterator[RunningVendor]:
    async with serve_vendor() as running:
        yield running


@pytest.fixture(scope="module")
async def database_url(database: MakeDatabase) -> str:
    return await database("payment")


MakeSettings = Callable[..., PaymentSettings]


@pytest.fixture(scope="module")
def settings(keys: Keys, vendor: RunningVendor, database_url: str, world: World, vhost: str) -> MakeSettings:
    """Settings for the module's stores; keyword arguments change some."""
    secret = keys.folder / "toss.key"
    secret.write_text(SECRET_KEY + "\n")

    def make(**changes: object) -> PaymentSettings:
        values = {
            "database_url": database_url,
            "amqp_url": world.amqp_url("payment", vhost),
            "signing_key_file": keys.folder / "payment.pem",
            "auth_jwks_url": keys.jwks_url("auth"),
            "ticket_jwks_url": keys.jwks_url("ticket"),
            "toss_url": vendor.url,
            "toss_client_key": CLIENT_KEY,
            "toss_secret_key_file": secret,
            "resolve_interval": 0.05,
        }
        return PaymentSettings.model_validate(values | changes)

    return make


@pytest.fixture(scope="module")
async def payment_url(settings: MakeSettings) -> AsyncIterator[str]:
    async with serve_app(build_app(settings())) as url:
        yield url


@pytest.fixture(scope="module")
async def shop(payment_url: str, vendor: RunningVendor, keys: Keys) -> AsyncIterator[Shop]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        yield Shop(http, payment_url, vendor, keys.auth, keys.ticket)


@pytest.fixture(scope="module")
async def rows(payment_url: str, database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Payment's own database, to look and to meddle."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture(autouse=True)
async def books_agree(shop: Shop, rows: asyncpg.Pool) -> AsyncIterator[None]:
    """After every test: what the vendor keeps is what the outcomes say, and no order is both paid and closed."""
    yield
    await shop.faults()
    outcomes = await rows.fetch(
        "SELECT a.vendor_order_id, o.amount - (SELECT coalesce(sum(r.amount), 0) FROM refunds r"
        " WHERE r.order_id = o.order_id AND r.state = 'DONE') AS amount"
        " FROM outcomes o JOIN attempts a USING (attempt_id)"
    )
    owed = {row["vendor_order_id"]: row["amount"] for row in outcomes}
    under_way = await rows.fetch(
        "SELECT vendor_order_id FROM attempts a LEFT JOIN cancellations c USING (attempt_id)"
        " WHERE a.state IN ('CONFIRMING', 'UNKNOWN') OR c.state = 'REQUESTED'"
    )
    open_ends = {row["vendor_order_id"] for row in under_way}
    for order, sums in (await shop.ledger())["orders"].items():
        if order not in open_ends:
            assert sums["charged"] - sums["cancelled"] == owed.get(order, 0), order
    wrong = await rows.fetchval(
        "SELECT count(*) FROM orders LEFT JOIN outcomes USING (order_id)"
        " WHERE (orders.state IN ('PAID', 'REFUNDED')) <> (outcomes.order_id IS NOT NULL)"
    )
    assert wrong == 0
