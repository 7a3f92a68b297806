"""A purchase over HTTP and messages, and everything a caller can do wrong."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.serving import serve_app
from tests.integration.ticket.orders.box_office import ANNA, BORIS, PaymentOffice, new_signer
from tests.integration.ticket.queue.service import Answer, Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish
from tests.invariants import violations

from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.messages import PaymentSettled, encode_message
from tiketi_runtime.postgres import Pool
from tiketi_runtime.rabbitmq import Broker, NobodyListens
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app

SHOW = "/events/demo/show"
SECONDS = 10
_buyers = count(1)


@dataclass
class Shop:
    """The running service, and payment's side of it."""

    service: Service
    pool: Pool
    broker: Broker
    payment: TokenSigner
    refused: list[tuple[str, str, int, str]]
    """Method, path, status and code of every refusal there was."""

    async def send(self, method: str, path: str, buyer: str, body: Any = None, **headers: str) -> Answer:
        headers["authorization"] = f"Bearer {self.service.token(buyer)}"
        async with self.service.http.request(method, self.service.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            told: Any = json.loads(text) if text else None
            if answer.status >= 400:
                self.refused.append((method, path, answer.status, told["code"]))
            return Answer(answer.status, told, answer.headers)

    async def admit(self, buyer: str) -> dict[str, str]:
        """The header that lets a buyer hold."""
        joined = await self.service.join("demo/show", buyer)
        claimed = await self.service.claim_until_admitted("demo/show", buyer, joined.body["receipt"])
        return {"tiketi-pass": claimed.body["pass"]}

    async def hold(self, buyer: str, quantity: int = 1) -> Answer:
        wish = {"section": "A", "quantity": quantity}
        return await self.send("POST", f"{SHOW}/holds", buyer, wish, **await self.admit(buyer))

    async def order(self, buyer: str, quantity: int = 1) -> dict[str, Any]:
        held = await self.hold(buyer, quantity)
        wish = {"hold": held.body["hold"]}
        placed = await self.send("POST", f"{SHOW}/orders", buyer, wish, **{"idempotency-key": str(uuid4())})
        assert placed.status == 201
        return dict(placed.body)

    def outcome(self, order: dict[str, Any], buyer: str) -> str:
        claims = {
            "order": order["order"],
            "event": "demo/show",
            "buyer": buyer,
            "status": "PAID",
            "amount": order["amount"],
            "currency": order["currency"],
            "paymentKey": "tviva-1",
        }
        return self.payment.sign("payment-outcome+jwt", claims, timedelta(days=1))

    async def tell_settled(self, order: dict[str, Any], buyer: str) -> None:
        message = PaymentSettled(
            order=order["order"],
            event="demo/show",
            buyer=buyer,
            amount=order["amount"],
            currency=order["currency"],
            payment_key="tviva-1",
            outcome=self.outcome(order, buyer),
        )
        while True:
            try:
                return await self.broker.publish(encode_message(message), message.key, str(message.id))
            except NobodyListens:
                await asyncio.sleep(0.05)

    async def until(self, what: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(SECONDS):
            while not await what():  # noqa: ASYNC110 - the state is another process' to tell
                await asyncio.sleep(0.05)

    async def state_of(self, order: dict[str, Any], buyer: str) -> str:
        return str((await self.send("GET", f"/orders/{order['order']}", buyer)).body["state"])


@pytest.fixture
def buyer() -> str:
    """Somebody who has bought nothing yet."""
    return f"{next(_buyers):08d}-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
async def shop(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, database: MakeDatabase, amqp_url: str
) -> AsyncIterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("keys")
    auth, payment = new_signer("tiketi-auth"), new_signer("tiketi-payment")
    (folder / "payment.json").write_text(json.dumps(payment.jwks()))
    office = PaymentOffice()
    office.answers[None] = {"status": "CLOSED"}
    url = await database("ticket")
    settings = settings_for(
        folder,
        auth,
        redis_url=redis_url,
        database_url=url,
        amqp_url=amqp_url,
        payment_jwks_url=f"file://{folder}/payment.json",
        sweep_interval=timedelta(milliseconds=50),
        seat_map_age=timedelta(milliseconds=50),
    )
    async with office.served() as payment_url, runtime_redis.connect(redis_url) as client:
        settings = settings.model_copy(update={"payment_url": payment_url})
        await publish(client, a_sale("show", queue={"totalActiveUsers": 100}))
        async with (
            serve_app(build_app(settings)) as base,
            aiohttp.ClientSession() as http,
            await postgres.connect(url, 2) as pool,
            Broker(amqp_url, "payment") as broker,
        ):
            service = Service(base, http, client, auth)
            await service.until_served("show")
            yield Shop(service, pool, broker, payment, [])
            assert await violations(pool) == []


# --- The way through


async def test_a_purchase_from_hold_to_ticket_with_payments_word_by_message(shop: Shop, buyer: str) -> None:
    held = await shop.hold(buyer, 2)
    assert held.status == 201
    assert (held.body["amount"], held.body["currency"], len(held.body["seats"])) == (198_000, "KRW", 2)
    wish, key = {"hold": held.body["hold"]}, {"idempotency-key": "first-try"}
    placed = await shop.send("POST", f"{SHOW}/orders", buyer, wish, **key)
    assert placed.status == 201
    assert placed.body["seats"] == held.body["seats"]
    again = await shop.send("POST", f"{SHOW}/orders", buyer, wish, **key)
    assert (again.status, again.body) == (201, placed.body)

    await shop.tell_settled(placed.body, buyer)

    async def is_paid() -> bool:
        return await shop.state_of(placed.body, buyer) == "PAID"

    await shop.until(is_paid)
    mine = await shop.send("GET", "/me/tickets", buyer)
    assert sorted(ticket["seat"] for ticket in mine.body["tickets"]) == held.body["seats"]
    assert {(ticket["order"], ticket["state"]) for ticket in mine.body["tickets"]} == {(placed.body["order"], "ISSUED")}
    late = await shop.send("POST", f"{SHOW}/holds", buyer, {"section": "A", "quantity": 1}, **{"tiketi-pass": "forged"})
    assert late.status == 401


async def test_a_purchase_with_payments_word_in_the_buyers_hands(shop: Shop, buyer: str) -> None:
    order = await shop.order(buyer)
    for _ in range(2):
        body = {"outcome": shop.outcome(order, buyer)}
        answer = await shop.send("POST", f"/orders/{order['order']}/outcome", buyer, body)
        assert (answer.status, answer.body["state"], len(answer.body["tickets"])) == (200, "PAID", 1)
        assert answer.body["intent"] is None


async def test_the_session_ends_with_the_purchase_and_not_before(shop: Shop, buyer: str) -> None:
    right = await shop.admit(buyer)
    held = await shop.send("POST", f"{SHOW}/holds", buyer, {"section": "A", "quantity": 1}, **right)
    refused = await shop.send("POST", f"{SHOW}/holds", buyer, {"seats": held.body["seats"]}, **right)
    assert (refused.status, refused.body["code"], refused.body["taken"]) == (409, "seat-taken", held.body["seats"])
    assert len(refused.body["free"]) >= 1
    more = await shop.send("POST", f"{SHOW}/holds", buyer, {"seats": refused.body["free"][:1]}, **right)
    assert more.status == 201
    placed = await shop.send("POST", f"{SHOW}/orders", buyer, {"hold": held.body["hold"]}, **{"idempotency-key": "k"})
    body = {"outcome": shop.outcome(placed.body, buyer)}
    await shop.send("POST", f"/orders/{placed.body['order']}/outcome", buyer, body)
    over = await shop.send("POST", f"{SHOW}/holds", buyer, {"section": "A", "quantity": 1}, **right)
    assert (over.status, over.body["code"]) == (403, "admission-expired")


async def test_a_cancelled_order_is_closed_and_its_seats_are_free_again(shop: Shop, buyer: str) -> None:
    order = await shop.order(buyer, 2)
    cancelled = await shop.send("POST", f"/orders/{order['order']}/cancel", buyer)
    assert (cancelled.status, cancelled.body["isCancelRequested"]) == (202, True)

    async def is_closed() -> bool:
        return await shop.state_of(order, buyer) == "CLOSED"

    await shop.until(is_closed)
    again = await shop.send("POST", f"/orders/{order['order']}/cancel", buyer)
    assert (again.status, again.body["state"]) == (202, "CLOSED")
    seats = (await shop.service.get(f"{SHOW}/seats")).body["sections"]["A"]
    assert all(seats[int(seat.partition("-")[2]) - 1] == "0" for seat in order["seats"])


async def test_a_released_hold_shows_on_the_map(shop: Shop, buyer: str) -> None:
    held = await shop.hold(buyer)
    place = int(held.body["seats"][0].partition("-")[2]) - 1

    async def shows(state: str) -> bool:
        answer = await shop.service.get(f"{SHOW}/seats")
        return bool(answer.body["sections"]["A"][place] == state)

    await shop.until(lambda: shows("1"))
    for _ in range(2):
        assert (await shop.send("DELETE", f"{SHOW}/holds/{held.body['hold']}", buyer)).status == 204
    await shop.until(lambda: shows("0"))


async def test_a_map_that_has_not_changed_is_not_sent_again(shop: Shop) -> None:
    first = await shop.service.get(f"{SHOW}/seats")
    assert len(first.body["sections"]["A"]) == 100
    again = await shop.service.get(f"{SHOW}/seats", **{"if-none-match": first.headers["etag"]})
    assert again.status == 304


async def test_a_hold_is_extended_changed_and_found_again_after_a_reload(shop: Shop, buyer: str) -> None:
    right = await shop.admit(buyer)
    held = await shop.send("POST", f"{SHOW}/holds", buyer, {"quantity": 2}, **right)
    assert held.status == 201
    assert held.body["extensionsLeft"] == 3
    assert held.body["extendableFrom"] < held.body["until"] < held.body["extendableUntil"]
    path = f"{SHOW}/holds/{held.body['hold']}"
    early = await shop.send("POST", f"{path}/extend", buyer)
    assert (early.status, early.body) == (200, held.body)
    await shop.pool.execute("UPDATE holds SET until = until - interval '9 min' WHERE id = $1", held.body["hold"])
    await shop.pool.execute("UPDATE seats SET until = until - interval '9 min' WHERE hold = $1", held.body["hold"])
    extended = await shop.send("POST", f"{path}/extend", buyer)
    assert (extended.status, extended.body["extensionsLeft"]) == (200, 2)

    wish = {"seats": [held.body["seats"][0]]}
    changed = await shop.send("PUT", f"{path}/seats", buyer, wish, **right)
    assert (changed.status, changed.body["seats"]) == (200, wish["seats"])
    assert changed.body["hold"] != held.body["hold"]
    mine = await shop.send("GET", f"{SHOW}/holds", buyer)
    assert (mine.status, mine.body) == (200, {"holds": [changed.body]})
    assert (await shop.send("GET", f"{SHOW}/holds", BORIS)).body == {"holds": []}
    late = await shop.send("POST", f"{SHOW}/orders", buyer, {"hold": held.body["hold"]}, **{"idempotency-key": "k"})
    assert (late.status, late.body["code"], late.body["hold"]) == (409, "hold-changed", changed.body["hold"])


# --- Refusals


async def test_without_a_pass_nobody_holds(shop: Shop, buyer: str) -> None:
    wish = {"section": "A", "quantity": 1}
    bare = await shop.send("POST", f"{SHOW}/holds", buyer, wish)
    assert (bare.status, bare.body["code"]) == (403, "not-admitted")
    foreign = await shop.send("POST", f"{SHOW}/holds", BORIS, wish, **await shop.admit(buyer))
    assert (foreign.status, foreign.body["code"]) == (403, "not-admitted")
    anonymous = await shop.service.post(f"{SHOW}/holds", None, wish)
    assert (anonymous.status, anonymous.body["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"seats": ["A-0101"]}, 422, "unknown-seat"),
        ({"seats": ["B-0001"]}, 422, "unknown-seat"),
        ({"section": "B", "quantity": 1}, 422, "unknown-seat"),
        ({"section": "A", "quantity": 5}, 409, "limit-reached"),
        ({"seats": [f"A-{number:04d}" for number in range(1, 102)]}, 422, "invalid-request"),
        ({"seats": ["A-0001", "A-0001"]}, 422, "invalid-request"),
        ({"seats": ["A-0001", "B-0001"]}, 422, "unknown-seat"),
        ({"seats": ["A--001"]}, 422, "invalid-request"),
        ({"seats": ["A-00000001"]}, 422, "unknown-seat"),
        ({"seats": ["A-" + "9" * 400]}, 422, "invalid-request"),
        ({"seats": ["A-0000"]}, 422, "unknown-seat"),
        ({"seats": ["\u0410-0001"]}, 422, "invalid-request"),
        ({"seats": [-1]}, 422, "invalid-request"),
        ({"quantity": -1}, 422, "invalid-request"),
        ({"quantity": 1, "maxPrice": -1}, 422, "invalid-request"),
        ({"quantity": 1, "maxPrice": 1}, 409, "not-enough-seats"),
        ({"quantity": 1, "section": "A", "prefer": "best"}, 422, "invalid-request"),
        ({"seats": "A-0001"}, 422, "invalid-request"),
        ({"section": "A", "quantity": 10**30}, 422, "invalid-request"),
        ({}, 422, "invalid-request"),
        ([], 422, "invalid-request"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_wish_that_cannot_be_met_is_refused(shop: Shop, wish: Any, status: int, code: str) -> None:
    refused = await shop.send("POST", f"{SHOW}/holds", ANNA, wish, **await shop.admit(ANNA))
    assert (refused.status, refused.body["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"


async def test_rules_between_fields_are_told_in_plain_words(shop: Shop) -> None:
    refused = await shop.send("POST", f"{SHOW}/holds", ANNA, {}, **await shop.admit(ANNA))
    assert refused.body["detail"] == "body: give seats, or quantity"
    assert refused.body["errors"] == [{"field": "body", "message": "give seats, or quantity"}]


async def test_holds_of_an_unknown_event_are_refused(shop: Shop) -> None:
    for path in ("/events/demo/none", "/events/a%00b/show", "/events/demo/%20"):
        refused = await shop.send(
            "POST", f"{path}/holds", ANNA, {"section": "A", "quantity": 1}, **{"tiketi-pass": "x"}
        )
        assert (refused.status, refused.body["code"]) == (404, "unknown-event")
        for method, end in (("DELETE", f"holds/{uuid4()}"), ("GET", "seats")):
            refused = await shop.send(method, f"{path}/{end}", ANNA)
            assert (refused.status, refused.body["code"]) == (404, "unknown-event")


async def test_other_peoples_holds_orders_and_outcomes_do_not_exist(shop: Shop, buyer: str) -> None:
    order = await shop.order(buyer)
    path = f"/orders/{order['order']}"
    answers = [
        await shop.send("GET", path, BORIS),
        await shop.send("POST", f"{path}/cancel", BORIS),
        await shop.send("POST", f"{path}/outcome", BORIS, {"outcome": shop.outcome(order, buyer)}),
        await shop.send("GET", f"/orders/{uuid4()}", BORIS),
        await shop.send("DELETE", f"{SHOW}/holds/{uuid4()}", BORIS),
        await shop.send("POST", f"{SHOW}/holds/{uuid4()}/extend", BORIS),
    ]
    assert {answer.status for answer in answers} == {404}
    assert await shop.state_of(order, buyer) == "OPEN"


async def test_an_order_needs_an_idempotency_key_and_a_live_hold(shop: Shop, buyer: str) -> None:
    wish = {"hold": str(uuid4())}
    bare = await shop.send("POST", f"{SHOW}/orders", buyer, wish)
    assert (bare.status, bare.body["code"]) == (400, "idempotency-key-missing")
    long = await shop.send("POST", f"{SHOW}/orders", buyer, wish, **{"idempotency-key": "k" * 201})
    assert (long.status, long.body["code"]) == (422, "invalid-request")
    unknown = await shop.send("POST", f"{SHOW}/orders", buyer, wish, **{"idempotency-key": "k"})
    assert (unknown.status, unknown.body["code"]) == (409, "hold-expired")


async def test_a_forged_outcome_issues_nothing(shop: Shop, buyer: str) -> None:
    order = await shop.order(buyer)
    other = await shop.order(f"{buyer[:-1]}1")
    forger = new_signer("tiketi-payment")
    for outcome in ("x", "a.b.c", forger.sign("payment-outcome+jwt", {"order": order["order"]}, timedelta(days=1))):
        refused = await shop.send("POST", f"/orders/{order['order']}/outcome", buyer, {"outcome": outcome})
        assert (refused.status, refused.body["code"]) == (422, "invalid-outcome")
    foreign = {"outcome": shop.outcome(other, f"{buyer[:-1]}1")}
    refused = await shop.send("POST", f"/orders/{order['order']}/outcome", buyer, foreign)
    assert (refused.status, refused.body["code"]) == (422, "outcome-mismatch")
    assert await shop.state_of(order, buyer) == "OPEN"


async def test_holds_of_others_cannot_be_seen_used_or_told_from_none(shop: Shop, buyer: str) -> None:
    held = await shop.hold(buyer)
    right = await shop.admit(ANNA)
    wish = {"seats": ["A-0001"]}
    answers = []
    for hold in (held.body["hold"], str(uuid4())):
        path = f"{SHOW}/holds/{hold}"
        answers += [
            await shop.send("DELETE", path, ANNA),
            await shop.send("POST", f"{path}/extend", ANNA),
            await shop.send("PUT", f"{path}/seats", ANNA, wish, **right),
        ]
    told = {(answer.status, answer.body["code"], answer.body["detail"]) for answer in answers}
    assert told == {(404, "hold-not-found", "There is no such hold.")}
    taken = await shop.send("POST", f"{SHOW}/orders", ANNA, {"hold": held.body["hold"]}, **{"idempotency-key": "x"})
    assert (taken.status, taken.body["code"]) == (409, "hold-expired")
    assert (await shop.send("GET", f"{SHOW}/holds", buyer)).body["holds"][0]["seats"] == held.body["seats"]


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"seats": ["A-0101"]}, "unknown-seat"),
        ({"seats": []}, "invalid-request"),
        ({"seats": ["A-0001", "A-0001"]}, "invalid-request"),
        ({"seats": ["A-0001"], "until": "2030-01-01T00:00:00Z"}, "invalid-request"),
        ({"seats": None}, "invalid-request"),
        ({}, "invalid-request"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_seats_cannot_be_changed_for_what_is_none(shop: Shop, buyer: str, wish: Any, code: str) -> None:
    right = await shop.admit(buyer)
    held = await shop.send("POST", f"{SHOW}/holds", buyer, {"quantity": 1}, **right)
    path = f"{SHOW}/holds/{held.body['hold']}"
    refused = await shop.send("PUT", f"{path}/seats", buyer, wish, **right)
    assert (refused.status, refused.body["code"]) == (422, code)
    bare = await shop.send("PUT", f"{path}/seats", buyer, {"seats": ["A-0001"]})
    assert (bare.status, bare.body["code"]) == (403, "not-admitted")
    for name in ("x", "0", "-1", "%00"):
        refused = await shop.send("POST", f"{SHOW}/holds/{name}/extend", buyer)
        assert refused.status == 422
    assert (await shop.send("DELETE", path, buyer)).status == 204


async def test_every_refusal_there_was_is_in_the_document(shop: Shop) -> None:
    paths = (await shop.service.get("/openapi.json")).body["paths"]
    for method, path, status, code in shop.refused:
        if (method, path.rpartition("/")[2]) == ("GET", "seats"):
            continue  # the map has a document of its own
        route = re.sub("^/events/[^/]+/[^/]+", "/events/{namespace}/{name}", path)
        route = re.sub("(holds|orders)/[^/]+", lambda found: f"{found[1]}/{{{found[1][:-1]}}}", route)
        response = paths[route][method.lower()]["responses"][str(status)]
        codes = response["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"]
        assert code in codes, (method, route)
    assert len(shop.refused) > 30


# --- Last, because the line takes a while to come back


async def test_a_loss_of_redis_between_hold_and_order_is_not_felt_by_who_holds(shop: Shop, buyer: str) -> None:
    held = await shop.hold(buyer)
    await shop.service.redis.flushdb()
    placed = await shop.send(
        "POST", f"{SHOW}/orders", buyer, {"hold": held.body["hold"]}, **{"idempotency-key": "after the loss"}
    )
    assert (placed.status, placed.body["seats"]) == (201, held.body["seats"])
    mine = await shop.send(
        "POST", f"/orders/{placed.body['order']}/outcome", buyer, {"outcome": shop.outcome(placed.body, buyer)}
    )
    assert (mine.status, mine.body["state"]) == (200, "PAID")
