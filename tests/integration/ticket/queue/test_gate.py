"""The price of a place: asked of those it is meant for, paid by work, on a real Redis shared by several processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from tests.integration.ticket.sales.a_sale import a_sale

from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import Redis
from tiketi_runtime.redis_pipe import NotConnected
from tiketi_runtime.security import Mac
from tiketi_services.ticket.queue.domain import Applicant, UnknownLine, WorkProof
from tiketi_services.ticket.queue.gates.crowding import WINDOW_SECONDS, Crowding
from tiketi_services.ticket.queue.gates.gate import WorkGate, WorkNeeded
from tiketi_services.ticket.queue.gates.work import YOUTH_BITS, solves

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MAC = Mac("k", {"k": b"x" * 32})
HOME, ELSEWHERE = "203.0.113.0/24", "198.51.100.0/24"
MOST = 16


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with runtime_redis.connect(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
def sale() -> SaleSheet:
    return sale_with(MOST)


def sale_with(most: int, per_minute: int = 600) -> SaleSheet:
    return a_sale("rush", queue={"maxProofBits": most, "newUsersPerMinute": per_minute})


class Pod:
    """The gate of one process; its clock can be moved."""

    def __init__(self, redis: Redis, mac: Mac = MAC) -> None:
        self.now = NOW
        self.crowding = Crowding(redis)
        self.gate = WorkGate(mac, self.crowding, lambda: self.now)


def applicant(buyer: str = "anna", age: timedelta | None = timedelta(0), network: str = HOME) -> Applicant:
    return Applicant(BuyerId(buyer), True, None if age is None else NOW - age, network)


OLD = timedelta(days=365)


async def price(pod: Pod, sale: SaleSheet, who: Applicant, proof: WorkProof | None = None) -> dict[str, Any]:
    """What is asked; ``bits`` 0 if nothing is."""
    try:
        await pod.gate.require(sale, PUBLIC, who, proof)
    except WorkNeeded as needed:
        return {"detail": needed.detail, **needed.members}
    return {"bits": 0}


def work_for(asked: dict[str, Any]) -> WorkProof:
    nonce = next(n for n in map(str, count()) if solves(asked["challenge"], n, asked["bits"]))
    return WorkProof(asked["challenge"], nonce)


async def test_who_does_the_work_gets_in_and_keeps_the_price_that_was_asked(redis: Redis, sale: SaleSheet) -> None:
    pod, other = Pod(redis), Pod(redis)
    asked = await price(pod, sale, applicant())
    assert asked["bits"] == YOUTH_BITS
    assert datetime.fromisoformat(asked["expiresAt"]) >= NOW + timedelta(minutes=2)
    proof = work_for(asked)
    for number in range(1000):
        pod.gate.took_place(sale, PUBLIC, applicant(f"b{number}"))
    assert (await price(pod, sale, applicant()))["bits"] == MOST
    await pod.gate.require(sale, PUBLIC, applicant(), proof)
    await other.gate.require(sale, PUBLIC, applicant(), proof)  # any process takes it
    await pod.gate.require(sale, PUBLIC, applicant(), proof)  # an answer got lost: the same proof again


async def test_an_old_account_in_calm_times_is_let_in_at_once(redis: Redis, sale: SaleSheet) -> None:
    await Pod(redis).gate.require(sale, PUBLIC, applicant(age=OLD), None)


async def test_an_account_of_unknown_age_is_a_new_one(redis: Redis, sale: SaleSheet) -> None:
    assert (await price(Pod(redis), sale, applicant(age=None)))["bits"] == YOUTH_BITS


async def test_a_policy_without_work_asks_nobody_and_counts_nothing(redis: Redis) -> None:
    pod, free = Pod(redis), sale_with(0)
    await pod.gate.require(free, PUBLIC, applicant(), WorkProof("nonsense", "x"))
    pod.gate.took_place(free, PUBLIC, applicant())
    await pod.crowding.tell()
    assert await redis.keys("*") == []


async def test_an_unknown_line_is_said_to_be_so(redis: Redis, sale: SaleSheet) -> None:
    with pytest.raises(UnknownLine):
        await Pod(redis).gate.require(sale, "vip", applicant(), None)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("another buyer's", "another buyer"),
        ("another event's", "another buyer, or for another line"),
        ("foreign key", "none of ours"),
        ("altered bits", "none of ours"),
        ("nonsense", "none of ours"),
        ("another purpose", "none of ours"),
        ("expired", "too old"),
        ("too little work", "does not solve"),
        ("no nonce", "does not solve"),
    ],
)
async def test_what_is_no_payment_is_answered_with_a_new_challenge(
    redis: Redis, sale: SaleSheet, case: str, words: str
) -> None:
    pod = Pod(redis)
    asked = await price(pod, sale, applicant())
    good = work_for(asked)
    who, proof = applicant(), good
    pod.now += timedelta(seconds=1)
    match case:
        case "another buyer's":
            who = applicant("boris")
        case "another event's":
            elsewhere = sale.model_copy(update={"event": "arena/other"})
            proof = work_for(await price(pod, elsewhere, applicant()))
        case "foreign key":
            stranger = Pod(redis, Mac("k", {"k": b"y" * 32}))
            proof = work_for(await price(stranger, sale, applicant()))
        case "altered bits":
            cheap = MAC.seal("x", {"bits": 0}).split(".")[1]
            proof = WorkProof(".".join([good.challenge.split(".")[0], cheap, good.challenge.split(".")[2]]), "0")
        case "nonsense":
            proof = WorkProof("é.\ud800", "0")
        case "another purpose":
            proof = WorkProof(MAC.seal("place-receipt", {"buyer": "anna", "bits": 0}), "0")
        case "expired":
            pod.now += timedelta(minutes=3)
        case "too little work":
            lazy = next(n for n in map(str, count()) if not solves(good.challenge, n, asked["bits"]))
            proof = WorkProof(good.challenge, lazy)
        case "no nonce":
            proof = WorkProof(good.challenge, "")
    refused = await price(pod, sale, who, proof)
    assert words in refused["detail"]
    assert refused["challenge"] != proof.challenge
    await pod.gate.require(sale, PUBLIC, who, work_for(refused))


async def test_a_rush_is_felt_at_once_here_and_after_a_telling_everywhere_until_it_is_over(
    redis: Redis, sale: SaleSheet
) -> None:
    here, there = Pod(redis), Pod(redis)
    calm = sale.queue.new_users_per_minute / 60
    for number in range(round(calm * WINDOW_SECONDS * 8)):
        here.gate.took_place(sale, PUBLIC, applicant(f"b{number}", network=f"10.0.{number % 250}.0/24"))
    who = applicant("zoe", OLD, ELSEWHERE)
    assert (await price(here, sale, who))["bits"] == 3
    assert (await price(there, sale, who))["bits"] == 0
    await here.crowding.tell()
    await there.crowding.tell()
    assert (await price(there, sale, who))["bits"] == 3
    assert (await price(here, sale, who))["bits"] == 3
    await asyncio.sleep(WINDOW_SECONDS + 1)
    await there.crowding.tell()
    assert (await price(there, sale, who))["bits"] == 0


async def test_each_place_of_a_network_makes_the_next_dearer_for_it_alone(redis: Redis, sale: SaleSheet) -> None:
    here, there = Pod(redis), Pod(redis)
    quiet = sale_with(MOST, per_minute=6_000_000)
    for number in range(512):
        here.gate.took_place(quiet, PUBLIC, applicant(f"b{number}"))
    assert (await price(here, quiet, applicant("zoe", OLD)))["bits"] == 6
    await here.crowding.tell()
    assert (await price(there, quiet, applicant("zoe", OLD)))["bits"] == 6
    assert (await price(there, quiet, applicant("zoe", OLD, ELSEWHERE)))["bits"] == 0


async def test_what_is_kept_of_networks_is_small_names_nobody_and_ends(redis: Redis, sale: SaleSheet) -> None:
    pod = Pod(redis)
    for number in range(20_000):
        network = f"2001:db8:{number:x}:100::/56"
        pod.gate.took_place(sale, PUBLIC, applicant(f"buyer-{number}", network=network))
    await pod.crowding.tell()
    keys = EventKeys(sale.event).line(PUBLIC)
    assert set(await redis.keys("*")) == {keys.networks.encode(), keys.rush.encode()}
    assert await redis.strlen(keys.networks) <= 64 * 1024
    assert 0 < await redis.ttl(keys.networks) <= 24 * 3600
    assert 0 < await redis.ttl(keys.rush) <= WINDOW_SECONDS
    everything = f"{await redis.get(keys.networks)!r}{await redis.hgetall(keys.rush)}"
    assert "2001" not in everything
    assert "buyer" not in everything


async def test_counts_that_could_not_be_told_are_told_later(redis: Redis, sale: SaleSheet) -> None:
    async with runtime_redis.connect("redis://127.0.0.1:1/0") as nowhere:
        crowding = Crowding(nowhere)
        crowding.add(sale.event, PUBLIC, HOME)
        with pytest.raises(NotConnected):
            await crowding.tell()
        alive = Crowding(redis)
        crowding._count = alive._count
        await crowding.tell()
    assert (await alive.look(sale.event, PUBLIC, HOME)).places_from_network == 1


async def test_after_a_loss_of_redis_counting_begins_anew(redis: Redis, sale: SaleSheet) -> None:
    pod = Pod(redis)
    for number in range(512):
        pod.gate.took_place(sale, PUBLIC, applicant(f"b{number}"))
    await pod.crowding.tell()
    await redis.flushdb()
    await pod.crowding.tell()
    assert (await price(pod, sale, applicant("zoe", OLD)))["bits"] == 0


async def test_a_proof_is_checked_in_microseconds_and_without_redis(sale: SaleSheet, redis: Redis) -> None:
    proof = work_for(await price(Pod(redis), sale, applicant()))
    async with runtime_redis.connect("redis://127.0.0.1:1/0") as nowhere:
        pod = Pod(nowhere)
        started = time.process_time()
        for _ in range(1000):
            await pod.gate.require(sale, PUBLIC, applicant(), proof)
    assert time.process_time() - started < 0.5  # 0.5 ms each; it takes 20 us
