"""The waitlist over HTTP: from sold out to a paid order, and everything a caller can do wrong."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from tests.integration.ticket.orders.box_office import ANNA, BORIS
from tests.integration.ticket.orders.test_service import SHOW, Shop, buyer, shop

__all__ = ["buyer", "shop"]

LIST = f"{SHOW}/waitlist"
ORDERS = f"{SHOW}/orders"


async def sell_out(shop: Shop) -> None:
    """Every free seat is held, four by each of many buyers."""
    await shop.pool.execute(
        """
        WITH free AS (
          SELECT seat, (row_number() OVER () - 1) / 4 AS buyer
          FROM (SELECT 'A-' || lpad(n::text, 4, '0') AS seat FROM generate_series(1, 100) n) x
          WHERE NOT EXISTS (SELECT FROM seats s WHERE s.seat = x.seat AND (s.state <> 'HELD' OR s.until > now()))
        ), held AS (
          INSERT INTO holds (id, event, buyer, line, fence, seats, held_at, until, since)
          SELECT gen_random_uuid(), 'demo/show', gen_random_uuid()::text, 'public', nextval('fences'),
            array_agg(seat ORDER BY seat), now(), now() + interval '10 min', now() FROM free GROUP BY buyer
          RETURNING *
        )
        INSERT INTO seats (event, seat, state, buyer, hold, fence, until)
        SELECT event, unnest(seats), 'HELD', buyer, id, fence, until FROM held
        ON CONFLICT (event, seat) DO UPDATE
        SET buyer = excluded.buyer, hold = excluded.hold, fence = excluded.fence, until = excluded.until
        """
    )


async def give_back(shop: Shop) -> None:
    """One of those who hold four seats does not want them."""
    await shop.pool.execute(
        """
        WITH given AS (
          UPDATE holds SET released_at = clock_timestamp()
          WHERE id = (SELECT hold FROM seats WHERE state = 'HELD' AND buyer NOT LIKE '%-4000-8000-000000000000' LIMIT 1)
          RETURNING id
        )
        DELETE FROM seats USING given WHERE hold = given.id
        """
    )


async def join(shop: Shop, buyer: str, body: Any) -> Any:
    return await shop.send("POST", LIST, buyer, body)


async def offer_to(shop: Shop, buyer: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            seen = await shop.send("GET", LIST, buyer)
            if seen.body["offer"] is not None:
                return dict(seen.body)
            await asyncio.sleep(0.05)


async def test_nobody_waits_while_there_are_seats(shop: Shop, buyer: str) -> None:
    refused = await join(shop, buyer, {"quantity": 1})
    assert (refused.status, refused.body["code"], refused.body["sections"]) == (409, "not-sold-out", ["A"])
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"quantity": 1})):
        refused = await shop.send(method, LIST, buyer, body)
        assert (refused.status, refused.body["code"]) == (404, "not-waiting")


async def test_from_the_waitlist_to_a_ticket(shop: Shop, buyer: str) -> None:
    await sell_out(shop)
    joined = await join(shop, buyer, {"quantity": 1, "sections": ["A"]})
    assert (joined.status, joined.body["state"], joined.body["before"]) == (201, "WAITING", 0)
    again = await join(shop, buyer, {"quantity": 1})
    assert (again.status, again.body) == (201, joined.body)
    raised = await shop.send("PATCH", LIST, buyer, {"quantity": 2})
    assert (raised.status, raised.body["quantity"]) == (200, 2)
    await give_back(shop)
    offered = await offer_to(shop, buyer)
    assert (offered["state"], offered["offer"]["amount"], len(offered["offer"]["seats"])) == ("OFFERED", 198_000, 2)
    early = await shop.send("PATCH", LIST, buyer, {"quantity": 1})
    assert (early.status, early.body["code"]) == (409, "offer-open")
    wish = {"hold": offered["offer"]["hold"]}
    stranger = await shop.send("POST", ORDERS, BORIS, wish, **{"idempotency-key": str(uuid4())})
    assert (stranger.status, stranger.body["code"]) == (409, "hold-expired")
    placed = await shop.send("POST", ORDERS, buyer, wish, **{"idempotency-key": str(uuid4())})
    assert (placed.status, placed.body["seats"]) == (201, offered["offer"]["seats"])
    path = f"/orders/{placed.body['order']}/outcome"
    settled = await shop.send("POST", path, buyer, {"outcome": shop.outcome(placed.body, buyer)})
    assert (settled.status, settled.body["state"], len(settled.body["tickets"])) == (200, "PAID", 2)

    async def is_over() -> bool:
        return bool((await shop.send("GET", LIST, buyer)).body["state"] == "ORDERED")

    await shop.until(is_over)


async def test_who_leaves_is_out_however_often(shop: Shop, buyer: str) -> None:
    await sell_out(shop)
    assert (await join(shop, buyer, {"quantity": 4})).status == 201
    for _ in range(2):
        assert (await shop.send("DELETE", LIST, buyer)).status == 204
    seen = await shop.send("GET", LIST, buyer)
    assert (seen.body["state"], seen.body["reason"], seen.body["before"]) == ("ENDED", "left", None)


async def test_an_order_of_an_offer_is_not_left(shop: Shop, buyer: str) -> None:
    await sell_out(shop)
    await join(shop, buyer, {"quantity": 1})
    await give_back(shop)
    wish = {"hold": (await offer_to(shop, buyer))["offer"]["hold"]}
    assert (await shop.send("POST", ORDERS, buyer, wish, **{"idempotency-key": str(uuid4())})).status == 201
    left = await shop.send("DELETE", LIST, buyer)
    # The sweeper may have noticed the order already: then there is nothing to leave.
    assert (left.status, left.body and left.body["code"]) in ((409, "offer-ordered"), (204, None))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid-request"),
        ([], 422, "invalid-request"),
        (None, 422, "invalid-request"),
        ({"quantity": 0}, 422, "invalid-request"),
        ({"quantity": -1}, 422, "invalid-request"),
        ({"quantity": "2"}, 422, "invalid-request"),
        ({"quantity": 1.5}, 422, "invalid-request"),
        ({"quantity": True}, 422, "invalid-request"),
        ({"quantity": 10**30}, 422, "invalid-request"),
        ({"quantity": 5}, 409, "limit-reached"),
        ({"quantity": 1, "sections": []}, 422, "invalid-request"),
        ({"quantity": 1, "sections": "A"}, 422, "invalid-request"),
        ({"quantity": 1, "sections": ["A", "A"]}, 422, "invalid-request"),
        ({"quantity": 1, "sections": ["\u0410"]}, 422, "invalid-request"),
        ({"quantity": 1, "sections": ["A\u0000"]}, 422, "invalid-request"),
        ({"quantity": 1, "sections": ["A"] * 101}, 422, "invalid-request"),
        ({"quantity": 1, "sections": ["NONE"]}, 422, "unknown-seat"),
        ({"quantity": 1, "place": 1}, 422, "invalid-request"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_waited_for_is_refused(shop: Shop, body: Any, status: int, code: str) -> None:
    await sell_out(shop)
    refused = await join(shop, ANNA, body)
    assert (refused.status, refused.body["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await shop.send("GET", LIST, ANNA)).status == 404


@pytest.mark.parametrize("quantity", [0, -1, "2", 1.5, True, None, 101])
async def test_a_quantity_that_is_none_is_refused(shop: Shop, buyer: str, quantity: Any) -> None:
    await sell_out(shop)
    await join(shop, buyer, {"quantity": 2})
    refused = await shop.send("PATCH", LIST, buyer, {"quantity": quantity})
    assert (refused.status, refused.body["code"]) == (422, "invalid-request")
    over = await shop.send("PATCH", LIST, buyer, {"quantity": 5})
    assert (over.status, over.body["code"]) == (409, "limit-reached")
    other = await join(shop, buyer, {"quantity": 1})
    assert (other.status, other.body["code"]) == (409, "already-waiting")
    assert (await shop.send("GET", LIST, buyer)).body["quantity"] == 2
    await shop.send("DELETE", LIST, buyer)


async def test_only_accounts_wait_and_only_for_events_there_are(shop: Shop) -> None:
    anonymous = await shop.service.post(LIST, None, {"quantity": 1})
    assert (anonymous.status, anonymous.body["code"]) == (401, "unauthenticated")
    for path in ("/events/demo/none", "/events/a%00b/show", "/events/demo/%20"):
        for method, body in (("POST", {"quantity": 1}), ("GET", None), ("PATCH", {"quantity": 1}), ("DELETE", None)):
            refused = await shop.send(method, f"{path}/waitlist", ANNA, body)
            assert (refused.status, refused.body["code"]) == (404, "unknown-event")


async def test_every_refusal_there_was_is_in_the_document(shop: Shop) -> None:
    paths = (await shop.service.get("/openapi.json")).body["paths"]
    operations = paths["/events/{namespace}/{name}/waitlist"]
    seen = [(method, status, code) for method, path, status, code in shop.refused if path.endswith("/waitlist")]
    for method, status, code in seen:
        content = operations[method.lower()]["responses"][str(status)]["content"]
        assert code in content["application/problem+json"]["schema"]["properties"]["code"]["enum"], (method, code)
    assert len(seen) > 30
