"""Draws that wait for a public beacon: relays that are late, lie, or are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from tests.integration.ticket.lottery.stage import Pod, Stage, names, order_of

import tiketi_services.ticket.queue.lottery.beacon
from tiketi_local.beacon import Simulator, write_chains
from tiketi_runtime.beacon_chains import read_chains
from tiketi_runtime.contracts.beacon import QUICKNET, known_chains, verify_round
from tiketi_runtime.contracts.draw import Draw, order_key
from tiketi_runtime.contracts.draw_file import Trust
from tiketi_runtime.contracts.identity import PUBLIC
from tiketi_runtime.contracts.sale_sheet import BeaconSheet
from tiketi_services.ticket.queue.lottery.beacon import Beacons


@dataclass
class Relay:
    """Answers what it is told to, in turn; then for ever the last one."""

    answers: list[web.Response] = field(default_factory=list)
    asked: int = 0

    async def answer(self, _: web.Request) -> web.Response:
        told = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return web.Response(status=told.status, body=told.body, content_type="application/json")


@dataclass
class Served:
    url: str
    relay: Relay


async def serve(app: web.Application) -> tuple[str, web.AppRunner]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(host, port)] = [address[:2] for address in runner.addresses]
    return f"http://{host}:{port}", runner


@pytest.fixture
async def relay() -> AsyncIterator[Served]:
    relay = Relay()
    app = web.Application()
    app.router.add_get("/{path:.*}", relay.answer)
    url, runner = await serve(app)
    yield Served(url, relay)
    await runner.cleanup()


@pytest.fixture
async def chain_url(stage: Stage) -> AsyncIterator[str]:
    url, runner = await serve(stage.simulator.app())
    yield url
    await runner.cleanup()


def says(document: Any, status: int = 200) -> web.Response:
    return web.json_response(document, status=status)


async def until_drawn(stage: Stage, pod: Pod) -> None:
    async with asyncio.timeout(30):
        while pod.draws.of(stage.event, PUBLIC) is None:
            await pod.step()
            await asyncio.sleep(0.05)


async def test_the_order_waits_for_the_round_and_then_depends_on_it(stage: Stage, chain_url: str) -> None:
    stage.relays = [chain_url]
    stage.announce(beacon=stage.next_round(timedelta(seconds=1)))
    await stage.join(*names(20))
    pod = stage.pod()
    await pod.step()
    waiting = await stage.notice()
    assert waiting.root is not None
    assert (waiting.secret, waiting.trust) == (None, Trust.BEACON)
    assert pod.draws.of(stage.event, PUBLIC) is None
    assert b"ready" not in await stage.latch()
    await until_drawn(stage, pod)
    facts = await stage.facts()
    assert facts.beacon is not None
    verify_round(stage.simulator.chain, facts.beacon.round, bytes.fromhex(facts.beacon.signature), None)
    randomness = bytes.fromhex(facts.beacon.randomness)
    key = order_key(bytes.fromhex(facts.secret), 20, bytes.fromhex(facts.root), randomness)
    assert order_of(pod.draws.of(stage.event, PUBLIC)) == list(Draw(20, key).order())
    notice = await stage.notice()
    assert notice.trust is Trust.BEACON
    assert notice.beacon is not None
    assert notice.beacon.randomness == facts.beacon.randomness


async def test_relays_that_lie_or_are_away_are_passed_over(stage: Stage, relay: Served, chain_url: str) -> None:
    stage.relays = ["http://127.0.0.1:1", relay.url, chain_url]
    beacon = stage.next_round()
    stage.announce(beacon=beacon)
    other = stage.simulator.round(beacon.round + 1)
    relay.relay.answers = [says({**other, "round": beacon.round})]
    await stage.join(*names(3))
    pod = stage.pod()
    await until_drawn(stage, pod)
    assert relay.relay.asked == 1
    facts = await stage.facts()
    assert facts.beacon is not None
    assert facts.beacon.randomness == stage.simulator.round(beacon.round)["randomness"]


@pytest.mark.parametrize(
    "nonsense",
    [
        web.Response(status=500),
        web.Response(status=425),
        web.Response(body=b"<html>"),
        web.Response(body=b"\xff\xfe"),
        web.Response(body=b"[" * 4000),
        says(None),
        says([]),
        says({}),
        says({"signature": 7}),
        says({"signature": "zz"}),
        says({"signature": ""}),
        says({"signature": "00" * 48}),
        says({"signature": "00" * 100_000}),
        says({"signature": "00" * 48, "previous_signature": 3}),
    ],
    ids=str,
)
async def test_nonsense_from_a_relay_is_no_value(stage: Stage, relay: Served, nonsense: web.Response) -> None:
    relay.relay.answers = [nonsense]
    chain = stage.simulator.chain
    async with aiohttp.ClientSession() as http:
        beacons = Beacons(http, [relay.url + "/"], known_chains([stage.simulator.info()]))
        assert await beacons.value(chain.hash, 1) is None
    assert relay.relay.asked == 1


async def test_a_round_that_is_waited_for_is_complained_of_once_a_minute(
    stage: Stage, relay: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = stage.simulator.chain

    def complaints() -> int:
        return [record.message for record in caplog.records].count("no beacon yet")

    relay.relay.answers = [web.Response(status=500 + number) for number in range(30)]
    async with aiohttp.ClientSession() as http:
        relays = [relay.url, "http://127.0.0.1:1"]
        beacons = Beacons(http, relays, known_chains([stage.simulator.info()]))
        for _ in range(10):
            for number in (1, 2):
                assert await beacons.value(chain.hash, number) is None
        assert complaints() == 2
        monkeypatch.setattr(tiketi_services.ticket.queue.lottery.beacon, "_COMPLAIN_INTERVAL", 0)
        await beacons.value(chain.hash, 1)
        assert complaints() == 3


async def test_a_round_that_does_not_come_is_a_metric_and_a_warning_before_the_sale_opens(
    stage: Stage, relay: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overdue() -> float:
        labels = {"event": stage.event, "line": "public"}
        return REGISTRY.get_sample_value("tiketi_queue_beacon_overdue_seconds", labels) or 0.0

    stage.relays = [relay.url]
    relay.relay.answers = [web.Response(status=500)]
    beacon = stage.next_round()
    stage.announce(beacon=beacon)
    await stage.join(*names(5))
    pods = [stage.pod(), stage.pod()]
    await asyncio.sleep(1.1)
    for pod in (*pods, *pods):
        await pod.step()
    assert 0 < overdue() < 5
    assert await reasons(stage) == [b"EntriesFixed"]
    monkeypatch.setattr(tiketi_services.ticket.queue.lottery.beacon, "_LEAST_PATIENCE", timedelta(0))
    monkeypatch.setattr(tiketi_services.ticket.queue.lottery.beacon, "_PERIODS", 0)
    for pod in (*pods, *pods):
        await pod.step()
    assert await reasons(stage) == [b"EntriesFixed", b"BeaconOverdue"]
    stage.announce(version=2)  # without it
    for pod in (*pods, *pods):
        await pod.step()
    assert (await stage.facts()).beacon is None
    assert overdue() == 0
    stage.sales.sheets.clear()
    for pod in pods:
        await pod.step()
    assert REGISTRY.get_sample_value("tiketi_queue_draws_blocked", {"event": stage.event, "line": "public"}) is None


async def reasons(stage: Stage) -> list[bytes]:
    """Of the notes that become Kubernetes Events."""
    notes: Any = await stage.redis.xrange(stage.keys.notes)
    return [fields[b"reason"] for _, fields in notes]


async def test_a_round_that_is_not_due_is_not_asked_for(stage: Stage, relay: Served) -> None:
    stage.relays = [relay.url]
    relay.relay.answers = [web.Response(status=425)]
    stage.announce(beacon=stage.next_round(timedelta(minutes=5)))
    await stage.pod().step()
    assert relay.relay.asked == 0


async def test_the_organiser_can_withdraw_a_beacon_that_never_comes(stage: Stage, relay: Served) -> None:
    stage.relays = [relay.url]
    relay.relay.answers = [web.Response(status=500)]
    beacon = stage.next_round()
    stage.announce(beacon=beacon)
    await stage.join(*names(5))
    pod = stage.pod()
    await asyncio.sleep(1.1)
    await pod.step()
    assert relay.relay.asked == 1
    assert pod.draws.of(stage.event, PUBLIC) is None
    stage.announce(version=2)
    await pod.step()
    facts = await stage.facts()
    assert facts.beacon is None
    assert [(named.chain, named.round, named.version) for named in facts.beacons_named] == [
        (beacon.chain, beacon.round, 1),
        (None, None, 2),
    ]
    assert (await stage.notice()).trust is Trust.OPERATOR


async def test_once_the_entries_are_fixed_no_other_beacon_can_be_named(stage: Stage, chain_url: str) -> None:
    stage.relays = [chain_url]
    beacon = stage.next_round(timedelta(seconds=1))
    stage.announce(beacon=beacon)
    await stage.join(*names(5))
    pod = stage.pod()
    await pod.step()
    stage.announce(version=2, beacon=stage.next_round(timedelta(seconds=60)))
    await until_drawn(stage, pod)
    facts = await stage.facts()
    assert facts.beacon is not None
    assert facts.beacon.round == beacon.round
    assert len(facts.beacons_named) == 1


async def test_before_that_the_newest_sheet_names_the_beacon_whoever_lags_behind(stage: Stage) -> None:
    stage.announce(draw_in=timedelta(hours=1), beacon=stage.next_round(timedelta(hours=2)))
    behind = stage.pod()
    await behind.step()
    old = stage.sales.sheets[stage.event]
    stage.announce(draw_in=timedelta(hours=1), version=2, beacon=stage.next_round(timedelta(hours=3)))
    await stage.pod().step()
    stage.sales.sheets[stage.event] = old
    await behind.step()
    named = (await stage.record()).beacons
    assert [each.version for each in named] == [1, 2]


async def test_a_beacon_that_was_public_before_the_entries_were_fixed_counts_for_nothing(
    stage: Stage, chain_url: str
) -> None:
    """Who has the draw key could have tried entries until the order suited."""
    stage.relays = [chain_url]
    stage.announce(beacon=BeaconSheet(chain=stage.simulator.chain.hash, round=1))
    await stage.join(*names(5))
    await stage.pod().step()
    assert (await stage.facts()).beacon is not None
    assert (await stage.notice()).trust is Trust.OPERATOR


async def test_a_chain_nobody_knows_keeps_no_other_line_waiting(stage: Stage) -> None:
    stage.announce(beacon=BeaconSheet(chain="ab" * 32, round=1))
    await stage.join(*names(2))
    blocked = stage.event
    stage.event = type(stage.event)(f"{stage.event}-other")
    stage.announce()
    await stage.begin()
    pod = stage.pod()
    await pod.step()
    assert pod.draws.of(blocked, PUBLIC) is None
    assert pod.draws.of(stage.event, PUBLIC) is not None


def test_further_chains_come_from_a_file(tmp_path: Any, stage: Stage) -> None:
    write_chains(stage.simulator, tmp_path / "chains.json")
    assert set(read_chains(tmp_path / "chains.json")) > {stage.simulator.chain.hash, QUICKNET.hash}
    assert QUICKNET.hash in read_chains(None)
    (tmp_path / "bad.json").write_text('[{"hash": "00"}]')
    with pytest.raises(ValueError, match=r"bad\.json: not the description of a drand chain"):
        read_chains(tmp_path / "bad.json")


async def test_the_simulator_tells_no_round_before_its_time(stage: Stage, chain_url: str) -> None:
    chain = stage.simulator.chain
    later = stage.next_round(timedelta(minutes=1)).round
    async with aiohttp.ClientSession() as http:
        for path, status in (
            (f"{chain.hash}/public/1", 200),
            (f"{chain.hash}/public/{later}", 425),
            (f"{chain.hash}/public/0", 404),
            (f"{'00' * 32}/public/1", 404),
            ("healthz", 200),
        ):
            async with http.get(f"{chain_url}/{path}") as answer:
                assert answer.status == status, path
        async with http.get(f"{chain_url}/{chain.hash}/info") as answer:
            assert set(known_chains([await answer.json()])) > {chain.hash}
        async with http.get(f"{chain_url}/chains") as answer:
            assert await answer.json() == [chain.hash]


def test_every_seed_is_a_chain_of_its_own() -> None:
    assert Simulator(b"one" * 11).chain.hash != Simulator(b"two" * 11).chain.hash
