"""The line over HTTP, from join to pass, and everything a caller can do wrong."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.ticket.queue.service import PATIENCE, Service
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool
from tiketi_runtime.security import Mac, TokenSigner
from tiketi_services.ticket.queue.schemas import JoinView, StateView

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


async def test_whoever_holds_a_pass_is_in_postgresql(service: Service, pool: Pool) -> None:
    joined = await service.join("demo/show", "recorded")
    turn = await service.claim_until_admitted("demo/show", "recorded", joined.body["receipt"])
    assert turn.body["status"] == "admitted"
    row = await pool.fetchrow("SELECT * FROM claims WHERE buyer = 'recorded'")
    assert (row["event"], row["line"], row["seq"]) == ("demo/show", "public", joined.body["seq"])


async def test_a_join_answers_number_place_and_what_the_own_position_is_found_by(service: Service) -> None:
    body = (await service.join("demo/small", "counting")).body
    assert body["place"] == body["seq"]
    assert body["epoch"] == body["state"]["epoch"]
    assert body["state"]["group"] == (body["place"] - 1) // 64


async def test_a_receipt_brings_the_place_back_that_redis_has_lost(service: Service) -> None:
    joined = (await service.join("demo/show", "forgotten")).body
    line = EventKeys(event_id("demo", "show")).line(PUBLIC)
    await service.redis.hdel(line.places, "forgotten")
    for key in (line.waiting, line.alive, line.offers, line.returning):
        await service.redis.zrem(key, "forgotten")
    again = await service.post(SHOW + "/queue/public/join", "forgotten", {"receipt": joined["receipt"]})
    assert (again.status, again.body["seq"]) == (200, joined["seq"])


@pytest.mark.parametrize("body", [b"", b"{}", b'{"receipt":null,"code":null,"proof":null}', b'{"unheard":"of"}'])
async def test_a_join_needs_no_body(service: Service, body: bytes) -> None:
    headers = {"authorization": f"Bearer {service.token('plain')}"}
    async with service.http.post(f"{service.url}{SHOW}/queue/public/join", data=body, headers=headers) as answer:
        assert answer.status == 200


async def test_the_state_of_a_group_tells_how_many_are_ahead_of_it(service: Service) -> None:
    state = (await service.get(SHOW + "/queue/public/state?group=3")).body
    assert state["group"] == 3
    assert re.fullmatch("[0-9a-f]{16}", state["alive"])
    assert state["ahead"] >= 0
    assert "group" not in (await service.get(SHOW + "/queue/public/state")).body


@pytest.mark.parametrize("group", ["-1", "x", "1.5", "", "9" * 5000, "\u0663", "\uff13", "%C2%B2", "+3", "%203"])
async def test_a_group_that_is_no_number_is_refused(service: Service, group: str) -> None:
    answer = await service.get(f"{SHOW}/queue/public/state?group={group}")
    assert (answer.status, answer.body["code"]) == (422, "invalid-request")


async def test_the_state_is_the_same_bytes_for_everybody_and_not_sent_twice(service: Service) -> None:
    await publish(service.redis, a_sale("calm"))
    await service.until_served("calm")
    path = "/events/demo/calm/queue/public/state"
    answers = await asyncio.gather(*(service.get(path) for _ in range(20)))
    readings = {answer.body["serverTime"] for answer in answers}
    assert len({str(answer.body) for answer in answers}) == len(readings) < 20
    state = answers[0].body
    assert state["phase"] == "OnSale"
    assert state["remaining"] == 100
    assert state["ratePerMinute"] == 6_000
    again = await service.get(path, **{"if-none-match": answers[0].headers["etag"]})
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


async def test_a_policy_that_rejects_admits_nobody_who_waits_or_was_offered_until_it_is_another(
    service: Service,
) -> None:
    await publish(service.redis, a_sale("turning", queue={"totalActiveUsers": 1}))
    await service.until_served("turning")
    path = "/events/demo/turning/queue/public"
    receipts = [(await service.join("demo/turning", buyer)).body["receipt"] for buyer in ("first", "second")]
    async with asyncio.timeout(PATIENCE):
        while (await service.get(path + "/state")).body["horizon"] < 1:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)
    await publish(service.redis, a_sale("turning", version=2, queue={"method": "reject"}))
    async with asyncio.timeout(PATIENCE):
        late = count()
        while (await service.join("demo/turning", f"late-{next(late)}")).status != 409:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for _ in range(10):
        for buyer, receipt in zip(("first", "second"), receipts, strict=True):
            answer = await service.post(path + "/claim", buyer, {"receipt": receipt})
            assert answer.body["status"] in ("waiting", "next")
        await asyncio.sleep(0.05)
    state = (await service.get(path + "/state")).body
    assert (state["phase"], state["pace"], state["active"]) == ("OnSale", None, 0)
    await publish(service.redis, a_sale("turning", version=3))
    answer = await service.claim_until_admitted("demo/turning", "first", receipts[0])
    assert answer.body["status"] == "admitted"


# --- Refusals


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ("demo/later", 409, "queue-not-open"),
        ("demo/over", 409, "sale-closed"),
        ("demo/draining", 409, "queue-closed"),
        ("demo/rejecting", 409, "queue-closed"),
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


async def test_an_account_without_a_verified_address_gets_no_new_place_but_keeps_one_it_has(service: Service) -> None:
    path = f"{service.url}{SHOW}/queue/public/join"
    headers = {"authorization": f"Bearer {service.token('unproved', email_verified=False)}"}
    async with service.http.post(path, headers=headers) as refused:
        assert (refused.status, (await refused.json(content_type=None))["code"]) == (403, "email-not-verified")
    seq = (await service.join("demo/show", "unproved")).body["seq"]
    async with service.http.post(path, headers=headers) as again:
        assert (again.status, (await again.json())["seq"]) == (200, seq)


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
        (b"", 422),
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


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"receipt": 5}', b'{"receipt": ""}', b'{"proof": {}}', b'{"proof": {"challenge": "x"}}', b"\xff"],
)
async def test_a_join_with_a_body_that_makes_no_sense_is_a_problem(service: Service, body: bytes) -> None:
    headers = {"authorization": f"Bearer {service.token('anna')}"}
    async with service.http.post(f"{service.url}{SHOW}/queue/public/join", data=body, headers=headers) as answer:
        assert answer.status in (400, 422)
        assert (await answer.json(content_type=None))["code"] in ("malformed-json", "invalid-request")


# --- The OpenAPI document: the routes read bodies by themselves, so what it says is checked here


async def _documented(service: Service, action: str) -> dict[str, Any]:
    document = (await service.get("/openapi.json")).body
    (operation,) = document["paths"]["/events/{namespace}/{name}/queue/{line}/" + action].values()
    return {**operation, "schemas": document["components"]["schemas"]}


def _properties(operation: dict[str, Any], view: str) -> set[str]:
    return set(operation["schemas"][view]["properties"])


@pytest.mark.parametrize("action", ["join", "claim", "heartbeat", "leave"])
async def test_what_the_document_says_of_a_body_is_what_the_route_takes(service: Service, action: str) -> None:
    operation = await _documented(service, action)
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"namespace", "name", "line", "Authorization"}
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    path = f"{SHOW}/queue/public/{action}"
    lacking = await service.post(path, "documented", {})
    assert (lacking.status == 422) is bool(schema["required"]), lacking.body
    for name, allowed in schema["properties"].items():
        text = next(kind for kind in allowed.get("anyOf", [allowed]) if kind["type"] != "null")
        wrong: list[object] = [5, [], True]
        if text["type"] == "string":
            wrong += ["x" * (text["maxLength"] + 1)] + [""] * (text.get("minLength", 0) > 0)
        for value in wrong:
            answer = await service.post(path, "documented", {"receipt": "some", name: value})
            assert (answer.status, answer.body["code"]) == (422, "invalid-request"), (name, value)
            assert name in answer.body["detail"]
        if text["type"] == "string":
            longest = await service.post(path, "documented", {"receipt": "some", name: "x" * text["maxLength"]})
            assert longest.status == 401, "it was read, and then found to be no receipt"


@pytest.mark.parametrize("action", ["claim", "heartbeat", "leave"])
async def test_a_body_left_out_is_told_as_the_receipt_that_is_missing(service: Service, action: str) -> None:
    answer = await service.post(f"{SHOW}/queue/public/{action}", "bodiless")
    assert (answer.status, answer.body["code"]) == (422, "invalid-request")
    assert answer.body["detail"].startswith("receipt: ")


async def test_who_went_silent_or_left_is_told_that_the_place_is_kept(service: Service) -> None:
    body = {"receipt": (await service.join("demo/small", "wavering")).body["receipt"]}
    await service.post("/events/demo/small/queue/public/leave", "wavering", body)
    for action in ("claim", "heartbeat"):
        gone = await service.post(f"/events/demo/small/queue/public/{action}", "wavering", body)
        assert (gone.status, gone.body["code"]) == (409, "not-in-line")
        assert "Your place is kept; join again to wait." in gone.body["detail"]


async def test_what_the_document_says_of_a_refusal_is_how_it_is_refused(service: Service) -> None:
    token = {"receipt": (await service.join("demo/show", "documenter")).body["receipt"]}
    refused = {
        "join": [
            await service.post(SHOW + "/queue/public/join", authorization="Bearer x"),
            await service.join("demo/later", "anna"),
            await service.join("demo/nothing", "anna"),
            await service.join("demo/show", "anna", line="vip"),
        ],
        "claim": [
            await service.post(SHOW + "/queue/public/claim", "thief", token),
            await service.post(SHOW + "/queue/public/claim", "thief"),
        ],
        "heartbeat": [await service.post(SHOW + "/queue/public/heartbeat", "thief", token)],
        "leave": [await service.post(SHOW + "/queue/public/leave", "thief", {"receipt": "forged"})],
    }
    for action, answers in refused.items():
        responses = (await _documented(service, action))["responses"]
        for answer in answers:
            told = responses[str(answer.status)]
            schema = told["content"][answer.headers["content-type"]]["schema"]
            assert answer.body["code"] in schema["properties"]["code"]["enum"], (action, answer.body)
            assert set(schema["required"]) <= set(answer.body)
            assert ("retry-after" not in answer.headers) or "Retry-After" in told["headers"]


async def test_what_the_document_says_of_answers_is_what_is_answered(service: Service) -> None:
    joined = await service.join("demo/small", "answered")
    join = await _documented(service, "join")
    assert set(joined.body) == _properties(join, "JoinView")
    assert set(joined.body["state"]) == _properties(join, "StateView")
    state = await service.get("/events/demo/small/queue/public/state")
    assert set(state.body) == _properties(join, "StateView") - {"group", "ahead", "alive"}
    StateView.model_validate(state.body)
    JoinView.model_validate(joined.body)
    body = {"receipt": joined.body["receipt"]}
    turn = await service.post("/events/demo/small/queue/public/claim", "answered", body)
    claim = await _documented(service, "claim")
    view = "AdmittedView" if turn.body["status"] == "admitted" else "WaitingView"
    assert set(turn.body) == _properties(claim, view)
    assert {parameter["name"] for parameter in (await _documented(service, "state"))["parameters"]} >= {"group"}


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
