"""One sale on real stores and services, with a toxiproxy on every way between them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import Signals
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from tests.faults.proxies import Proxies, running_proxies
from tests.integration.redis_servers import free_port
from tests.integration.ticket.sales.a_sale import a_sale, publish
from tests.integration.ticket.tickets.gates import role
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY, RunningVendor, serve_vendor

from tiketi_local import part, platform, process
from tiketi_local.catalogue import catalogue
from tiketi_local.envoy import bootstrap, envoy, routes_file
from tiketi_local.part import Part, write_private
from tiketi_local.probes import healthy
from tiketi_local.routes import discovery_response, write
from tiketi_local.site import Site
from tiketi_local.world import World
from tiketi_runtime.background import running
from tiketi_runtime.contracts.messages import AnyMessage
from tiketi_runtime.rabbitmq import Broker
from tiketi_runtime.security import TokenSigner
from tiketi_services.auth.consumers import KEYS as LETTER_KEYS
from tiketi_services.auth.consumers import QUEUE as LETTERS

EVENT = "demo/storm"
HOLD = timedelta(seconds=4)
"""Of a hold, and of the time to pay: short, so that buyers run out of both."""
LIMIT = 4
PATIENCE_OF_AUDITOR = 3
"""Seconds. Shorter than in earnest: what is merely late must not look wrong to it however soon it looks again."""
SERVICES = ("ticket", "payment", "stats")
DOUBLED = ("ticket", "payment")
"""Services of which there may be two, behind one front door."""
SECTIONS = {"A": 50_000, "B": 40_000, "C": 30_000, "D": 20_000, "E": 10_000, "F": 5_000, "G": 3_000, "H": 1_000}
"""Prices. The first sections are enough for a short run."""
LINKS = {
    "buyers-ticket": "ticket",
    "buyers-payment": "payment",
    "ticket-postgres": "postgres",
    "ticket-redis": "redis",
    "ticket-rabbitmq": "rabbitmq",
    "ticket-payment": "payment",
    "payment-postgres": "postgres",
    "payment-rabbitmq": "rabbitmq",
    "payment-toss": "toss",
}
"""Link: the part it leads to."""
_SECOND = "-second"
_NOBODY = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""


@dataclass
class Stage:
    """What faults, buyers and checks work with."""

    world: World
    site: Site
    proxies: Proxies
    vendor: RunningVendor
    http: aiohttp.ClientSession
    auth: TokenSigner
    ticket_database: asyncpg.Pool
    payment_database: asyncpg.Pool
    stats_database: asyncpg.Pool
    redis: Redis
    sections: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seconds: Mapping[str, int] = field(default_factory=dict)
    """Port of each second process of a service."""
    letters: set[UUID] = field(default_factory=set)
    """Messages that somebody heard who stands for auth, which writes letters to buyers."""
    disguise: dict[str, dict[str, str]] = field(default_factory=dict)
    """Environment variables that a service gets beside its own at its next start."""

    @property
    def ticket_url(self) -> str:
        return f"http://127.0.0.1:{self.proxies.ports['buyers-ticket']}"

    @property
    def payment_url(self) -> str:
        return f"http://127.0.0.1:{self.proxies.ports['buyers-payment']}"

    @property
    def services(self) -> list[str]:
        """Every process of a service."""
        return [*SERVICES, *self.seconds]

    def replicas(self, service: str) -> list[str]:
        """The processes of one service."""
        return [service, *(name for name in self.seconds if name == _second(service))]

    def signal(self, name: str, number: Signals) -> None:
        """Send a signal to a part."""
        process.send(self.site.memory.processes[name], number)

    async def ensure(self, name: str) -> None:
        """Have a part running, whatever has become of it."""
        await part.ensure(self.site, self.part(name))

    async def revive(self) -> list[str]:
        """Start services that ended though nobody killed them, and name them: whatever breaks, they stay."""
        dead = [name for name in self.services if not process.alive(self.site.memory.processes[name])]
        for name in dead:
            await self.ensure(name)
        return dead

    def part(self, name: str) -> Part:
        if name in self.services:
            service = name.removesuffix(_SECOND)
            whole = _service(self.site, self.proxies, service, self.disguise.get(service, {}))
            return whole if name == service else _beside(self.site, whole, name, self.seconds[name])
        if name == "envoy":
            return _front_door(self.site, self.seconds)
        return next(item for item in catalogue(self.site) if isinstance(item, Part) and item.name == name)

    def token(self, account: str, *, is_gate: bool = False) -> str:
        """As auth signs it."""
        claims = {"sub": account, "roles": role("gate") if is_gate else [], "email_verified": True, "name": "Kim"}
        return self.auth.sign("at+jwt", claims, timedelta(hours=2))


@asynccontextmanager
async def set_up(name: str, folder: Path, *, is_doubled: bool = False) -> AsyncIterator[Stage]:
    """A world of its own name; gone at the end. ``is_doubled``: two processes of ticket and of payment, and Envoy."""
    world = World.named(name)
    if world.exists:
        await world.down()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.down)
        await world.up("stores")
        site = world.site
        await platform.keys(site).run()
        auth = TokenSigner.from_pem_file(site.folder("keys") / "auth.pem", "tiketi-auth")
        (site.folder("keys") / "auth.jwks").write_text(json.dumps(auth.jwks()))
        (site.folder("keys") / "nobody.yaml").write_text(_NOBODY)
        (site.folder("keys") / "toss.secret").chmod(0o600)
        (site.folder("keys") / "toss.secret").write_text(SECRET_KEY)
        vendor = await stack.enter_async_context(serve_vendor())
        seconds = {_second(service): free_port() for service in DOUBLED} if is_doubled else {}
        door = dict.fromkeys(DOUBLED, site.port("front")) if is_doubled else {}
        vendor.simulator.webhooks.url = f"{site.http_url('front' if is_doubled else 'payment')}/payments/webhooks"
        vendor.simulator.webhooks.minute = 0.5
        vendor_port = int(vendor.url.rpartition(":")[2])
        upstreams = {link: vendor_port if to == "toss" else site.port(to) for link, to in LINKS.items()}
        upstreams |= {link: door[to] for link, to in LINKS.items() if link.startswith("buyers-") and to in door}
        proxies = await stack.enter_async_context(running_proxies(folder, upstreams))
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        redis = await stack.enter_async_context(
            Redis.from_url(world.admin_redis_url, retry=Retry(ConstantBackoff(0.1), 50))
        )
        ticket, payment, stats = [await _eyes(stack, site, service) for service in SERVICES]
        stage = Stage(world, site, proxies, vendor, http, auth, ticket, payment, stats, redis, seconds=seconds)
        await open_sale(stage, SECTIONS if is_doubled else {"A": SECTIONS["A"]})
        await stack.enter_async_context(running(_hear_for_auth(stage)))
        for process_name in [*stage.services, *(["envoy"] if is_doubled else [])]:
            stack.push_async_callback(part.end, site, stage.part(process_name))
            await stage.ensure(process_name)
        await _until_served(stage)
        yield stage


async def _eyes(stack: AsyncExitStack, site: Site, service: str) -> asyncpg.Pool:
    """The administrator's look into a service's database, past all proxies."""
    url = site.database_url("postgres", service)
    pool = await asyncpg.create_pool(url, min_size=0, max_size=2, max_inactive_connection_lifetime=1)
    stack.callback(pool.terminate)
    return pool


async def _hear_for_auth(stage: Stage) -> None:
    """There is no auth here, and messages that nobody listens for would wait for it."""

    async def hear(message: AnyMessage) -> None:
        stage.letters.add(message.id)

    logging.getLogger("tiketi_runtime.rabbitmq").setLevel(logging.ERROR)  # the broker goes away on purpose
    await Broker(stage.site.amqp_url("admin"), "auth").consume(LETTERS, LETTER_KEYS, hear)


async def open_sale(stage: Stage, prices: Mapping[str, int], rows: int = 40, seats: int = 100) -> None:
    """Publish the sale as the operator does."""
    sections = [{"name": name, "price": price, "rows": rows, "seatsPerRow": seats} for name, price in prices.items()]
    opens_at = datetime.now(UTC) - timedelta(minutes=30)
    closes_at = opens_at + timedelta(hours=6)
    line = {"name": "public", "opensAt": opens_at, "closesAt": closes_at, "sections": list(prices)}
    sale = a_sale(
        "storm",
        opens_in=timedelta(minutes=-30),
        closesAt=closes_at,
        startsAt=closes_at + timedelta(days=1),
        refundsUntil=closes_at,
        lines=[line],
        maxTicketsPerBuyer=LIMIT,
        holdDuration=HOLD,
        sections=sections,
        queue={"totalActiveUsers": 100_000, "newUsersPerMinute": 60_000},
    )
    stage.sections = dict.fromkeys(prices, (rows, seats))
    await publish(stage.redis, sale)


async def _until_served(stage: Stage) -> None:
    async with asyncio.timeout(30):
        while True:
            async with stage.http.get(f"{stage.ticket_url}/events/{EVENT}/queue/public/state") as answer:
                if answer.status == 200 and (await answer.json())["epoch"] > 0:
                    return
            await asyncio.sleep(0.1)


def _service(site: Site, proxies: Proxies, name: str, extra: Mapping[str, str]) -> Part:
    """The part as a world has it, with its ways led through the proxies and its patience made short."""

    def through(url: str, link: str, to: str) -> str:
        return url.replace(f":{site.port(to)}", f":{proxies.ports[link]}") if link in proxies.ports else url

    common = {
        "DATABASE_URL": through(site.database_url(name), f"{name}-postgres", "postgres"),
        "AMQP_URL": through(site.amqp_url(name), f"{name}-rabbitmq", "rabbitmq"),
        "AUTH_JWKS_URL": f"file://{site.folder('keys')}/auth.jwks",
    }
    own: dict[str, dict[str, str]] = {
        "ticket": {
            "REDIS_URL": through(site.redis_url("ticket"), "ticket-redis", "redis"),
            "PAYMENT_URL": through(site.http_url("payment"), "ticket-payment", "payment"),
            "PAYMENT_JWKS_URL": f"file://{_public(site, 'payment')}",
            "TRUSTED_PROXIES": "0",
            "SWEEP_INTERVAL": "0.5",
            "CLOSING_RETRY": "2",
            "MEND_INTERVAL": "5",
            "SEATS_RETURN_SOONEST": "1",
            "SEATS_RETURN_LATEST": "3",
        },
        "payment": {
            "TICKET_JWKS_URL": f"file://{_public(site, 'ticket')}",
            "TOSS_URL": f"http://127.0.0.1:{proxies.ports['payment-toss']}",
            "TOSS_CLIENT_KEY": CLIENT_KEY,
            "TOSS_CONNECT_TIMEOUT": "1",
            "TOSS_READ_TIMEOUT": "2",
            "RESOLVE_INTERVAL": "0.5",
        },
        "stats": {
            "KUBECONFIG": str(site.folder("keys") / "nobody.yaml"),
            "AUDIT_INTERVAL": "0.5",
            "AUDIT_PATIENCE": str(PATIENCE_OF_AUDITOR),
        },
    }
    made: dict[str, Any] = {"ticket": platform.ticket, "payment": platform.payment, "stats": platform.stats}
    whole: Part = made[name](site)
    command = whole.command()
    settings = {f"TIKETI_{name.upper()}_{key}": value for key, value in (common | own[name]).items()}
    changed = replace(command, environment={**command.environment, **settings, **extra})
    return replace(whole, command=lambda: changed)


def _second(service: str) -> str:
    return service + _SECOND


def _beside(site: Site, first: Part, name: str, port: int) -> Part:
    """A second process of a service: it differs by its port and its place for files only."""
    command = first.command()
    own = {f"TIKETI_{first.name.upper()}_PORT": str(port)}
    changed = replace(
        command, directory=site.folder(name), log=site.log(name), environment={**command.environment, **own}
    )
    ready = f"http://127.0.0.1:{port}/readyz"
    return replace(first, name=name, ports=(), command=lambda: changed, ready=lambda: healthy(ready))


def _front_door(site: Site, seconds: Mapping[str, int]) -> Part:
    """Envoy as a world has it, with two processes behind its clusters and an eye on which of them lives."""

    async def prepare() -> None:
        config = bootstrap(site)
        for cluster in config["static_resources"]["clusters"]:
            if (second := _second(cluster["name"])) in seconds:
                [group] = cluster["load_assignment"]["endpoints"]
                address = {"socket_address": {"address": "127.0.0.1", "port_value": seconds[second]}}
                group["lb_endpoints"].append({"endpoint": {"address": address}})
                look = {"timeout": "1s", "interval": "0.3s", "unhealthy_threshold": 1, "healthy_threshold": 1}
                cluster["health_checks"] = [{**look, "http_health_check": {"path": "/healthz"}}]
        write_private(site.folder("envoy") / "envoy.json", json.dumps(config))
        write(routes_file(site), discovery_response([]))

    return replace(envoy(site), prepare=prepare)


def _public(site: Site, service: str) -> Path:
    """A service's public keys in a file: which proofs count must not hang on which service is up."""
    path = site.folder("keys") / f"{service}.jwks"
    if not path.exists():
        signer = TokenSigner.from_pem_file(site.folder("keys") / f"{service}.pem", f"tiketi-{service}")
        path.write_text(json.dumps(signer.jwks()))
    return path
