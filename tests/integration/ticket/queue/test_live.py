"""Live connections, with the real Socket.IO client."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from socketio.exceptions import ConnectionError as SocketRefused
from tests.integration.ticket.queue.service import PATIENCE, Page, Service
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys, LineKeys
from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_services.ticket.queue.places.positions import group_of

_LONG_AGO = 1
"""ms since 1970; whoever was alive then is a ghost."""


async def test_a_page_hears_its_place_and_the_same_bytes_as_a_poller(service: Service, page: Page) -> None:
    await page.open(service, "demo/show", await service.credentials("demo/show", "live-1"))
    place, state = await page.next_place(), await page.next_state()
    assert place["place"] == place["seq"]
    polled = (await service.get(f"/events/demo/show/queue/public/state?group={state['group']}")).body
    assert state.keys() == polled.keys()
    assert (state["event"], state["line"], state["phase"]) == ("demo/show", "public", "OnSale")
    assert state["group"] == group_of(place["place"])


async def test_a_page_may_look_on_without_a_place(service: Service, page: Page) -> None:
    await page.open(service, "demo/later", {"line": "public"})
    assert (await page.next_state())["phase"] == "Scheduled"


async def test_a_page_hears_of_the_horizon_passing_its_place(service: Service, page: Page) -> None:
    await publish(service.redis, a_sale("soon", opens_in=timedelta(minutes=10)))
    await service.until_served("soon")
    joined = await service.join("demo/soon", "early")
    await page.open(
        service,
        "demo/soon",
        {"line": "public", "token": service.token("early"), "receipt": joined.body["receipt"]},
    )
    assert (await page.next_state())["phase"] == "Armed"
    await publish(service.redis, a_sale("soon", version=2))
    state = await page.until_state(lambda state: bool(state["horizon"] >= joined.body["seq"]))
    assert state["phase"] == "OnSale"
    turn = await service.claim_until_admitted("demo/soon", "early", joined.body["receipt"])
    assert turn.body["status"] == "admitted"


async def test_the_opening_is_heard_soon_and_not_before(service: Service, page: Page) -> None:
    sale = a_sale("sharp", opens_in=timedelta(seconds=1))
    await publish(service.redis, sale)
    await service.until_served("sharp")
    await page.open(service, "demo/sharp", {"line": "public"})
    state = await page.until_state(lambda state: bool(state["phase"] == "OnSale"))
    told_at = datetime.fromisoformat(state["serverTime"])
    assert timedelta() <= told_at - sale.opens_at < timedelta(seconds=5), state


async def test_the_organisers_message_and_pause_reach_every_page(service: Service, page: Page) -> None:
    sale = a_sale("told")
    await publish(service.redis, sale)
    await service.until_served("told")
    await page.open(service, "demo/told", {"line": "public"})
    await page.next_state()
    await publish(
        service.redis, sale.model_copy(update={"version": 2, "message": "Doors 19:00", "admission": Admission.PAUSED})
    )
    state = await page.until_state(lambda state: bool(state["message"]))
    assert (state["message"], state["phase"], state["admission"]) == ("Doors 19:00", "Paused", "Paused")


async def test_a_page_hears_nothing_while_nothing_changes(service: Service, page: Page) -> None:
    await publish(service.redis, a_sale("quiet"))
    await service.until_served("quiet")
    await page.open(service, "demo/quiet", {"line": "public"})
    await page.next_state()
    await asyncio.sleep(1)
    assert len(page.states) <= 2  # the welcome, and perhaps the first tick


async def test_an_open_page_keeps_the_place(service: Service, page: Page) -> None:
    await publish(service.redis, a_sale("patient", opens_in=timedelta(minutes=10)))
    await service.until_served("patient")
    for buyer in ("first", "silent"):
        await service.join("demo/patient", buyer)
    await page.open(service, "demo/patient", await service.credentials("demo/patient", "present"))
    line = EventKeys(event_id("demo", "patient")).line(PUBLIC)
    await service.redis.zadd(line.alive, {"first": _LONG_AGO, "silent": _LONG_AGO})
    await _until_heartbeat(service, line, "present")
    async with asyncio.timeout(PATIENCE):
        while await service.redis.zrange(line.waiting, 0, -1) != [b"present"]:  # noqa: ASYNC110 - Redis is asked
            await asyncio.sleep(0.05)


async def test_pages_of_a_deleted_event_keep_no_other_page_from_its_heartbeats(service: Service, page: Page) -> None:
    for name in ("doomed", "spared"):
        await publish(service.redis, a_sale(name, opens_in=timedelta(minutes=10)))
        await service.until_served(name)
    left_open = Page()
    try:
        await left_open.open(service, "demo/doomed", await service.credentials("demo/doomed", "stayer"))
        await page.open(service, "demo/spared", await service.credentials("demo/spared", "present"))
        await delete(service.redis, event_id("demo", "doomed"))
        await _until_heartbeat(service, EventKeys(event_id("demo", "spared")).line(PUBLIC), "present")
    finally:
        await left_open.close()


async def _until_heartbeat(service: Service, line: LineKeys, buyer: str) -> None:
    """Wait until the buyer is reported alive once more."""
    before = await service.redis.zscore(line.alive, buyer)
    assert before is not None, "not in line"
    async with asyncio.timeout(PATIENCE):
        while await service.redis.zscore(line.alive, buyer) == before:  # noqa: ASYNC110 - Redis is asked
            await asyncio.sleep(0.05)


async def test_a_page_of_somebody_out_of_line_is_told_to_join_again(service: Service, page: Page) -> None:
    auth = await service.credentials("demo/small", "leaver")
    await service.post("/events/demo/small/queue/public/leave", "leaver", {"receipt": auth["receipt"]})
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/small", auth)
    assert page.refusals[0]["data"]["code"] == "not-in-line"


async def test_a_page_of_somebody_who_shops_comes_back_as_an_onlooker(service: Service, page: Page) -> None:
    await publish(service.redis, a_sale("shopping"))
    await service.until_served("shopping")
    auth = await service.credentials("demo/shopping", "shopper")
    await service.claim_until_admitted("demo/shopping", "shopper", auth["receipt"])
    await page.open(service, "demo/shopping", auth)
    assert await page.next_place() == {"seq": 1, "place": 1, "standing": "admitted"}
    await page.until_state(lambda state: bool(state["active"] == 1))
    assert page.refusals == []
