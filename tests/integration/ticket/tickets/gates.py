"""Tickets in a real database, and gates that scan them over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.service import Answer

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import EventId, SeatId
from tiketi_runtime.contracts.ticket_code import TYP, TicketCode
from tiketi_runtime.postgres import Pool
from tiketi_runtime.security import TokenSigner, TokenVerifier
from tiketi_runtime.web import create_app
from tiketi_services.ticket.tickets.routes import router
from tiketi_services.ticket.tickets.wiring import open_tickets

PACKAGES = (
    "tiketi_services.ticket.sales",
    "tiketi_services.ticket.queue",
    "tiketi_services.ticket.orders",
    "tiketi_services.ticket.tickets",
)
EVENT = EventId("demo/show")
ANNA = "aaaaaaaa-0000-4000-8000-000000000000"

_ISSUE = """
WITH held AS (
  INSERT INTO holds (id, event, buyer, line, fence, seats, held_at, until)
  VALUES (gen_random_uuid(), $1, $2, 'public', nextval('fences'), $3, now(), now() + interval '1 minute') RETURNING *
), placed AS (
  INSERT INTO orders (id, event, buyer, hold, fence, state, seats, prices, amount, currency, name, version,
    idempotency_key, placed_at, pay_by, payment_key, ended_at)
  SELECT gen_random_uuid(), event, buyer, id, fence, 'PAID', seats, ARRAY(SELECT 1000 FROM unnest(seats)),
    1000 * cardinality(seats), 'KRW', 'Show', 1, gen_random_uuid()::text, now(), now(), 'paid', now() FROM held
  RETURNING *
), named AS (
  INSERT INTO order_owners (order_id, name) SELECT id, $4::text FROM placed WHERE $4::text IS NOT NULL
)
INSERT INTO tickets (event, seat, order_id, buyer, price)
SELECT event, seat, id, buyer, 1000 FROM placed, unnest(seats) seat RETURNING id, seat
"""
VOID = (
    "UPDATE tickets SET state = 'VOID', voided_at = clock_timestamp() WHERE id = $1 AND state = 'ISSUED' RETURNING id"
)
"""What a refund does."""


def role(name: str, namespace: str = "demo") -> list[dict[str, Any]]:
    """The claim of somebody with this role."""
    return [{"role": "buyer", "namespaces": ["*"]}, {"role": name, "namespaces": [namespace]}]


async def issue(pool: Pool, event: EventId, seat: str, buyer: str, owner: str | None) -> TicketCode:
    """A paid ticket; what its code says."""
    row = await pool.fetchrow(_ISSUE, event, buyer, [seat], owner)
    assert row is not None
    return TicketCode(str(row["id"]), event, SeatId(seat), owner)


@dataclass
class Gates:
    """The routes of tickets on a real database."""

    url: str
    http: aiohttp.ClientSession
    pool: Pool
    auth: TokenSigner
    signer: TokenSigner
    others: TokenSigner
    """A former key, whose tickets still count."""

    async def issue(
        self, seat: str, *, buyer: str = ANNA, owner: str | None = "Anna Kim", event: EventId = EVENT
    ) -> TicketCode:
        return await issue(self.pool, event, seat, buyer, owner)

    def code(self, content: TicketCode, signer: TokenSigner | None = None) -> str:
        return (signer or self.signer).seal(TYP, content.claims())

    async def scan(
        self,
        code: str,
        *,
        gate: str = "North",
        key: str | None = None,
        staff: str = "gate-1",
        roles: object = None,
        event: EventId = EVENT,
    ) -> Answer:
        headers = {"idempotency-key": key or str(uuid4())}
        path = f"/events/{event}/check-ins"
        body = {"code": code, "gate": gate}
        return await self.send("POST", path, staff, role("gate") if roles is None else roles, body, **headers)

    async def send(
        self, method: str, path: str, subject: str, roles: object, body: Any = None, **headers: str
    ) -> Answer:
        """``roles``: the claim; ``...`` for a token of a time without it."""
        claims = {"sub": subject} if roles is ... else {"sub": subject, "roles": roles}
        headers["authorization"] = f"Bearer {self.auth.sign('at+jwt', claims, timedelta(minutes=5))}"
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return Answer(answer.status, json.loads(text) if text else None, answer.headers)

    async def state(self, content: TicketCode) -> str:
        return str(await self.pool.fetchval("SELECT state FROM tickets WHERE id = $1", content.ticket))

    async def outcomes(self) -> list[tuple[str, int]]:
        """Outcome and repeats of every scan that was written down, oldest first."""
        rows = await self.pool.fetch("SELECT outcome, repeats FROM scans ORDER BY at")
        return [(row["outcome"], row["repeats"]) for row in rows]


class EveryEvent:
    """Sales that know every event: here only tickets are looked at."""

    async def require_known(self, event: str) -> None:
        """Nothing is refused."""


@asynccontextmanager
async def open_gates(database_url: str, folder: Path) -> AsyncIterator[Gates]:
    """Serve the routes; nothing but PostgreSQL is there."""
    auth, former = (TokenSigner(Ed25519PrivateKey.generate(), issuer) for issuer in ("tiketi-auth", "tiketi-ticket"))
    signer = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-ticket", former.jwks()["keys"])
    (folder / "auth.json").write_text(json.dumps(auth.jwks()))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with await postgres.connect(database_url, 16) as pool:
            app.state.access_tokens = TokenVerifier(f"file://{folder}/auth.json")
            app.state.pool = pool
            app.state.sales = EveryEvent()
            open_tickets(app, pool, signer)
            yield

    app = create_app("ticket", lifespan=lifespan, routers=[router])
    connector = aiohttp.TCPConnector(limit=64)
    async with serve_app(app) as url, aiohttp.ClientSession(connector=connector) as http:
        yield Gates(url, http, app.state.pool, auth, signer, former)
