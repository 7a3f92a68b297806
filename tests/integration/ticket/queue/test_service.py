"""The line over HTTP, from join to pass, and everything a caller can do wrong."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.ticket.queue.service import Service
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool
from tiketi_runtime.security import Mac, TokenSigner

SHOW = "/events/demo/show"


# --- The catalogue


async def test_the_catalogue_lists_events_with_their_phase(service: Service) -> None:
    answer = await service.get("/events")
    phases = {event["name"]: event["phase"] for event in answer.body["events"]}
    assert phases["show"] == "OnSale"
    assert phases["later"] == "Scheduled"
    assert phases["over"] == "Closed"
    assert answer.body["serverTime"].endswith("Z")


async def test_an_event_shows_sections_with_price_and_size_and_its_lines(service: Service) -> None:
    body = (await service.get(SHOW)).body
    assert body["sections"] == [{"name": "A", "price": 99_000, "size": 100, "rows": None, "seatsPerRow": None}]
    assert [line["name"] for line in body["lines"]] == ["public"]
    assert body["venue"] == {"name": "Hall", "timeZone": "Asia/Seoul"}


async def test_an_event_that_has_not_changed_is_not_sent_again(service: Service) -> None:
    first = await service.get(SHOW)
    again = await service.get(SHOW, **{"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, None)
    assert again.headers["cache-control"] == "public, max-age=1"


# --- From join to pass


async def test_a_buyer_joins_is_admitted_and_gets_the_same_pass_again(service: Service) -> None:
    joined = await service.join("demo/show", "anna")
    assert joined.status == 200
    assert joined.body["standing"] == "waiting"
    assert joined.body["state"]["event"] == "demo/show"
    first = await service.claim_until_admitted("demo/show", "anna", joined.body["receipt"])
    assert first.body["status"] == "admitted"
    again = await service.post(SHOW + "/queue/public/claim", "anna", {"receipt": joined.body["receipt"]})
    assert again.body == first.body


async def test_claims_reach_postgresql_within_a_second(service: Service, pool: Pool) -> None:
    joined = await service.join("demo/show", "recorded")
    await service.claim_until_admitted("demo/show", "recorded", joined.body["receipt"])
    deadline = time.monotonic() + 1
    while not (row := await pool.fetchrow("SELECT * FROM claims WHERE buyer = 'recorded'")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert (row["event"], row["line"], row["epoch"], row["seq"]) == ("demo/show", "public", 1, joined.body["seq"])
    await asyncio.sleep(0.2)
    assert await service.redis.zcard(EventKeys(event_id("demo", "show")).unrecorded) == 0


async def test_the_state_is_the_same_bytes_for_everybody_and_not_sent_twice(service: Service) -> None:
    answers = await asyncio.gather(*(service.get(SHOW + "/queue/public/state") for _ in range(20)))
    assert len({str(answer.body) for answer in answers}) == 1
    state = answers[0].body
    assert state["phase"] == "OnSale"
    assert state["remaining"] == 100
    assert state["ratePerMinute"] == 6_000
    again = await service.get(SHOW + "/queue/public/state", **{"if-none-match": answers[0].headers["etag"]})
    assert again.status == 304


async def test_passthrough_admits_without_regard_to_slots_or_rate(service: Service) -> None:
    for buyer in ("anna", "boris", "carla"):
        joined = await service.join("demo/free", buyer)
        turn = await service.claim_until_admitted("demo/free", buyer, joined.body["receipt"])
        assert turn.body["status"] == "admitted"


async def test_leaving_hands_the_turn_to_the_next(service: Service) -> None:
    anna, boris = [await service.join("demo/small", buyer) for buyer in ("anna", "boris")]
    await service.claim_until_admitted("demo/small", "anna", anna.body["receipt"])
    left = await service.post("/events/demo/small/queue/public/leave", "anna", {"receipt": anna.body["receipt"]})
    assert left.status == 204
    turn = await service.claim_until_admitted("demo/small", "boris", boris.body["receipt"])
    assert turn.body["status"] == "admitted"
    spent = await service.join("demo/small", "anna")
    assert (spent.status, spent.body["code"]) == (409, "already-admitted")


async def test_a_heartbeat_keeps_the_place_and_tells_those_who_have_none(service: Service) -> None:
    joined = await service.join("demo/small", "beating")
    path, body = "/events/demo/small/queue/public/", {"receipt": joined.body["receipt"]}
    assert (await service.post(path + "heartbeat", "beating", body)).status == 204
    await service.post(path + "leave", "beating", body)
    gone = await service.post(path + "heartbeat", "beating", body)
    assert (gone.status, gone.body["code"]) == (409, "not-in-line")


# --- Refusals


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ("demo/later", 409, "queue-not-open"),
        ("demo/over", 409, "sale-closed"),
        ("demo/draining", 409, "queue-closed"),
        ("demo/rejecting", 409, "queue-closed"),
        ("demo/drawn", 409, "unsupported-queueing-method"),
        ("demo/nothing", 404, "unknown-event"),
        ("other/show", 404, "unknown-event"),
    ],
)
async def test_a_join_that_cannot_be_is_refused_with_its_reason(
    service: Service, event: str, status: int, code: str
) -> None:
    answer = await service.join(event, "anna")
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_join_before_the_lead_in_says_when_to_come_back(service: Service) -> None:
    answer = await service.join("demo/later", "anna")
    assert answer.body["opensAt"].endswith("Z")
    assert int(answer.headers["retry-after"]) >= 1


async def test_an_unknown_line_is_refused(service: Service) -> None:
    answer = await service.join("demo/show", "anna", line="vip")
    assert (answer.status, answer.body["code"]) == (404, "unknown-line")
    assert (await service.get(SHOW + "/queue/vip/state")).status == 404


async def test_nobody_joins_unnamed_or_with_an_expired_or_foreign_token(service: Service) -> None:
    stranger = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    for token in ("", "x.y.z", service.token("anna", timedelta(minutes=-5)), stranger.sign("at+jwt", {}, timedelta(1))):
        answer = await service.post(SHOW + "/queue/public/join", authorization=f"Bearer {token}")
        assert answer.status == 401
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_receipt_opens_nothing_for_another_buyer_event_or_line(service: Service) -> None:
    receipt = (await service.join("demo/show", "owner")).body["receipt"]
    for action in ("claim", "heartbeat", "leave"):
        stolen = await service.post(f"{SHOW}/queue/public/{action}", "thief", {"receipt": receipt})
        assert (stolen.status, stolen.body["code"]) == (403, "foreign-receipt")
        elsewhere = await service.post(f"/events/demo/small/queue/public/{action}", "owner", {"receipt": receipt})
        assert (elsewhere.status, elsewhere.body["code"]) == (403, "foreign-receipt")


async def test_a_forged_receipt_or_a_pass_in_its_place_is_refused(service: Service) -> None:
    receipt = (await service.join("demo/show", "forger")).body["receipt"]
    turn = await service.claim_until_admitted("demo/show", "forger", receipt)
    own_key = Mac("k1", {"k1": bytes(32)}).seal("place-receipt", {"event": "demo/show"})
    for word in (receipt[:-2] + "AA", turn.body["pass"], own_key, "x", "k1..", "é"):
        answer = await service.post(SHOW + "/queue/public/claim", "forger", {"receipt": word})
        assert (answer.status, answer.body["code"]) == (401, "invalid-token"), word


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b'{"receipt": "\xff"}', 400),
        (b"{}", 422),
        (b"[]", 422),
        (b'{"receipt": 5}', 422),
        (b'{"receipt": ""}', 422),
        (b'{"receipt": "' + b"x" * 3000 + b'"}', 422),
        (b'{"receipt": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
async def test_a_body_that_makes_no_sense_is_a_problem_and_never_a_500(
    service: Service, body: bytes, status: int
) -> None:
    headers = {"authorization": f"Bearer {service.token('anna')}", "content-type": "application/json"}
    async with service.http.post(f"{service.url}{SHOW}/queue/public/claim", data=body, headers=headers) as answer:
        assert answer.status == status
        assert (await answer.json(content_type=None))["code"]


async def test_the_openapi_document_shows_what_each_route_takes_and_answers(service: Service) -> None:
    paths = (await service.get("/openapi.json")).body["paths"]
    claim = paths["/events/{namespace}/{name}/queue/{line}/claim"]["post"]
    assert {parameter["name"] for parameter in claim["parameters"]} == {"namespace", "name", "line", "Authorization"}
    assert claim["requestBody"]["content"]["application/json"]["schema"]["required"] == ["receipt"]
    assert "anyOf" in claim["responses"]["200"]["content"]["application/json"]["schema"]


async def test_a_line_that_lost_its_redis_answers_503_with_retry_after(service: Service) -> None:
    await publish(service.redis, a_sale("lost"))
    await service.until_served("lost")
    await service.redis.delete(EventKeys(event_id("demo", "lost")).epoch)
    answer = await service.join("demo/lost", "anna")
    assert (answer.status, answer.body["code"]) == (503, "queue-recovering")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_deleted_event_leaves_no_key_while_its_line_was_being_served(service: Service) -> None:
    event = event_id("demo", "brief")
    await publish(service.redis, a_sale("brief"))
    await service.until_served("brief")
    await service.join("demo/brief", "anna")
    await delete(service.redis, event)
    await asyncio.sleep(0.5)
    assert (await service.get("/events/demo/brief")).status == 404
    assert [key async for key in service.redis.scan_iter(EventKeys(event).pattern)] == []


async def test_the_service_is_ready_and_publishes_its_keys_and_metrics(service: Service) -> None:
    ready = await service.get("/readyz")
    assert (ready.status, set(ready.body)) == (200, {"postgresql", "redis"})
    assert (await service.get("/.well-known/jwks.json")).body["keys"][0]["crv"] == "Ed25519"
    async with service.http.get(service.url + "/metrics") as answer:
        assert "tiketi_queue_joins_total" in await answer.text()
