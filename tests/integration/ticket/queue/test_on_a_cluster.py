"""The whole ticket service, and the operator's part, on a Redis Cluster: every script runs there."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.conftest import MakeDatabase
from tests.integration.redis_servers import until
from tests.integration.serving import serve_app
from tests.integration.ticket.queue.losses import Pod
from tests.integration.ticket.queue.service import Answer, Service, settings_for
from tests.integration.ticket.sales.a_sale import a_sale, publish

from tiketi_operator.queue_setup import SaleSheets
from tiketi_runtime import postgres
from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, Line, SeatId, Seq
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.redis_keys import EVENTS, EventKeys
from tiketi_runtime.contracts.sale_sheet import CodesSheet, RefusedSheet, SaleSheet
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.app import build_app
from tiketi_services.ticket.orders.repository import SeatPaint
from tiketi_services.ticket.queue.domain import AlreadyAdmitted, Whereabouts
from tiketi_services.ticket.queue.gates.crowding import Crowding
from tiketi_services.ticket.queue.pace.adaptive import Change, Direction, Rate
from tiketi_services.ticket.queue.pace.rates import Rates, Standing
from tiketi_services.ticket.queue.repository import Lines

FANS = Line("fans")
CODE = "RED-BALLOON"
PACKAGES = ("tiketi_operator", *(f"tiketi_services.ticket.{module}" for module in ("sales", "queue", "orders")))


@pytest.fixture(scope="module")
async def cluster(cluster_redis_url: str) -> AsyncIterator[Redis]:
    """Knows no script and no event."""
    async with runtime_redis.connect(cluster_redis_url) as redis:
        await redis.flushall()
        await redis.script_flush()
        yield redis


@pytest.fixture(scope="module")
def show() -> SaleSheet:
    """A sale with a presale by code."""
    sale = a_sale("show", sections=[{"name": "A", "price": 99_000, "capacity": 100}])
    codes = CodesSheet(count=1, version=CodeBook.of(sale.event, FANS, [CODE]).version)
    fans = sale.lines[0].model_copy(update={"name": FANS, "codes": codes})
    return sale.model_copy(update={"lines": (fans, *sale.lines)})


@pytest.fixture(scope="module")
async def lottery() -> SaleSheet:
    """A sale whose entries have just closed."""
    sale = a_sale("lottery", opens_in=timedelta(seconds=30), queue={"method": "lottery"})
    drawn = sale.lines[0].model_copy(update={"draw_at": datetime.now(UTC)})
    return sale.model_copy(update={"lines": (drawn,)})


@pytest.fixture(scope="module")
async def database_url(database: MakeDatabase) -> str:
    return await database("ticket")


@pytest.fixture(scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Redis,
    cluster_redis_url: str,
    database_url: str,
    amqp_url: str,
    show: SaleSheet,
    lottery: SaleSheet,
) -> AsyncIterator[Service]:
    folder: Path = tmp_path_factory.mktemp("keys")
    auth = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    book = CodeBook.of(show.event, FANS, [CODE])
    await cluster.set(EventKeys(show.event).line(FANS).codes, book.to_bytes())
    for sale in (show, lottery):
        await publish(cluster, sale)
    settings = settings_for(folder, auth, redis_url=cluster_redis_url, database_url=database_url, amqp_url=amqp_url)
    async with serve_app(build_app(settings)) as url, aiohttp.ClientSession() as http:
        started = Service(url, http, cluster, auth)
        for name in ("show", "lottery"):
            await started.until_served(name)
        yield started


async def test_a_buyer_gets_from_the_line_to_seats_and_back(service: Service, show: SaleSheet) -> None:
    pass_word, _ = await shop(service, show, "anna")
    held = await hold(service, show, "anna", pass_word)
    assert held.status == 201
    headers = {"authorization": f"Bearer {service.token('anna')}"}
    path = f"{service.url}/events/{show.event}/holds/{held.body['hold']}"
    async with service.http.delete(path, headers=headers) as answer:
        assert answer.status == 204


async def test_a_buyer_waits_and_leaves(service: Service, show: SaleSheet) -> None:
    joined = await service.join(show.event, "boris")
    receipt = {"receipt": joined.body["receipt"]}
    for step in ("heartbeat", "leave"):
        answer = await service.post(f"/events/{show.event}/queue/public/{step}", "boris", receipt)
        assert answer.status == 204
    assert await Lines(service.redis).whereabouts(show.event, PUBLIC, [BuyerId("boris")]) == [Whereabouts.OUT]


async def test_a_presale_takes_its_code(service: Service, show: SaleSheet) -> None:
    path = f"/events/{show.event}/queue/fans/join"
    assert (await service.post(path, "carla", {"code": "GREEN-BALLOON"})).body["code"] == "wrong-code"
    assert (await service.post(path, "carla", {"code": CODE})).status == 200


async def test_a_lottery_is_drawn(service: Service, lottery: SaleSheet) -> None:
    keys = EventKeys(lottery.event)

    async def is_drawn() -> bool:
        return await service.redis.hget(keys.line(PUBLIC).draw, "ready") == b"1"

    await until(is_drawn)
    assert await service.redis.hexists(keys.draws, PUBLIC)


async def test_adaptive_admission_and_the_gate_count(service: Service, show: SaleSheet) -> None:
    rates, crowding = Rates(service.redis), Crowding(service.redis)
    await rates.count(show.event, 7, {"hold": 3})
    assert (await rates.judge(show.event, [FANS, PUBLIC], 8, 7)).counts == {"hold": 3}
    slower = Change(Rate(10.0), Direction.SLOWED, "slow")
    assert await rates.change(show.event, slower, "slow", Standing(Rate(100.0), 0), 8)
    assert await rates.restore(show.event, "over", "over")
    await crowding.look(show.event, FANS, "192.0.2.0")
    crowding.add(show.event, FANS, "192.0.2.0")
    await crowding.tell()
    assert (await crowding.look(show.event, FANS, "192.0.2.0")).places_from_network == 1


async def test_the_operator_provisions_and_sweeps(service: Service) -> None:
    sheets, sale = SaleSheets(service.redis), a_sale("short-lived")
    await sheets.provision(sale.content())
    await service.until_served("short-lived")
    stored = await sheets.stored(sale.event)
    assert stored is not None
    assert stored.provisioned.is_begun_here
    drawn = sale.lines[0].model_copy(update={"draw_at": sale.opens_at})
    turned = await sheets.provision(sale.content().model_copy(update={"lines": (drawn,)}))

    async def is_refused() -> bool:
        refused = await service.redis.get(EventKeys(sale.event).refused)
        return refused is not None and RefusedSheet.model_validate_json(refused).version == turned.version

    await until(is_refused)
    await sheets.sweep(sale.event)

    async def is_gone() -> bool:
        return (await service.get(f"/events/{sale.event}")).status == 404

    await until(is_gone)
    assert [key async for key in service.redis.scan_iter(EventKeys(sale.event).pattern)] == []


async def test_a_clock_that_was_set_back_is_told(service: Service, lottery: SaleSheet) -> None:
    keys = EventKeys(lottery.event)
    await service.redis.set(keys.clock, int(datetime.now(UTC).timestamp() * 1000) + 60_000)

    async def is_told() -> bool:
        return bool(await service.redis.exists(keys.told("clock")))

    await until(is_told)


async def test_a_sold_seat_is_painted_free(service: Service, show: SaleSheet) -> None:
    seat = SeatId("A-9-9")
    await service.redis.hset(EventKeys(show.event).seats, seat, "sold")
    await SeatPaint(service.redis).unsell(show.event, [(seat, "")])
    assert not await service.redis.hexists(EventKeys(show.event).seats, seat)


async def test_everything_is_rebuilt_after_a_loss(service: Service, show: SaleSheet, database_url: str) -> None:
    pass_word, _ = await shop(service, show, "dora")
    assert (await hold(service, show, "dora", pass_word)).status == 201
    waiting = (await service.join(show.event, "emil")).body
    await service.redis.flushall()
    answer = await service.post(f"/events/{show.event}/queue/public/join", "emil", {"receipt": waiting["receipt"]})
    assert (answer.status, answer.body["code"]) == (503, "queue-recovering")
    assert int(answer.headers["retry-after"]) > 0

    async def is_back() -> bool:
        again = await service.post(f"/events/{show.event}/queue/public/join", "emil", {"receipt": waiting["receipt"]})
        return again.status == 200 and bool(again.body["seq"] == waiting["seq"])

    await until(is_back)
    assert await service.redis.hlen(EventKeys(show.event).seats) == 1
    assert (await hold(service, show, "dora", pass_word)).status == 201
    async with await postgres.connect(database_url, 1) as pool:
        pod = Pod(service.redis, pool)
        assert await pod.recoveries.represent(show.event, PUBLIC, [(BuyerId("frida"), Seq(7))]) == 1

    async def is_registered() -> bool:
        return bool(await service.redis.sismember(EVENTS, show.event))

    await until(is_registered)


async def test_a_place_is_given_back_that_postgresql_does_not_know_as_spent(
    service: Service, show: SaleSheet, database_url: str
) -> None:
    await shop(service, show, "gerd")
    session = cast(bytes, await service.redis.hget(EventKeys(show.event).line(PUBLIC).claimed, "gerd")).decode()
    async with await postgres.connect(database_url, 1) as pool:
        pod = Pod(service.redis, pool)
        with pytest.raises(AlreadyAdmitted):
            await pod.recorder.check_spent(show.event, PUBLIC, BuyerId("gerd"), session)
        await pool.execute("DELETE FROM claims WHERE buyer = 'gerd'")
        await pod.recorder.check_spent(show.event, PUBLIC, BuyerId("gerd"), session)
    again = await service.join(show.event, "gerd")
    assert (again.status, again.body["standing"]) == (200, "next")


async def test_every_script_ran_here(cluster: Redis, service: Service) -> None:
    """Whoever adds a script adds it to the tests above: a node knows the scripts it was sent."""
    unused: list[str] = []

    async def all_ran() -> bool:
        """Some run once a second, in the background."""
        unused[:] = [
            f"{package}: {name}"
            for package in PACKAGES
            for name, script in load_scripts(cluster, package).items()
            if not all(await cluster.script_exists(hashlib.sha1(str(script.script).encode()).hexdigest()))
        ]
        return not unused

    with suppress(TimeoutError):
        await until(all_ran)
    assert unused == []


async def shop(service: Service, show: SaleSheet, buyer: str) -> tuple[str, str]:
    """Join and be admitted; the pass, and the receipt."""
    joined = await service.join(show.event, buyer)
    assert joined.status == 200
    admitted = await service.claim_until_admitted(show.event, buyer, joined.body["receipt"])
    return admitted.body["pass"], joined.body["receipt"]


async def hold(service: Service, show: SaleSheet, buyer: str, pass_word: str) -> Answer:
    body = {"section": "A", "quantity": 1}
    return await service.post(f"/events/{show.event}/holds", buyer, body, **{"tiketi-pass": pass_word})
