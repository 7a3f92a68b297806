"""Ticket and payment as they run, a vendor, and a broker between them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.conftest import MakeDatabase
from tests.integration.refunds.house import SALES, House
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.service import Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY, RunningVendor, serve_vendor

from tiketi_local.world import World
from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.payment.app import build_app as build_payment
from tiketi_services.payment.settings import PaymentSettings
from tiketi_services.ticket.app import build_app as build_ticket
from tiketi_services.ticket.settings import TicketSettings


@dataclass(frozen=True)
class Site:
    """What both services need to run."""

    ticket: Callable[..., TicketSettings]
    payment: PaymentSettings
    auth: TokenSigner


def _signer(folder: Path, name: str) -> TokenSigner:
    path = folder / f"{name}.pem"
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signer = TokenSigner.from_pem_file(path, f"tiketi-{name}")
    (folder / f"{name}.jwks").write_text(json.dumps(signer.jwks()))
    return signer


@pytest.fixture(scope="module")
async def vendor() -> AsyncIterator[RunningVendor]:
    async with serve_vendor() as running:
        yield running


@pytest.fixture(scope="module")
async def site(
    tmp_path_factory: pytest.TempPathFactory,
    redis_url: str,
    database: MakeDatabase,
    world: World,
    vhost: str,
    vendor: RunningVendor,
) -> Site:
    folder = tmp_path_factory.mktemp("keys")
    auth, _ = _signer(folder, "auth"), _signer(folder, "payment")
    secret = folder / "toss.key"
    secret.write_text(SECRET_KEY)
    ticket_url = await database("ticket")

    def ticket(**changes: Any) -> TicketSettings:
        values = {
            "redis_url": redis_url,
            "database_url": ticket_url,
            "amqp_url": world.amqp_url("ticket", vhost),
            "payment_jwks_url": f"file://{folder}/payment.jwks",
            "seats_return_soonest": 1,
            "seats_return_latest": 2,
            "refund_interval": 0.1,
        }
        settings = settings_for(folder, auth, **(values | changes))
        signer = TokenSigner.from_pem_file(settings.signing_key_file, "tiketi-ticket")
        (folder / "ticket.jwks").write_text(json.dumps(signer.jwks()))
        return settings

    payment = PaymentSettings.model_validate(
        {
            "database_url": await database("payment"),
            "amqp_url": world.amqp_url("payment", vhost),
            "signing_key_file": folder / "payment.pem",
            "auth_jwks_url": f"file://{folder}/auth.jwks",
            "ticket_jwks_url": f"file://{folder}/ticket.jwks",
            "toss_url": vendor.url,
            "toss_client_key": CLIENT_KEY,
            "toss_secret_key_file": secret,
            "resolve_interval": 0.05,
        }
    )
    return Site(ticket, payment, auth)


@pytest.fixture(scope="module")
async def house(site: Site, vendor: RunningVendor, world: World, vhost: str) -> AsyncIterator[House]:
    async with serve_app(build_payment(site.payment)) as payment_url:
        settings = site.ticket(payment_url=payment_url)
        async with runtime_redis.connect(settings.redis_url) as client:
            for name, changes in SALES.items():
                await publish(client, a_sale(name, queue={"totalActiveUsers": 1000}, **changes))
            async with (
                serve_app(build_ticket(settings)) as url,
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
                await postgres.connect(settings.database_url, 4) as ticket_pool,
                await postgres.connect(site.payment.database_url, 4) as payment_pool,
            ):
                service = Service(url, http, client, site.auth)
                for name in SALES:
                    await service.until_served(name)
                yield House(service, settings, payment_url, vendor, ticket_pool, payment_pool, world, vhost)


@pytest.fixture(autouse=True)
async def all_is_well(house: House) -> AsyncIterator[None]:
    """After every test: no fault is left, everything comes to rest, and every invariant holds."""
    yield
    await house.faults()
    await house.come_to_rest()
    assert await house.violations() == []
