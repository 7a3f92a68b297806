"""The line of a cancelled event: nobody joins, waits or is admitted, everybody is told, also after a loss of Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.integration.ticket.queue.service import Page, Service
from tests.integration.ticket.sales.a_sale import a_sale, publish
from tests.integration.ticket.tickets.gates import role

from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys


async def begin(service: Service, name: str, **sale: Any) -> None:
    await publish(service.redis, a_sale(name, **sale))
    await service.until_served(name)


async def cancel(service: Service, name: str) -> None:
    word = service.token("olga", roles=role("organiser"))
    headers = {"authorization": f"Bearer {word}", "idempotency-key": "k"}
    answer = await service.post(f"/events/demo/{name}/refunds", None, {"cancelEvent": True}, **headers)
    assert answer.status == 202, answer


def told(answer: Any) -> tuple[int, str]:
    return answer.status, answer.body["code"]


@pytest.mark.parametrize("sale", [{}, {"queue": {"method": "passthrough"}}], ids=["fifo", "passthrough"])
async def test_nobody_joins_waits_or_is_admitted_and_all_hear_why(
    service: Service, page: Page, sale: dict[str, Any]
) -> None:
    name = "stormy" if sale else "rained-off"
    await begin(service, name, opens_in=timedelta(minutes=10), **sale)
    event, line = f"demo/{name}", f"/events/demo/{name}/queue/public"
    credentials = await service.credentials(event, "anna")
    receipt = {"receipt": credentials["receipt"]}
    await page.open(service, event, credentials)
    assert (await page.next_state())["phase"] == "Armed"
    await cancel(service, name)
    state = await page.until_state(lambda state: bool(state["phase"] == "Cancelled"))
    assert (state["admission"], state["pace"], state["reach"]) == ("Paused", None, None)
    await publish(service.redis, a_sale(name, version=2, **sale))  # its time has come, and nothing changes
    joined = await service.join(event, "boris")
    assert told(joined) == (409, "event-cancelled")
    assert joined.body["detail"] == "The event is cancelled. Whoever has paid gets the money back."
    for path in ("join", "claim", "heartbeat"):
        assert told(await service.post(f"{line}/{path}", "anna", receipt)) == (409, "event-cancelled")
    assert (await service.get(f"{line}/state")).body["phase"] == "Cancelled"
    assert (await service.get(f"/events/{event}")).body["phase"] == "Cancelled"
    assert (await service.post(f"{line}/leave", "anna", receipt)).status == 204


async def test_a_page_that_comes_later_looks_on(service: Service, page: Page) -> None:
    await begin(service, "washed-out")
    credentials = await service.credentials("demo/washed-out", "anna")
    await cancel(service, "washed-out")
    await page.open(service, "demo/washed-out", credentials)
    await page.until_state(lambda state: bool(state["phase"] == "Cancelled"))


async def test_it_is_the_same_after_a_loss_of_redis(service: Service, page: Page) -> None:
    await begin(service, "flooded", opens_in=timedelta(minutes=10))
    credentials = await service.credentials("demo/flooded", "anna")
    await page.open(service, "demo/flooded", credentials)
    await cancel(service, "flooded")
    await page.until_state(lambda state: bool(state["phase"] == "Cancelled"))
    keys = EventKeys(event_id("demo", "flooded"))
    line = "/events/demo/flooded/queue/public"
    await service.redis.delete(*[key async for key in service.redis.scan_iter(f"{keys.epoch[: -len('epoch')]}*")])
    assert (await service.get(f"{line}/state")).body["phase"] == "Cancelled"  # while it is rebuilt, too
    await service.until_served("flooded", epoch=2)
    assert (await service.get(f"{line}/state")).body["phase"] == "Cancelled"
    for path in ("join", "claim"):
        answer = await service.post(f"{line}/{path}", "anna", {"receipt": credentials["receipt"]})
        assert told(answer) == (409, "event-cancelled")
