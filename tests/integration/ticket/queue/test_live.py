"""Live connections, with the real Socket.IO client."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY
from socketio.exceptions import ConnectionError as SocketRefused
from tests.integration.ticket.queue.service import Page, Service
from tests.integration.ticket.sales.a_sale import a_sale, publish
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import Admission


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    page = Page()
    yield page
    await page.close()


async def _auth(service: Service, event: str, buyer: str) -> dict[str, Any]:
    joined = await service.join(event, buyer)
    return {"line": "public", "token": service.token(buyer), "receipt": joined.body["receipt"]}


async def test_a_page_hears_the_state_at_once(service: Service, page: Page) -> None:
    await page.open(service, "demo/show", await _auth(service, "demo/show", "live-1"))
    state = await page.next_state()
    polled = (await service.get("/events/demo/show/queue/public/state")).body
    assert state.keys() == polled.keys()
    assert (state["event"], state["line"], state["phase"]) == ("demo/show", "public", "OnSale")


async def test_a_page_may_look_on_without_a_place(service: Service, page: Page) -> None:
    await page.open(service, "demo/later", {"line": "public"})
    assert (await page.next_state())["phase"] == "Scheduled"


async def test_a_page_hears_of_the_horizon_passing_its_place(service: Service, page: Page) -> None:
    opens_in = timedelta(seconds=1.5)
    await publish(service.redis, a_sale("soon", opens_in=opens_in))
    await service.until_served("soon")
    joined = await service.join("demo/soon", "early")
    await page.open(
        service,
        "demo/soon",
        {"line": "public", "token": service.token("early"), "receipt": joined.body["receipt"]},
    )
    assert (await page.next_state())["phase"] == "Armed"
    for heard in range(1, 10):
        state = await page.next_state(heard)
        if state["horizon"] >= joined.body["seq"]:
            break
    assert state["phase"] == "OnSale"
    turn = await service.claim_until_admitted("demo/soon", "early", joined.body["receipt"])
    assert turn.body["status"] == "admitted"


async def test_the_opening_is_heard_within_a_second(service: Service, page: Page) -> None:
    sale = a_sale("sharp", opens_in=timedelta(seconds=1))
    await publish(service.redis, sale)
    await service.until_served("sharp")
    await page.open(service, "demo/sharp", {"line": "public"})
    heard = 0
    while (state := await page.next_state(heard))["phase"] != "OnSale":
        heard += 1
    seconds, microseconds = await service.redis.time()
    assert seconds + microseconds / 1e6 - sale.opens_at.timestamp() < 1, state


async def test_the_organisers_message_and_pause_reach_every_page(service: Service, page: Page) -> None:
    sale = a_sale("told")
    await publish(service.redis, sale)
    await service.until_served("told")
    await page.open(service, "demo/told", {"line": "public"})
    await page.next_state()
    await publish(
        service.redis, sale.model_copy(update={"version": 2, "message": "Doors 19:00", "admission": Admission.PAUSED})
    )
    state = await page.next_state(1)
    assert (state["message"], state["phase"]) == ("Doors 19:00", "Paused")


async def test_a_page_hears_nothing_while_nothing_changes(service: Service, page: Page) -> None:
    await publish(service.redis, a_sale("quiet"))
    await service.until_served("quiet")
    await page.open(service, "demo/quiet", {"line": "public"})
    await page.next_state()
    await asyncio.sleep(1)
    assert len(page.states) <= 2  # the welcome, and perhaps the first tick


async def test_an_open_page_keeps_the_place(service: Service, page: Page) -> None:
    sale = a_sale("patient", queue={"totalActiveUsers": 1, "ghostTimeout": timedelta(seconds=3)})
    await publish(service.redis, sale)
    await service.until_served("patient")
    for buyer in ("first", "silent"):
        await service.join("demo/patient", buyer)
    await page.open(service, "demo/patient", await _auth(service, "demo/patient", "present"))
    await asyncio.sleep(4.5)
    line = EventKeys(event_id("demo", "patient")).line(sale.lines[0].name)
    assert await service.redis.zrange(line.waiting, 0, -1) == [b"present"]


async def test_a_page_of_somebody_out_of_line_is_told_to_join_again(service: Service, page: Page) -> None:
    auth = await _auth(service, "demo/small", "leaver")
    await service.post("/events/demo/small/queue/public/leave", "leaver", {"receipt": auth["receipt"]})
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/small", auth)
    assert page.refusals[0]["data"]["code"] == "not-in-line"


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (None, "invalid-request"),
        ("words", "invalid-request"),
        ({}, "invalid-request"),
        ({"line": 5}, "invalid-request"),
        ({"line": "vip"}, "unknown-line"),
        ({"line": "public", "token": "x"}, "invalid-request"),
        ({"line": "public", "token": "x", "receipt": "y"}, "invalid-token"),
        ({"line": "public", "token": {"a": 1}, "receipt": "y"}, "invalid-request"),
    ],
)
async def test_a_connection_that_proves_nothing_is_refused(
    service: Service, page: Page, auth: object, code: str
) -> None:
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/show", auth)
    assert page.refusals[0]["data"]["code"] == code


async def test_a_receipt_of_another_buyer_opens_no_connection(service: Service, page: Page) -> None:
    auth = await _auth(service, "demo/show", "owner-of-receipt")
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/show", {**auth, "token": service.token("thief")})
    assert page.refusals[0]["data"]["code"] == "foreign-receipt"


async def test_an_unknown_event_is_refused(service: Service, page: Page) -> None:
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/nothing", {"line": "public"})
    assert page.refusals[0]["data"]["code"] == "unknown-event"


async def test_a_page_of_another_site_may_not_connect(service: Service, page: Page) -> None:
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/show", {"line": "public"}, Origin="https://evil.example")


async def test_long_polling_is_refused_with_the_mend(service: Service) -> None:
    answer = await service.get("/events/demo/show/live/?EIO=4&transport=polling")
    assert (answer.status, answer.body["code"]) == (400, "websocket-only")


async def test_who_connects_and_never_speaks_is_put_out(service: Service) -> None:
    async with _raw(service) as socket:
        assert (await socket.receive_str()).startswith("0")
        async with asyncio.timeout(6):
            while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert socket.closed


@pytest.mark.parametrize(
    "frame", ["4" + "x" * 1_000_000, "4" + "x" * 5_000, "49", "9", "42", '42["nothing"]', "40/other,"]
)
async def test_a_frame_that_makes_no_sense_harms_nobody_else(service: Service, page: Page, frame: str) -> None:
    await page.open(service, "demo/show", {"line": "public"})
    await page.next_state()
    async with _raw(service) as socket:
        await socket.receive_str()
        await socket.send_str("40" + json.dumps({"line": "public"}))
        await socket.receive_str()
        await socket.send_str(frame)
        await asyncio.sleep(0.1)
    assert page.socket.connected
    assert (await service.get("/readyz")).status == 200


_NONSENSE: tuple[str | bytes, ...] = (
    *("", "zzz", "9", "4", "40{", "40" + "[" * 4000, "3" + "[" * 4000, "b?", "2probe", "5"),
    *("42", "42{}", '42["nothing"]', '42["connect",{}]', "43", "44", "49", "4²", "451-[]", b"", b"\x00"),
)


async def test_nonsense_is_hung_up_on_counted_and_not_logged(
    service: Service, page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(service.redis, sale := a_sale("flooded"))
    await service.until_served("flooded")
    await page.open(service, "demo/flooded", {"line": "public"})
    await page.next_state()
    counted = _nonsense_counted()
    with caplog.at_level(logging.ERROR):
        for frame in _NONSENSE:
            await _flood(service, frame)
    assert caplog.records == []
    assert _nonsense_counted() - counted == len(_NONSENSE)
    heard = len(page.states)
    await publish(service.redis, sale.model_copy(update={"version": 2, "message": "Still here"}))
    assert (await page.next_state(heard))["message"] == "Still here"


def test_the_libraries_write_to_no_stream_of_their_own(service: Service) -> None:
    for name in ("socketio.server", "engineio.server", "tiketi.socketio", "tiketi.engineio"):
        assert logging.getLogger(name).handlers == []


async def _flood(service: Service, frame: str | bytes) -> None:
    """Send the frame 50 times and wait until the service has closed the connection."""
    url = service.url.replace("http", "ws", 1) + "/events/demo/show/live/?EIO=4&transport=websocket"
    async with connect(url, compression=None) as socket, asyncio.timeout(5):
        await socket.send("40" + json.dumps({"line": "public"}))
        try:
            for _ in range(50):
                await socket.send(frame)
            await _read_to_the_end(socket)
        except ConnectionClosed:
            return


async def _read_to_the_end(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


def _nonsense_counted() -> float:
    return REGISTRY.get_sample_value("tiketi_queue_nonsense_total") or 0


def _raw(service: Service) -> Any:
    return service.http.ws_connect(f"{service.url}/events/demo/show/live/?EIO=4&transport=websocket")
