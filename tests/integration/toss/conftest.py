"""A vendor of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.integration.toss.merchant import Merchant
from tests.integration.toss.server import serve_vendor


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    async with serve_vendor() as vendor, aiohttp.ClientSession() as http:
        yield Merchant(http, vendor)
