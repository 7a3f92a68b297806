"""Everything outside this process that a visit to an event needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tiketi_operator.children import Children
from tiketi_operator.codes import CodeSecrets
from tiketi_operator.probes import Gateway, Prover
from tiketi_operator.queue_setup import SaleSheets
from tiketi_operator.reports import Reports
from tiketi_operator.sale import Chains
from tiketi_operator.settings import OperatorSettings
from tiketi_runtime import redis
from tiketi_runtime.kubernetes import Cluster


@dataclass(frozen=True)
class Ports:
    """The API server, Redis, and the gateway as a buyer sees it; and the beacons that can be verified."""

    cluster: Cluster
    sheets: SaleSheets
    codes: CodeSecrets
    reports: Reports
    children: Children
    prover: Prover
    chains: Chains
    settings: OperatorSettings


@asynccontextmanager
async def open_ports(settings: OperatorSettings) -> AsyncIterator[Ports]:
    """Connect to nothing yet: each is reached at its first use, and again after it was away."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(await Cluster.connect(settings.kubeconfig))
        store = await stack.enter_async_context(redis.connect(settings.redis_url))
        gateway = None
        if settings.gateway_url is not None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            gateway = Gateway(session, settings.gateway_url)
        yield Ports(
            cluster=cluster,
            sheets=SaleSheets(store),
            codes=CodeSecrets(cluster, settings),
            reports=Reports(store, cluster),
            children=Children(cluster, settings),
            prover=Prover(cluster, gateway, settings),
            chains=settings.beacon_chains(),
            settings=settings,
        )
