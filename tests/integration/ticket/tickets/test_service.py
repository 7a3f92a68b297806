"""The whole way through the running service: from the name of an account to the gate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.serving import serve_app
from tests.integration.ticket.orders.box_office import ANNA, PaymentOffice, new_signer
from tests.integration.ticket.queue.service import PATIENCE, Answer, Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish
from tests.integration.ticket.tickets.gates import role
from tests.invariants import violations

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.postgres import Pool
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app

SHOW = "/events/demo/show"


@dataclass
class Shop:
    """The running service, and payment's key."""

    service: Service
    pool: Pool
    payment: TokenSigner

    async def send(self, method: str, path: str, claims: dict[str, Any], body: Any = None, **headers: str) -> Answer:
        headers["authorization"] = f"Bearer {self.service.token(**claims)}"
        async with self.service.http.request(method, self.service.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return Answer(answer.status, json.loads(text) if text else None, answer.headers)

    def outcome(self, order: dict[str, Any], buyer: str) -> dict[str, str]:
        claims = {
            "order": order["order"],
            "event": "demo/show",
            "buyer": buyer,
            "status": "PAID",
            "amount": order["amount"],
            "currency": order["currency"],
            "paymentKey": "tviva-1",
        }
        return {"outcome": self.payment.sign("payment-outcome+jwt", claims, timedelta(days=1))}


@pytest.fixture(scope="module")
async def shop(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, database: MakeDatabase, amqp_url: str
) -> AsyncIterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("keys")
    auth, payment = new_signer("tiketi-auth"), new_signer("tiketi-payment")
    (folder / "payment.json").write_text(json.dumps(payment.jwks()))
    (folder / "others.json").write_text(json.dumps(new_signer("tiketi-ticket").jwks()))
    url = await database("ticket")
    office = PaymentOffice()
    async with office.served() as payment_url, runtime_redis.connect(redis_url) as client:
        settings = settings_for(
            folder,
            auth,
            redis_url=redis_url,
            database_url=url,
            amqp_url=amqp_url,
            payment_url=payment_url,
            payment_jwks_url=f"file://{folder}/payment.json",
            other_keys_file=folder / "others.json",
        )
        await publish(client, a_sale("show", queue={"totalActiveUsers": 100}))
        async with (
            serve_app(build_app(settings)) as base,
            aiohttp.ClientSession() as http,
            await postgres.connect(url, 2) as pool,
        ):
            service = Service(base, http, client, auth)
            await service.until_served("show")
            yield Shop(service, pool, payment)
            assert await violations(pool) == []


async def test_the_name_of_the_account_goes_from_the_order_to_the_gate_and_cannot_be_changed(shop: Shop) -> None:
    anna, renamed = {"buyer": ANNA, "name": "김안나"}, {"buyer": ANNA, "name": "Boris"}
    joined = await shop.service.join("demo/show", ANNA)
    claimed = await shop.service.claim_until_admitted("demo/show", ANNA, joined.body["receipt"])
    right = {"tiketi-pass": claimed.body["pass"]}
    held = await shop.send("POST", f"{SHOW}/holds", anna, {"section": "A", "quantity": 2}, **right)
    wish, key = {"hold": held.body["hold"]}, {"idempotency-key": "once"}
    placed = await shop.send("POST", f"{SHOW}/orders", anna, wish, **key)
    again = await shop.send("POST", f"{SHOW}/orders", renamed, wish, **key)
    assert (again.status, again.body) == (201, placed.body)
    path = f"/orders/{placed.body['order']}/outcome"
    paid = await shop.send("POST", path, renamed, shop.outcome(placed.body, ANNA))
    assert (paid.status, paid.body["state"]) == (200, "PAID")

    mine = (await shop.send("GET", "/me/tickets", renamed)).body["tickets"]
    assert sorted(ticket["seat"] for ticket in mine) == held.body["seats"]
    assert {ticket["owner"] for ticket in mine} == {"김안나"}
    assert {ticket["order"] for ticket in mine} == {placed.body["order"]}

    staff = {"buyer": "gate-1", "roles": role("gate")}
    scan = {"code": mine[0]["code"], "gate": "North"}
    refused = await shop.send("POST", f"{SHOW}/check-ins", anna, scan, **{"idempotency-key": "s"})
    assert (refused.status, refused.body["code"]) == (403, "role-needed")
    admitted = await shop.send("POST", f"{SHOW}/check-ins", staff, scan, **{"idempotency-key": "s1"})
    assert (admitted.status, admitted.body["owner"]) == (201, "김안나")
    second = await shop.send("POST", f"{SHOW}/check-ins", staff, scan, **{"idempotency-key": "s2"})
    assert (second.status, second.body["code"]) == (409, "ticket-used")
    counted = await shop.send("GET", f"{SHOW}/check-ins", staff)
    assert (counted.body["inside"], counted.body["issued"]) == (1, 1)
    assert await violations(shop.pool) == []


async def test_both_keys_are_published_wherever_keys_are(shop: Shop) -> None:
    published = [
        (await shop.service.get(path)).body
        for path in (f"{SHOW}/ticket-keys", "/.well-known/jwks.json", f"{SHOW}/queue/public/keys")
    ]
    assert len(published[0]["keys"]) == 2
    assert published == [published[0]] * 3


async def test_the_document_tells_of_the_key_that_a_scan_needs(shop: Shop) -> None:
    document = (await shop.service.get("/openapi.json")).body
    post = document["paths"]["/events/{namespace}/{name}/check-ins"]["post"]
    assert [parameter["name"] for parameter in post["parameters"]].count("Idempotency-Key") == 1
    assert "/me/tickets" in document["paths"]


ROLES = [*role("gate"), *role("organiser")]
OF_EVENT = [
    ("GET", "check-ins", None),
    ("POST", "check-ins", {"gate": "north", "code": "x"}),
    ("GET", "ticket-keys", None),
    ("GET", "void-tickets", None),
    ("GET", "refunds", None),
    ("POST", "refunds", {"orders": ["00000000-0000-4000-8000-000000000000"]}),
    ("POST", "refunds", {"cancelEvent": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), OF_EVENT)
async def test_of_an_event_that_never_was_nothing_is_told(shop: Shop, method: str, path: str, body: Any) -> None:
    claims = {"buyer": "olga", "roles": ROLES}
    answer = await shop.send(method, f"/events/demo/never/{path}", claims, body, **{"idempotency-key": "k"})
    assert (answer.status, answer.body["code"]) == (404, "unknown-event")
    if path != "ticket-keys":  # who may not ask hears that first
        refused = await shop.send(
            method, f"/events/demo/never/{path}", {"buyer": "anna", "roles": []}, body, **{"idempotency-key": "k"}
        )
        assert (refused.status, refused.body["code"]) == (403, "role-needed")


async def test_gates_and_refunds_outlive_the_object(shop: Shop) -> None:
    await publish(shop.service.redis, a_sale("gone"))
    await shop.service.until_served("gone")
    await delete(shop.service.redis, event_id("demo", "gone"))
    async with asyncio.timeout(PATIENCE):
        while (await shop.service.get("/events/demo/gone")).status != 404:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)
    for method, path, body in OF_EVENT:
        answer = await shop.send(
            method, f"/events/demo/gone/{path}", {"buyer": "olga", "roles": ROLES}, body, **{"idempotency-key": "k"}
        )
        assert answer.status != 404, (path, answer)
