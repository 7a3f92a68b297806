"""What live connections refuse, and that nobody else suffers from it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import socketio
from prometheus_client import REGISTRY
from socketio.exceptions import ConnectionError as SocketRefused
from tests.integration.ticket.queue.service import PATIENCE, Page, Service
from tests.integration.ticket.sales.a_sale import a_sale, publish
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tiketi_services.ticket.queue.domain import Recovering
from tiketi_services.ticket.queue.push import live
from tiketi_services.ticket.queue.push.sockets import NAMESPACE

CONNECT = f"40{NAMESPACE}," + json.dumps({"line": "public"})


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
        ({"line": "public", "token": "W10.e30.AA", "receipt": "y"}, "invalid-token"),
        ({"line": "public", "token": {"a": 1}, "receipt": "y"}, "invalid-request"),
    ],
)
async def test_a_connection_that_proves_nothing_is_refused(
    service: Service, page: Page, auth: object, code: str
) -> None:
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/show", auth)
    assert page.refusals[0]["data"]["code"] == code


@pytest.mark.parametrize("token", ["x", "a.b.c", "W10.e30.AA", "eyJhbGciOiJub25lIn0.e30.", "\udc80"])
async def test_a_token_that_is_none_is_refused_in_plain_words_the_same_as_over_http(
    service: Service, page: Page, token: str
) -> None:
    with pytest.raises(SocketRefused):
        await page.open(service, "demo/show", {"line": "public", "token": token, "receipt": "y"})
    plain = "The token is not valid: it is no signed token, or was cut short."
    [refused] = page.refusals
    assert (refused["message"], refused["data"]["code"]) == (plain, "invalid-token")
    if token.isascii():
        headers = {"authorization": f"Bearer {token}"}
        answer = await service.post("/events/demo/show/queue/public/join", None, None, **headers)
        assert (answer.status, answer.body["code"], answer.body["detail"]) == (401, "invalid-token", plain)


async def test_a_receipt_of_another_buyer_opens_no_connection(service: Service, page: Page) -> None:
    auth = await service.credentials("demo/show", "owner-of-receipt")
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


async def test_a_page_of_another_site_is_refused_with_a_problem_and_nothing_is_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(service.live_url("demo/show"), origin=Origin("https://evil.example"))
    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body or b"")["code"]) == (403, "foreign-origin")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_tabs_of_one_account_beyond_fifty_close_its_oldest_and_nobody_elses(service: Service) -> None:
    auths = {name: await service.credentials("demo/show", name) for name in ("hoarder", "neighbour")}
    async with AsyncExitStack() as stack:

        async def a_tab(name: str) -> ClientConnection:
            tab = await stack.enter_async_context(connect(service.live_url("demo/show"), compression=None))
            await tab.send(f"40{NAMESPACE}," + json.dumps(auths[name]))
            while not str(await tab.recv()).startswith(f"42{NAMESPACE},"):
                pass
            return tab

        async with asyncio.timeout(PATIENCE):
            other = await a_tab("neighbour")
            tabs = [await a_tab("hoarder") for _ in range(60)]
            for tab in tabs[:10]:
                await tab.wait_closed()
        assert [tab.close_code for tab in tabs] == [1013] * 10 + [None] * 50
        async with asyncio.timeout(PATIENCE):
            await tabs[10].close()  # makes room itself
            tabs.append(await a_tab("hoarder"))
            for tab in (*tabs[11:], other):
                await (await tab.ping())
        assert [tab.close_code for tab in (*tabs[11:], other)] == [None] * 51


async def test_long_polling_is_refused_with_the_mend(service: Service) -> None:
    answer = await service.get("/events/demo/show/live/?EIO=4&transport=polling")
    assert (answer.status, answer.body["code"]) == (400, "websocket-only")


async def test_a_forged_receipt_opens_no_connection(service: Service, page: Page) -> None:
    auth = await service.credentials("demo/show", "forger")
    middle = len(auth["receipt"]) // 2
    letter = "A" if auth["receipt"][middle] != "A" else "B"
    auth["receipt"] = auth["receipt"][:middle] + letter + auth["receipt"][middle + 1 :]
    await _refused(service, page, "demo/show", auth, "invalid-token")


async def test_a_receipt_for_another_event_opens_no_connection(service: Service, page: Page) -> None:
    auth = await service.credentials("demo/show", "tourist")
    await _refused(service, page, "demo/later", auth, "foreign-receipt")


async def test_a_receipt_whose_session_is_over_opens_no_connection(service: Service, page: Page) -> None:
    auth = await service.credentials("demo/show", "spender")
    await service.claim_until_admitted("demo/show", "spender", auth["receipt"])
    await service.post("/events/demo/show/queue/public/leave", "spender", {"receipt": auth["receipt"]})
    await _refused(service, page, "demo/show", auth, "not-in-line")


async def test_an_expired_token_opens_no_connection(service: Service, page: Page) -> None:
    auth = await service.credentials("demo/show", "sleeper", ttl=timedelta(hours=-1))
    await _refused(service, page, "demo/show", auth, "invalid-token")


def test_who_connects_while_the_line_is_rebuilt_hears_when_to_come_again() -> None:
    refusal = live.refusal(Recovering("The line is being rebuilt.", retryAfter=2)).error_args
    assert refusal == {
        "message": "The line is being rebuilt.",
        "data": {"code": "queue-recovering", "status": 503, "retryAfter": 2},
    }


async def test_a_connection_ends_with_its_token_and_comes_back_to_the_same_place_with_a_fresh_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LEEWAY", timedelta())
    monkeypatch.setattr(live, "_LEAST_STAY", 1)
    await publish(service.redis, a_sale("briefly", opens_in=timedelta(minutes=5)))
    await service.until_served("briefly")
    auth = await service.credentials("demo/briefly", "returner")
    tokens = iter([service.token("returner", timedelta(seconds=1)), service.token("returner")])
    client = socketio.AsyncClient(reconnection_delay=0.1, randomization_factor=0)
    places: asyncio.Queue[dict[str, int]] = asyncio.Queue()
    client.on("place", places.put, namespace=NAMESPACE)
    await client.connect(
        service.url,
        socketio_path="/events/demo/briefly/live/",
        transports=["websocket"],
        namespaces=[NAMESPACE],
        auth=lambda: {**auth, "token": next(tokens)},
    )
    async with asyncio.timeout(PATIENCE):
        assert await places.get() == await places.get()
    await client.disconnect()


async def test_who_connects_and_never_speaks_is_put_out(service: Service) -> None:
    async with connect(service.live_url("demo/show")) as connection, asyncio.timeout(15):  # far from the first ping
        assert str(await connection.recv()).startswith("0")
        with pytest.raises(ConnectionClosed):
            await connection.recv()


@pytest.mark.parametrize("namespace", ["", "/,", "/other,"])
async def test_another_namespace_hears_nothing(service: Service, namespace: str) -> None:
    async with connect(service.live_url("demo/show")) as connection, asyncio.timeout(PATIENCE):
        await connection.recv()
        await connection.send(f"40{namespace}" + json.dumps({"line": "public"}))
        answer = str(await connection.recv())
    assert answer.startswith("44")
    assert "Invalid namespace" in answer


_NONSENSE: tuple[str | bytes, ...] = (
    *("", "zzz", "9", "4", "40{", "40" + "[" * 4000, "3" + "[" * 4000, "b?", "2probe", "5"),
    *("42", "42{}", '42["nothing"]', '42["connect",{}]', "43", "44", "49", "4\u00b2", "451-[]", b"", b"\x00"),
    *(f'42{NAMESPACE},["state",{{}}]', f"43{NAMESPACE},1[]", f'451-{NAMESPACE},["x",{{"_placeholder":true,"num":0}}]'),
)


async def test_nonsense_is_hung_up_on_counted_and_not_logged(
    service: Service, page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(service.redis, sale := a_sale("flooded"))
    await service.until_served("flooded")
    await page.open(service, "demo/flooded", {"line": "public"})
    await page.next_state()
    counted = _nonsense_counted()
    for frame in _NONSENSE:
        await _flood(service, frame)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert _nonsense_counted() - counted == len(_NONSENSE)
    await publish(service.redis, sale.model_copy(update={"version": 2, "message": "Still here"}))
    await page.until_state(lambda state: bool(state["message"] == "Still here"))


@pytest.mark.parametrize("frame", ["4" + "x" * 1_000_000, "40" + "x" * 5_000, b"\xff" * 1_000_000])
async def test_a_huge_frame_is_never_read(
    service: Service, frame: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert await _flood(service, frame) == 1009
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert (await service.get("/readyz")).status == 200


async def test_text_that_is_not_utf8_is_not_logged(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    async with connect(service.live_url("demo/show")) as connection, asyncio.timeout(PATIENCE):
        await connection.recv()
        await connection.send(b"\xc3\x28", text=True)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_slow_reader_misses_states_and_keeps_nobody_waiting(service: Service, page: Page) -> None:
    await publish(service.redis, sale := a_sale("busy"))
    await service.until_served("busy")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = urlsplit(service.url)
    narrow.connect((address.hostname, address.port))
    narrow.setblocking(False)
    async with connect(service.live_url("demo/busy"), sock=narrow, compression=None, max_queue=1) as slow:
        await slow.send(CONNECT)
        slow.transport.pause_reading()
        await page.open(service, "demo/busy", {"line": "public"})
        dropped = REGISTRY.get_sample_value("tiketi_queue_pushes_dropped_total") or 0
        for version in range(2, 20):
            news = f"{version} " + "news " * 8_000
            await publish(service.redis, sale.model_copy(update={"version": version, "message": news}))
            await page.until_state(lambda state, news=news: bool(state["message"] == news))  # type: ignore[misc]
        assert (REGISTRY.get_sample_value("tiketi_queue_pushes_dropped_total") or 0) > dropped
        slow.transport.abort()


def test_the_libraries_write_to_no_stream_of_their_own(service: Service) -> None:
    for name in ("socketio.server", "engineio.server", "tiketi.socketio", "tiketi.engineio"):
        assert logging.getLogger(name).handlers == []


async def _refused(service: Service, page: Page, event: str, auth: object, code: str) -> None:
    with pytest.raises(SocketRefused):
        await page.open(service, event, auth)
    assert page.refusals[0]["data"]["code"] == code


async def _flood(service: Service, frame: str | bytes) -> int | None:
    """Send the frame 50 times and wait until the service has closed the connection; returns its code."""
    async with connect(service.live_url("demo/show"), compression=None) as connection, asyncio.timeout(PATIENCE):
        await connection.send(CONNECT)
        try:
            for _ in range(50):
                await connection.send(frame)
            await _read_to_the_end(connection)
        except ConnectionClosed:
            pass
    return connection.close_code


async def _read_to_the_end(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


def _nonsense_counted() -> float:
    return REGISTRY.get_sample_value("tiketi_queue_nonsense_total") or 0
