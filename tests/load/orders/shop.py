"""Everything that sells: ticket, payment and stats on stores of their own, and the vendor they charge at, simulated.

They are processes like those in production; the vendor sends its webhooks. What they sold is checked afterwards: a row
whose books do not agree has no number.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.ticket.sales.a_sale import a_sale
from tests.integration.toss.server import CLIENT_KEY, SECRET_KEY
from tests.invariants import undelivered, violations
from tests.load.load import Client, Reply, request_bytes, send_all
from tests.load.stand import Server, Stand, free_port, process_cpu, tree_cpu, until_answers

from tiketi_local import rabbitmq
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.security import TokenSigner

CARD: Final = "4000-0000-0000-0077"
_NOWHERE: Final = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
    "current-context": "none",
}
"""A kubeconfig of no API server."""
_CONNECTIONS: Final = 256
_CLAIMS: Final = 1_000
"""At once: who is first in line is admitted first."""
_REST_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Buyer:
    """Somebody who may shop."""

    id: str
    token: str
    admission: str


class Refused(Exception):
    """A request was not answered as it was meant to be."""

    def __init__(self, step: str, reply: Reply) -> None:
        super().__init__(f"{step}: {reply.status} {reply.body[:300]!r}")
        self.step = step
        self.reply = reply


@dataclass
class Shop:
    """What sells, and how to ask what it sold."""

    stand: Stand
    server: Server
    payment_url: str
    toss_url: str
    pids: tuple[int, ...]
    """Of ticket, payment and stats."""
    ticket: asyncpg.Pool
    payment: asyncpg.Pool
    stats: asyncpg.Pool

    async def cpu(self) -> float:
        """CPU seconds of all our processes and all stores."""
        known = self.stand.world.site.memory.processes
        stores = tree_cpu(known["postgres"].pid) + tree_cpu(known["redis"].pid) + tree_cpu(known["rabbitmq"].pid)
        return stores + sum(map(process_cpu, self.pids))

    async def stores_cpu(self) -> float:
        """CPU seconds of PostgreSQL and Redis."""
        known = self.stand.world.site.memory.processes
        return tree_cpu(known["postgres"].pid) + tree_cpu(known["redis"].pid)

    async def admit(self, event: str, names: Sequence[str]) -> list[Buyer]:
        """Buyers who have come through the line of ``demo/<event>``."""
        tokens = [self.server.token(name) for name in names]
        path = f"/events/demo/{event}/queue/public"
        joins = [request_bytes("POST", f"{path}/join", token) for token in tokens]
        replies = await send_all(self.server.url, joins, connections=_CONNECTIONS)
        receipts = [json.loads(_good("join", reply))["receipt"] for reply in replies]
        passes: dict[int, str] = {}
        async with asyncio.timeout(_REST_SECONDS):
            while len(passes) < len(tokens):
                left = [number for number in range(len(tokens)) if number not in passes][:_CLAIMS]
                claims = [_claim(path, tokens[number], receipts[number]) for number in left]
                replies = await send_all(self.server.url, claims, connections=_CONNECTIONS)
                for number, reply in zip(left, replies, strict=True):
                    if (told := json.loads(_good("claim", reply)))["status"] == "admitted":
                        passes[number] = told["pass"]
                await asyncio.sleep(0.3)
        return [Buyer(names[number], tokens[number], passes[number]) for number in range(len(names))]

    async def sold(self) -> int:
        """Seats sold so far."""
        return int(await self.ticket.fetchval("SELECT count(*) FROM seats WHERE state = 'SOLD'"))

    async def at_rest(self, purchases: int) -> None:
        """Wait until all so many purchases have been told to everybody. Raises TimeoutError."""
        async with asyncio.timeout(_REST_SECONDS):
            while not await self._is_told(purchases):  # noqa: ASYNC110 - other processes do it
                await asyncio.sleep(0.1)

    async def check(self) -> None:
        """Raises AssertionError unless the books agree."""
        wrong = await violations(self.ticket, self.payment, at_rest=True)
        wrong += await undelivered(self.ticket, self.payment, self.stats)
        assert not wrong, wrong[:10]

    async def _is_told(self, purchases: int) -> bool:
        if await self.stats.fetchval("SELECT count(*) FROM sales WHERE issued_at IS NOT NULL") < purchases:
            return False
        pools = (self.ticket, self.payment)
        if sum([await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL") for pool in pools]):
            return False
        heard = await self.stats.fetchval("SELECT count(*) FROM inbox")
        return bool(heard >= 3 * purchases and await self.payment.fetchval("SELECT count(*) FROM inbox") >= purchases)


@dataclass
class Counter:
    """Where buyers send their requests: kept connections to ticket, payment and the vendor's window."""

    event: str
    tickets: Sequence[Client]
    payment: Client
    toss: Client

    @classmethod
    @asynccontextmanager
    async def open(cls, shop: Shop, event: str, connections: int) -> AsyncIterator[Counter]:
        """Connect to all, ``connections`` to each."""
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(Client.open(url, connections))
                for url in (*shop.server.urls, shop.payment_url, shop.toss_url)
            ]
            yield cls(event, clients[:-2], clients[-2], clients[-1])

    def ticket(self, buyer: Buyer) -> Client:
        """A buyer's connections lead to one process, as through a front door."""
        return self.tickets[hash(buyer.id) % len(self.tickets)]

    async def hold(self, buyer: Buyer, wish: dict[str, Any]) -> Reply:
        """Ask for seats."""
        path, body = f"/events/demo/{self.event}/holds", json.dumps(wish).encode()
        return await self.ticket(buyer).send(
            request_bytes("POST", path, buyer.token, body, tiketi_pass=buyer.admission)
        )

    async def buy(self, buyer: Buyer, held: bytes) -> list[Reply]:
        """Order, pay and confirm what is held; the answers of our own services. Raises Refused."""
        hold = json.loads(held)["hold"]
        path, body = f"/events/demo/{self.event}/orders", json.dumps({"hold": hold}).encode()
        placed = await self.ticket(buyer).send(request_bytes("POST", path, buyer.token, body, idempotency_key=hold))
        body = json.dumps({"intent": json.loads(_good("order", placed))["intent"]}).encode()
        opened = await self._open_attempt(buyer, body)
        while opened.status == 503:  # as a page does: the seats are theirs
            await asyncio.sleep(json.loads(opened.body)["retryAfter"])
            opened = await self._open_attempt(buyer, body)
        attempt = json.loads(_good("attempt", opened))
        window = {name: attempt[name] for name in ("clientKey", "amount", "currency", "orderName")}
        window |= {"orderId": attempt["vendorOrderId"], "successUrl": "http://shop/ok", "failUrl": "http://shop/no"}
        shown = await self.toss.send(request_bytes("POST", "/checkout", body=json.dumps(window).encode()))
        key = json.loads(_good("window", shown))["paymentKey"]
        card = json.dumps({"card": CARD}).encode()
        await self.toss.send(request_bytes("POST", f"/checkout/{key}/pay", body=card))
        body = json.dumps({"paymentKey": key, "orderId": window["orderId"], "amount": attempt["amount"]}).encode()
        confirmed = await self.payment.send(request_bytes("POST", "/payments/confirm", buyer.token, body))
        if json.loads(_good("confirm", confirmed))["status"] != "paid":
            raise Refused("confirm", confirmed)
        return [placed, opened, confirmed]

    async def look(self, buyer: Buyer, placed: Reply) -> Reply:
        """The order, as its buyer looks at it."""
        order = json.loads(placed.body)["order"]
        return await self.ticket(buyer).send(request_bytes("GET", f"/orders/{order}", buyer.token))

    async def _open_attempt(self, buyer: Buyer, body: bytes) -> Reply:
        return await self.payment.send(request_bytes("POST", "/payments/attempts", buyer.token, body))

    async def purchase(self, buyer: Buyer, wish: dict[str, Any]) -> list[Reply]:
        """From the seats to the payment, coming again when told to. Raises Refused."""
        held = await self.hold(buyer, wish)
        while held.status == 503:
            await asyncio.sleep(json.loads(held.body)["retryAfter"])
            held = await self.hold(buyer, wish)
        _good("hold", held)
        return [held, *await self.buy(buyer, held.body)]


def percentile(values: Sequence[float], part: float) -> float:
    """The value that so many of all are not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def a_house(name: str, rows: int, seats_per_row: int = 100, *, behind: int = 0) -> SaleSheet:
    """A sale of seats in section A, and of so many rows ``behind`` it in B; its line lets in as many as there are."""
    sections = [
        {"name": section, "price": 50_000, "rows": number, "seatsPerRow": seats_per_row}
        for section, number in (("A", rows), ("B", behind))
        if number
    ]
    now = datetime.now(UTC)
    line = {"name": "public", "opensAt": now - timedelta(minutes=1), "closesAt": now + timedelta(hours=1)}
    return a_sale(
        name,
        sections=sections,
        lines=[{**line, "sections": [section["name"] for section in sections]}],
        queue={
            "totalActiveUsers": 100_000,
            "newUsersPerMinute": 600_000,
            "ghostTimeout": timedelta(hours=1),
            "claimWindow": timedelta(minutes=5),
            "sessionDuration": timedelta(minutes=30),
        },
    )


@asynccontextmanager
async def open_shop(stand: Stand, sales: Sequence[SaleSheet], *, processes: int = 1) -> AsyncIterator[Shop]:
    """A shop that sells ``sales`` through so many processes of ticket; gone when the block ends."""
    site, vhost = stand.world.site, f"bench-{secrets.token_hex(4)}"
    databases = {name: await stand.database(name) for name in ("ticket", "payment", "stats")}
    await rabbitmq.make_vhost(site, vhost)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(rabbitmq.delete_vhost, site, vhost)
        files, ports = _files(stand), {name: free_port() for name in ("payment", "toss")}
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        auth = str(stand.keys["auth_jwks_url"])

        def common(name: str) -> dict[str, str]:
            return {"DATABASE_URL": databases[name], "AMQP_URL": site.amqp_url(name, vhost), "AUTH_JWKS_URL": auth}

        await stack.enter_async_context(
            stand.python(
                *("-m", "tests.load.orders.vendor", "--port", str(ports["toss"]), "--client-key", CLIENT_KEY),
                *("--secret-key-file", str(files / "toss.secret")),
                *("--webhook-url", f"{urls['payment']}/payments/webhooks"),
            )
        )
        payment_settings = {
            **common("payment"),
            "SIGNING_KEY_FILE": str(files / "payment.pem"),
            "TICKET_JWKS_URL": f"file://{files / 'ticket.jwks'}",
            "TOSS_URL": urls["toss"],
            "TOSS_CLIENT_KEY": CLIENT_KEY,
            "TOSS_SECRET_KEY_FILE": str(files / "toss.secret"),
        }
        stats_settings = {
            **common("stats"),
            "REDIS_URL": stand.world.redis_url("stats"),
            "KUBECONFIG": str(files / "nowhere.yaml"),
        }
        _, payment_pid = await stack.enter_async_context(
            stand.service("payment", payment_settings, port=ports["payment"])
        )
        stats_url, stats_pid = await stack.enter_async_context(stand.service("stats", stats_settings))
        await until_answers(urls["payment"], ["/readyz"])
        await until_answers(urls["toss"], ["/healthz"])
        await until_answers(stats_url, ["/healthz"])
        server = await stack.enter_async_context(
            stand.ticket(
                sales,
                processes=processes,
                settings={
                    "DATABASE_URL": databases["ticket"],
                    "AMQP_URL": site.amqp_url("ticket", vhost),
                    "PAYMENT_JWKS_URL": f"file://{files / 'payment.jwks'}",
                    "PAYMENT_URL": urls["payment"],
                },
            )
        )
        pools = [
            await stack.enter_async_context(asyncpg.create_pool(databases[name], min_size=1, max_size=2))
            for name in databases
        ]
        pids = (*server.pids, payment_pid, stats_pid)
        yield Shop(stand, server, urls["payment"], urls["toss"], pids, *pools)


def _good(step: str, reply: Reply) -> bytes:
    if reply.status not in (200, 201):
        raise Refused(step, reply)
    return reply.body


def _claim(path: str, token: str, receipt: str) -> bytes:
    return request_bytes("POST", f"{path}/claim", token, json.dumps({"receipt": receipt}).encode())


def _files(stand: Stand) -> Path:
    """Keys and settings that the services read from files."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (stand.folder / "payment.pem").write_bytes(pem)
    ticket = TokenSigner.from_pem_file(Path(stand.keys["signing_key_file"]), "tiketi-ticket")
    for name, signer in (("ticket", ticket), ("payment", TokenSigner(key, "tiketi-payment"))):
        (stand.folder / f"{name}.jwks").write_text(json.dumps(signer.jwks()))
    (stand.folder / "toss.secret").write_text(SECRET_KEY)
    (stand.folder / "nowhere.yaml").write_text(json.dumps(_NOWHERE))
    return stand.folder
