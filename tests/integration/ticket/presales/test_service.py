"""A presale by code as buyers meet it: the whole ticket service over HTTP, told of the codes as the operator does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.conftest import MakeDatabase
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.service import Answer, Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_runtime.contracts.identity import Line, event_id
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import CodesSheet
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app
from tiketi_services.ticket.queue.gates.codes import OF_AN_ACCOUNT

SHOW = event_id("demo", "fans-first")
FANS = Line("fans")
CODES = [f"FANS-{number:04}" for number in range(10)]
JOIN = f"/events/{SHOW}/queue/{FANS}/join"


async def take(redis: Redis, codes: list[str], version: int) -> None:
    """What the operator does with an organiser's codes."""
    book = CodeBook.of(SHOW, FANS, codes)
    await redis.set(EventKeys(SHOW).line(FANS).codes, book.to_bytes())
    sale = a_sale("fans-first", version=version)
    sheet = CodesSheet(count=len(codes), version=book.version)
    fans = sale.lines[0].model_copy(update={"name": FANS, "codes": sheet})
    await publish(redis, sale.model_copy(update={"lines": (fans, *sale.lines)}))


@pytest.fixture(scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, redis: Redis, redis_url: str, database: MakeDatabase, amqp_url: str
) -> AsyncIterator[Service]:
    """A service that finds the sale waiting when it starts."""
    await take(redis, CODES, version=1)
    auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    urls = {"redis_url": redis_url, "database_url": await database("ticket"), "amqp_url": amqp_url}
    settings = settings_for(Path(tmp_path_factory.mktemp("keys")), auth, **urls)
    async with serve_app(build_app(settings)) as url, aiohttp.ClientSession() as http:
        started = Service(url, http, redis, auth)
        await started.until_served("fans-first")
        yield started


async def join(service: Service, buyer: str, code: str | None = None) -> Answer:
    return await service.post(JOIN, buyer, {} if code is None else {"code": code})


async def until_adopted(redis: Redis, version: bytes) -> None:
    for _ in range(100):
        if await redis.get(EventKeys(SHOW).adopted) == version:
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"version {version.decode()} is not adopted")


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["code"]


async def test_buyers_are_told_which_line_takes_a_code(service: Service) -> None:
    answer = await service.get(f"/events/{SHOW}")
    assert {line["name"]: line["needsCode"] for line in answer.body["lines"]} == {"fans": True, "public": False}


async def test_a_code_lets_one_account_into_the_line_for_good(service: Service) -> None:
    assert refusal(await join(service, "anna")) == (403, "code-needed")
    assert refusal(await join(service, "anna", "NO-SUCH-CODE")) == (403, "wrong-code")
    first = await join(service, "anna", CODES[0])
    assert first.status == 200
    assert refusal(await join(service, "boris", CODES[0])) == (403, "wrong-code")
    again = await join(service, "anna")
    assert (again.status, again.body["seq"]) == (200, first.body["seq"])


async def test_of_many_who_join_by_one_code_at_once_exactly_one_gets_a_place(service: Service) -> None:
    answers = await asyncio.gather(*(join(service, f"one-of-many-{number}", CODES[1]) for number in range(30)))
    assert sorted(answer.status for answer in answers) == [200] + [403] * 29


async def test_guessing_is_slowed_down_and_says_for_how_long(service: Service) -> None:
    for number in range(OF_AN_ACCOUNT.burst):
        assert refusal(await join(service, "guesser", f"GUESS-{number:03}")) == (403, "wrong-code")
    answer = await join(service, "guesser", CODES[2])
    assert refusal(answer) == (429, "too-many-codes")
    assert 0 < int(answer.headers["retry-after"]) <= OF_AN_ACCOUNT.refill.total_seconds()


async def test_a_public_line_asks_for_no_code(service: Service) -> None:
    assert (await service.join(SHOW, "carla")).status == 200


async def test_codes_that_change_while_the_presale_runs(service: Service, redis: Redis) -> None:
    before = await join(service, "early", CODES[3])
    await take(redis, ["NEW-CODE-1"], version=2)
    await until_adopted(redis, b"2")
    assert refusal(await join(service, "late", CODES[4])) == (403, "wrong-code")
    assert (await join(service, "late", "NEW-CODE-1")).status == 200
    assert (await join(service, "early")).body["seq"] == before.body["seq"]
