"""The draw as buyers meet it: join, keep the receipt, download, check."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.conftest import MakeDatabase
from tests.integration.serving import serve_app
from tests.integration.ticket.lottery.stage import names
from tests.integration.ticket.queue.service import Answer, Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime.contracts.draw import Draw
from tiketi_runtime.contracts.draw_file import DrawFile
from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app
from tiketi_services.verify.__main__ import main

DRAW, RECEIPT = "/events/demo/{}/queue/public/draw", "/events/demo/{}/queue/public/receipt"


def lottery(name: str, *, draw_in: timedelta) -> SaleSheet:
    """A lottery that can be joined at once."""
    now = datetime.now(UTC)
    opens_at, closes_at = now + draw_in + timedelta(seconds=60), now + timedelta(hours=1)
    line = {"name": "public", "opensAt": opens_at, "closesAt": closes_at, "sections": ["A"], "drawAt": now + draw_in}
    return a_sale(
        name, lines=[line], queue={"method": "lottery"}, opensAt=opens_at, closesAt=closes_at, prequeueAt=now, armAt=now
    )


@pytest.fixture(scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, redis: Redis, redis_url: str, database: MakeDatabase, amqp_url: str
) -> AsyncIterator[Service]:
    folder: Path = tmp_path_factory.mktemp("keys")
    auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    await publish(redis, lottery("later", draw_in=timedelta(minutes=30)))
    await publish(redis, a_sale("plain"))
    settings = settings_for(
        folder,
        auth,
        redis_url=redis_url,
        database_url=await database("ticket"),
        amqp_url=amqp_url,
        draw_interval=timedelta(milliseconds=50),
    )
    async with serve_app(build_app(settings)) as url, aiohttp.ClientSession() as http:
        started = Service(url, http, redis, auth)
        await started.until_served("plain")
        yield started


Make = Callable[[str, list[str]], Awaitable[dict[str, str]]]


@pytest.fixture
async def drawn(service: Service, redis: Redis) -> Make:
    """Hold a lottery for these buyers; answers their signed receipts."""

    async def make(name: str, buyers: list[str]) -> dict[str, str]:
        await publish(redis, lottery(name, draw_in=timedelta(seconds=2.5)))
        await service.until_served(name)
        receipts = {buyer: await signed_receipt(service, name, buyer) for buyer in buyers}
        await answered(service, name, lambda answer: answer.status == 200)
        return receipts

    return make


async def answered(service: Service, name: str, wanted: Callable[[Answer], bool]) -> Answer:
    """The answer about a draw, once it is as wanted; within 10 s."""
    for _ in range(100):
        answer = await service.get(DRAW.format(name))
        if wanted(answer):
            return answer
        await asyncio.sleep(0.1)
    raise TimeoutError(f"the draw of {name} stays {answer.body}")


async def signed_receipt(service: Service, name: str, buyer: str) -> str:
    joined = await service.join(f"demo/{name}", buyer)
    assert joined.status == 200, joined.body
    answer = await service.post(RECEIPT.format(name), buyer, {"receipt": joined.body["receipt"]})
    assert answer.status == 200, answer.body
    receipt: str = answer.body["receipt"]
    return receipt


async def test_a_draw_can_be_checked_by_every_buyer(
    service: Service, drawn: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipts = await drawn("checked", names(5))
    async with service.http.get(service.url + DRAW.format("checked")) as answer:
        (tmp_path / "draw.json").write_bytes(await answer.read())
    jwks = await service.get("/events/demo/checked/queue/public/keys")
    assert jwks.headers["cache-control"] == "public, max-age=3600"
    (tmp_path / "keys.json").write_text(json.dumps(jwks.body))
    arguments = ["verify", str(tmp_path / "draw.json"), "--keys", str(tmp_path / "keys.json")]
    for number, receipt in enumerate(receipts.values(), start=1):
        path = tmp_path / f"{number}.jwt"
        path.write_text(receipt)
        arguments += ["--receipt", str(path)]
    with pytest.raises(SystemExit) as end:
        await asyncio.to_thread(main, arguments)
    said = capsys.readouterr().out
    assert end.value.code == 0, said
    assert said.count("is in the draw and has place") == 5


async def test_a_number_that_was_lost_with_redis_is_told_from_a_dropped_one(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await publish(service.redis, lottery("lost", draw_in=timedelta(seconds=9)))
    await service.until_served("lost")
    sealed = {buyer: (await service.join("demo/lost", buyer)).body["receipt"] for buyer in ("anna", "boris", "carla")}
    signed = {buyer: await signed_receipt(service, "lost", buyer) for buyer in sealed}
    for key in [key async for key in service.redis.scan_iter(EventKeys(event_id("demo", "lost")).pattern)]:
        await service.redis.delete(key)
    await service.until_served("lost", epoch=2)
    join = "/events/demo/lost/queue/public/join"
    assert (await service.post(join, "anna", {"receipt": sealed["anna"]})).body["seq"] == 1
    anew = (await service.join("demo/lost", "carla")).body
    signed["carla-anew"] = await signed_receipt(service, "lost", "carla")
    assert anew["seq"] > 3
    await answered(service, "lost", lambda answer: answer.status == 200)
    async with service.http.get(service.url + DRAW.format("lost")) as answer:
        (tmp_path / "draw.json").write_bytes(await answer.read())
    (tmp_path / "keys.json").write_text(json.dumps((await service.get("/.well-known/jwks.json")).body))
    codes, texts = {}, {}
    for name, word in signed.items():
        (tmp_path / f"{name}.jwt").write_text(word)
        files = ["draw.json", "--keys", "keys.json", "--receipt", f"{name}.jwt"]
        arguments = ["verify", *(word if word.startswith("-") else str(tmp_path / word) for word in files)]
        with pytest.raises(SystemExit) as end:
            await asyncio.to_thread(main, arguments)
        codes[name], texts[name] = end.value.code, " ".join(capsys.readouterr().out.split())
    assert codes == {"anna": 0, "boris": 3, "carla": 3, "carla-anew": 0}, texts
    assert "number 2 was lost in the loss of" in texts["boris"]
    assert "dropped" not in texts["boris"]
    assert "Redis lost who waited once" in texts["anna"]


async def test_places_told_after_the_draw_are_those_of_the_file(service: Service, drawn: Make) -> None:
    await drawn("told", names(5))
    file = DrawFile.model_validate((await service.get(DRAW.format("told"))).body)
    draw = Draw(file.facts.entries, bytes.fromhex(file.facts.key))
    for seq, buyer in enumerate(names(5), start=1):
        joined = await service.join("demo/told", buyer)
        assert (joined.body["seq"], joined.body["place"]) == (seq, draw.place(seq))


async def test_the_file_never_changes_and_is_kept_by_caches(service: Service, drawn: Make) -> None:
    await drawn("kept", names(3))
    first = await service.get(DRAW.format("kept"))
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert int(first.headers["content-length"]) > 0
    assert first.headers["content-disposition"] == 'attachment; filename="draw-demo-kept-public.json"'
    again = await service.get(DRAW.format("kept"))
    assert (again.headers["etag"], again.body) == (first.headers["etag"], first.body)
    unchanged = await service.get(DRAW.format("kept"), **{"if-none-match": first.headers["etag"]})
    assert (unchanged.status, unchanged.body) == (304, None)
    other = await service.get(DRAW.format("kept"), **{"if-none-match": '"other"'})
    assert other.status == 200


async def test_a_draw_of_nobody_is_a_file_too(service: Service, drawn: Make) -> None:
    await drawn("nobody", [])
    file = DrawFile.model_validate((await service.get(DRAW.format("nobody"))).body)
    assert (file.facts.entries, file.leaves) == (0, ())


async def test_before_the_draw_the_answer_says_what_is_public(service: Service) -> None:
    answer = await answered(service, "later", lambda answer: "commitment" in answer.body)
    assert (answer.status, answer.body["code"]) == (404, "not-drawn")
    assert answer.body["trust"] == "operator"
    assert "secret" not in answer.body
    joined = await service.join("demo/later", "anna")
    assert joined.body["place"] is None
    receipt = claims_of(await signed_receipt(service, "later", "anna"))
    assert receipt["commitment"] == answer.body["commitment"]


async def test_a_line_in_order_of_joining_has_no_draw(service: Service) -> None:
    answer = await service.get(DRAW.format("plain"))
    assert (answer.status, answer.body["code"]) == (404, "not-drawn")
    assert (await service.get("/events/demo/plain/queue/fans/draw")).body["code"] == "unknown-line"
    assert (await service.get("/events/demo/nothing/queue/public/draw")).status == 404


async def test_a_receipt_is_signed_for_its_buyer_alone(service: Service) -> None:
    anna = (await service.join("demo/later", "anna")).body["receipt"]
    refused: list[tuple[Answer, int, str]] = [
        (await service.post(RECEIPT.format("later"), "boris", {"receipt": anna}), 403, "foreign-receipt"),
        (await service.post(RECEIPT.format("plain"), "anna", {"receipt": anna}), 403, "foreign-receipt"),
        (await service.post(RECEIPT.format("later"), "anna", {"receipt": anna + "x"}), 401, "invalid-token"),
        (await service.post(RECEIPT.format("later"), None, {"receipt": anna}), 401, "unauthenticated"),
        (await service.post(RECEIPT.format("later"), "anna", {"receipt": ""}), 422, "invalid-request"),
        (await service.post(RECEIPT.format("later"), "anna", {}), 422, "invalid-request"),
    ]
    assert [(answer.status, answer.body["code"]) for answer, *_ in refused] == [
        (status, code) for _, status, code in refused
    ]


async def test_the_keys_are_at_the_address_of_the_line(service: Service) -> None:
    keys = await service.get("/events/demo/later/queue/public/keys")
    assert (keys.status, keys.body) == (200, (await service.get("/.well-known/jwks.json")).body)
    assert set(keys.body["keys"][0]) <= {"kty", "crv", "x", "kid", "alg", "use"}
    assert (await service.get("/events/demo/later/queue/fans/keys")).body["code"] == "unknown-line"
    assert (await service.get("/events/demo/nothing/queue/public/keys")).status == 404


async def test_the_same_receipt_is_signed_alike(service: Service) -> None:
    anna = {"receipt": (await service.join("demo/later", "anna")).body["receipt"]}
    first, second = [await service.post(RECEIPT.format("later"), "anna", anna) for _ in range(2)]
    assert first.body == second.body
    assert first.headers["cache-control"] == "no-store"


async def test_a_number_that_no_longer_counts_is_not_vouched_for(service: Service, redis: Redis) -> None:
    """Who joined anew after a loss of Redis, and then brought the old receipt, keeps the old number."""
    dora = (await service.join("demo/later", "dora")).body
    places = EventKeys(event_id("demo", "later")).line(PUBLIC).places
    await redis.hset(places, "dora", dora["seq"] + 7)
    answer = await service.post(RECEIPT.format("later"), "dora", {"receipt": dora["receipt"]})
    assert (answer.status, answer.body["code"]) == (409, "stale-receipt")


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
