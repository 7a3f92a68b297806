"""Every page finds its exact position in what all of its group are told; whatever happens, the place is the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from socketio.exceptions import ConnectionError as SocketRefused
from tests.integration.ticket.queue.service import PATIENCE, Page, Service
from tests.integration.ticket.sales.a_sale import a_sale, publish
from websockets.asyncio.client import ClientConnection, connect

from tiketi_local.crowd.live import position_in
from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_services.ticket.queue.places.positions import GROUP
from tiketi_services.ticket.queue.push.sockets import NAMESPACE
from tiketi_services.ticket.settings import TicketSettings

TABS = 1_000
HEARTBEAT: timedelta = TicketSettings.model_fields["heartbeat_interval"].default


@pytest.fixture
async def pages() -> AsyncIterator[list[Page]]:
    pages = [Page() for _ in range(5)]
    yield pages
    for page in pages:
        await page.close()


async def a_crowd(service: Service, event: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Let them join one after another; what each of their pages connects with."""
    return {name: await service.credentials(event, name) for name in names}


async def test_positions_are_exact_among_those_who_still_wait(service: Service, pages: list[Page]) -> None:
    await publish(service.redis, a_sale("exact", opens_in=timedelta(minutes=10)))
    await service.until_served("exact")
    names = [f"exact-{number}" for number in range(2 * GROUP + 10)]
    crowd = await a_crowd(service, "demo/exact", names)
    watchers = [names[index] for index in (0, GROUP - 1, GROUP, 2 * GROUP, len(names) - 1)]
    for page, name in zip(pages, watchers, strict=True):
        await page.open(service, "demo/exact", crowd[name])
    complete = [await page.until_state(lambda state: bool(state["waiting"] == len(names))) for page in pages]
    for leaver in names[1:40:2] + names[GROUP + 1 : GROUP + 9]:
        await service.post("/events/demo/exact/queue/public/leave", leaver, {"receipt": crowd[leaver]["receipt"]})
    left = [name for name in names if name not in names[1:40:2] + names[GROUP + 1 : GROUP + 9]]
    for page, name, before in zip(pages, watchers, complete, strict=True):
        place = (await page.next_place())["place"]
        state = await page.until_state(partial(_shows, len(left), since=before["version"]))
        assert position_in(state, place) == left.index(name) + 1


async def test_a_thousand_tabs_of_one_account_see_one_place(service: Service) -> None:
    await publish(service.redis, a_sale("tabs", opens_in=timedelta(minutes=10)))
    await service.until_served("tabs")
    await a_crowd(service, "demo/tabs", ["before-1", "before-2"])
    auth = await service.credentials("demo/tabs", "collector")
    url = service.live_url("demo/tabs")
    while (await service.get("/events/demo/tabs/queue/public/state")).body["waiting"] < 3:  # noqa: ASYNC110 - it is asked
        await asyncio.sleep(0.05)
    async with AsyncExitStack() as stack:
        told = []
        for _ in range(TABS // 50):
            opening = (stack.enter_async_context(connect(url, compression=None)) for _ in range(50))
            told += await asyncio.gather(*(_place_and_state(tab, auth) for tab in await asyncio.gather(*opening)))
    assert {place for place, _ in told} == {3}
    assert {position_in(state, place) for place, state in told} == {3}
    assert (await service.get("/events/demo/tabs/queue/public/state")).body["waiting"] == 3


async def test_a_drawn_place_is_told_to_every_page_with_a_position_of_its_own(
    service: Service, pages: list[Page]
) -> None:
    sale = _lottery("lots", draw_in=timedelta(seconds=2.5))
    await publish(service.redis, sale)
    await service.until_served("lots")
    names = [f"entrant-{number}" for number in range(5)]
    crowd = await a_crowd(service, "demo/lots", names)
    for page, name in zip(pages, names, strict=True):
        await page.open(service, "demo/lots", crowd[name])
        assert (await page.next_place())["place"] is None
        before = await page.next_state()
        assert (before["drawn"], "ahead" in before) == (False, False)
    places = [(await page.next_place(1))["place"] for page in pages]
    assert sorted(places) == [1, 2, 3, 4, 5]
    for page, place in zip(pages, places, strict=True):
        state = await page.until_state(lambda state: bool(state["drawn"] and "ahead" in state))
        assert (state["entries"], position_in(state, place)) == (5, place)
    late = await service.join("demo/lots", "late")
    assert (late.body["seq"], late.body["place"]) == (6, 6)


async def test_two_devices_of_one_account_show_the_same_place_after_a_loss(service: Service, pages: list[Page]) -> None:
    """The second one came back without the receipt and got a new number; then the first one brought the receipt."""
    await publish(service.redis, a_sale("pair"))
    await service.until_served("pair")
    kept = (await a_crowd(service, "demo/pair", ["other", "pair"]))["pair"]
    await service.redis.flushdb()
    await service.until_served("pair", epoch=2)
    anew = await service.credentials("demo/pair", "pair")
    first, second, *_ = pages
    await second.open(service, "demo/pair", anew)
    place = await second.next_place()
    assert place["seq"] > 2
    await first.open(service, "demo/pair", kept)
    assert await first.next_place() == {"seq": 2, "place": 2}
    told = await second.next_place(1)
    assert (told["seq"], told["place"]) == (2, 2)
    await second.until_state(lambda state: state.get("group") == 0)
    line = "/events/demo/pair/queue/public"
    for stale in ("heartbeat", "claim"):
        refused = await service.post(f"{line}/{stale}", "pair", {"receipt": anew["receipt"]})
        assert (refused.status, refused.body["code"]) == (409, "stale-receipt")
    assert (await service.post(f"{line}/heartbeat", "pair", {"receipt": told["receipt"]})).status == 204
    assert (await service.claim_until_admitted("demo/pair", "pair", told["receipt"])).body["status"] == "admitted"
    assert len(first.places) == 1, "it was right all along"


async def test_a_page_that_connects_with_a_number_given_up_is_told_the_one_that_counts(
    service: Service, pages: list[Page]
) -> None:
    await publish(service.redis, a_sale("given-up", opens_in=timedelta(minutes=10)))
    await service.until_served("given-up")
    kept = (await a_crowd(service, "demo/given-up", ["other", "pair"]))["pair"]
    await service.redis.flushdb()
    await service.until_served("given-up", epoch=2)
    anew = await service.credentials("demo/given-up", "pair")
    join = "/events/demo/given-up/queue/public/join"
    assert (await service.post(join, "pair", {"receipt": kept["receipt"]})).body["seq"] == 2
    await pages[0].open(service, "demo/given-up", anew)
    told = await pages[0].next_place()
    assert (told["seq"], told["place"]) == (2, 2)
    await pages[1].open(service, "demo/given-up", {**anew, "receipt": told["receipt"]})
    assert await pages[1].next_place() == {"seq": 2, "place": 2}


async def test_an_open_page_does_not_lose_its_earlier_place_to_a_device_that_joined_anew(
    service: Service, pages: list[Page]
) -> None:
    await publish(service.redis, a_sale("earlier", opens_in=timedelta(minutes=10)))
    await service.until_served("earlier")
    crowd = await a_crowd(service, "demo/earlier", ["other", "pair"])
    await pages[0].open(service, "demo/earlier", crowd["pair"])
    assert await pages[0].next_place() == {"seq": 2, "place": 2}
    line = EventKeys(event_id("demo", "earlier")).line(PUBLIC)
    await service.redis.hset(line.places, "pair", 900)  # as if another device had been faster after a loss
    async with asyncio.timeout(PATIENCE):
        while await service.redis.hget(line.places, "pair") != b"2":  # noqa: ASYNC110 - Redis is asked
            await asyncio.sleep(0.05)
    await asyncio.sleep(HEARTBEAT.total_seconds())
    assert pages[0].places == [{"seq": 2, "place": 2}]


async def test_pages_stay_and_keep_their_places_over_a_loss_of_redis(service: Service, pages: list[Page]) -> None:
    sale = a_sale("lossy", opens_in=timedelta(minutes=10))
    await publish(service.redis, sale)
    await service.until_served("lossy")
    names = [f"keeper-{number}" for number in range(5)]
    crowd = await a_crowd(service, "demo/lossy", names)
    for page, name in zip(pages, names, strict=True):
        await page.open(service, "demo/lossy", crowd[name])
        await page.next_state()
    epoch = pages[0].states[0]["epoch"]
    await service.redis.flushdb()
    waiting = EventKeys(event_id("demo", "lossy")).line(PUBLIC).waiting
    for page in pages:
        state = await page.until_state(lambda state: bool(state["epoch"] > epoch and state["waiting"] == 5))
        place = page.places[-1]["place"]
        assert position_in(state, place) == place
    assert await service.redis.zrange(waiting, 0, -1) == [name.encode() for name in names]


async def test_who_left_is_not_brought_back_by_a_page_that_stayed_open(service: Service, pages: list[Page]) -> None:
    sale = a_sale("leavers", opens_in=timedelta(minutes=10))
    await publish(service.redis, sale)
    await service.until_served("leavers")
    crowd = await a_crowd(service, "demo/leavers", ["leaver", "stayer"])
    for page, auth in zip(pages, crowd.values(), strict=False):
        await page.open(service, "demo/leavers", auth)
        await page.next_state()
    await service.post("/events/demo/leavers/queue/public/leave", "leaver", {"receipt": crowd["leaver"]["receipt"]})
    await asyncio.sleep(HEARTBEAT.total_seconds() + 0.5)  # by then the pod was told
    epoch = pages[0].states[0]["epoch"]
    await service.redis.flushdb()
    for page in pages[:2]:
        await page.until_state(lambda state: bool(state["epoch"] > epoch and state["waiting"] == 1))
    await asyncio.sleep(0.5)
    waiting = EventKeys(event_id("demo", "leavers")).line(PUBLIC).waiting
    assert await service.redis.zrange(waiting, 0, -1) == [b"stayer"]
    again = await service.join("demo/leavers", "leaver")  # the buyer's own act
    assert (again.status, again.body["standing"]) == (200, "waiting")


async def test_who_left_after_a_loss_stays_out_whatever_receipt_the_page_brings(service: Service, page: Page) -> None:
    await publish(service.redis, a_sale("out", opens_in=timedelta(minutes=10)))
    await service.until_served("out")
    auth = await service.credentials("demo/out", "leaver")
    await service.redis.flushdb()
    refusals, back = await _open_at_last(service, "demo/out", auth)
    assert refusals
    await back.close()
    await service.post("/events/demo/out/queue/public/leave", "leaver", {"receipt": auth["receipt"]})
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/out", auth)
    assert page.refusals[0]["data"]["code"] == "not-in-line"


async def test_the_first_state_shows_the_place(service: Service, pages: list[Page]) -> None:
    await publish(service.redis, a_sale("prompt", opens_in=timedelta(minutes=10)))
    await service.until_served("prompt")
    for number, page in enumerate(pages, start=1):
        joined = (await service.join("demo/prompt", f"prompt-{number}")).body
        assert position_in(joined["state"], joined["place"]) == number
        auth = {"line": "public", "token": service.token(f"prompt-{number}"), "receipt": joined["receipt"]}
        await page.open(service, "demo/prompt", auth)
        assert position_in(await page.next_state(), number) == number


async def test_who_comes_during_a_loss_hears_when_to_come_again_and_then_is_back_by_its_receipt(
    service: Service,
) -> None:
    await publish(service.redis, a_sale("away", opens_in=timedelta(minutes=10)))
    await service.until_served("away")
    crowd = await a_crowd(service, "demo/away", ["first", "second"])
    await service.redis.flushdb()
    refusals, page = await _open_at_last(service, "demo/away", crowd["second"])
    assert refusals
    assert all((each["code"], each["status"], each["retryAfter"]) == ("queue-recovering", 503, 2) for each in refusals)
    assert await page.next_place() == {"seq": 2, "place": 2}
    state = await page.until_state(lambda state: position_in(state, 2) is not None)
    assert position_in(state, 2) == 1, "the first one is not back yet"
    await page.close()


def _shows(waiting: int, state: dict[str, Any], *, since: int) -> bool:
    """Whether the state is newer than version ``since`` and so many wait."""
    return bool(state["version"] > since and state["waiting"] == waiting)


async def _open_at_last(service: Service, event: str, auth: dict[str, Any]) -> tuple[list[dict[str, Any]], Page]:
    """Connect, again and again until let in; what the refusals said, and the open page."""
    refusals: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            page = Page()
            try:
                await page.open(service, event, auth)
            except SocketRefused:
                refusals += [refusal["data"] for refusal in page.refusals]
                await page.close()
                await asyncio.sleep(0.1)
            else:
                return refusals, page


async def _place_and_state(tab: ClientConnection, auth: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Connect on an open websocket; what the client hears first."""
    async with asyncio.timeout(PATIENCE):
        await tab.recv()
        await tab.send(f"40{NAMESPACE},{json.dumps(auth)}")
        answer, place, state = [str(await tab.recv()) for _ in range(3)]
    assert answer.startswith("40")
    return _argument(place)["place"], _argument(state)


def _argument(frame: str) -> dict[str, Any]:
    event: list[Any] = json.loads(frame.removeprefix(f"42{NAMESPACE},"))
    argument: dict[str, Any] = event[1]
    return argument


def _lottery(name: str, *, draw_in: timedelta) -> SaleSheet:
    """A sale whose public line is drawn, and opens a minute later."""
    sale = a_sale(name, opens_in=draw_in + timedelta(minutes=1), queue={"method": "lottery"})
    (line,) = sale.lines
    drawn = line.model_copy(update={"draw_at": line.opens_at - timedelta(minutes=1)})
    return sale.model_copy(update={"lines": (drawn,)})
