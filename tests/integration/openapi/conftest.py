"""Ticket and payment as they run, a vendor, and buyers who have holds, orders and tickets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.integration.openapi.subjects import SALES
from tests.integration.refunds.conftest import Site, site, vendor
from tests.integration.refunds.house import House
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.service import Service
from tests.integration.ticket.sales.a_sale import a_sale, publish
from tests.integration.toss.server import RunningVendor

from tiketi_local.world import World
from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_services.payment.app import build_app as build_payment
from tiketi_services.ticket.app import build_app as build_ticket

__all__ = ["site", "vendor"]


@pytest.fixture(scope="module")
async def house(site: Site, vendor: RunningVendor, world: World, vhost: str) -> AsyncIterator[House]:
    async with serve_app(build_payment(site.payment)) as payment_url:
        settings = site.ticket(payment_url=payment_url)
        async with (
            runtime_redis.connect(settings.redis_url) as client,
            serve_app(build_ticket(settings)) as url,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            await postgres.connect(settings.database_url, 4) as ticket_pool,
            await postgres.connect(site.payment.database_url, 4) as payment_pool,
        ):
            service = Service(url, http, client, site.auth)
            for name, changes in SALES.items():
                await publish(client, a_sale(name, **changes))
                await service.until_served(name)
            yield House(service, settings, payment_url, vendor, ticket_pool, payment_pool, world, vhost)
