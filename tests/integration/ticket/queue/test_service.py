"""The line over HTTP, from join to pass, and the service around it."""

from __future__ import annotations

import asyncio
import re
from itertools import count

import pytest
from tests.integration.ticket.queue.service import PATIENCE, Service
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool

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


# --- The service itself


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
