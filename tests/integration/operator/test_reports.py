"""What services leave in Redis, told in Kubernetes: draws in the status, notes as Events, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.integration.operator.stage import Operator, Stage, until

from tiketi_runtime.contracts.draw_file import DrawNotice, Trust
from tiketi_runtime.contracts.identity import PUBLIC, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import DrawPromise, RefusedSheet, SaleSheet

pytestmark = pytest.mark.usefixtures("operator")

DRAWN_LATER = {"queueingMethod": "lottery", "prequeue": {"opensBefore": "30m"}, "lottery": {"drawBefore": "30s"}}


@pytest.fixture(scope="module")
def operator_settings() -> dict[str, str]:
    return {"TIKETI_OPERATOR_LONGEST_SLEEP": "2"}


@pytest.fixture
async def lottery(stage: Stage) -> str:
    """A sale by lot that opens in an hour."""
    await stage.policy("by-lot", **DRAWN_LATER)
    return await stage.event(queuePolicyRef={"name": "by-lot"})


async def publish(stage: Stage, name: str, **changes: Any) -> DrawNotice:
    """What ticket does."""
    keys = EventKeys(event_id(stage.namespace, name))
    sheet = await until(lambda: stage.redis.get(keys.sheet), f"the sheet of {name}")
    draw_at = SaleSheet.model_validate_json(sheet).lines[0].draw_at
    assert draw_at is not None
    notice = DrawNotice(line="public", commitment="ab" * 32, draw_at=draw_at, trust=Trust.OPERATOR)
    notice = notice.model_copy(update=changes)
    await stage.redis.hset(keys.draws, "public", notice.to_json())
    return notice


async def until_draw(stage: Stage, name: str, **fields: Any) -> dict[str, Any]:
    """Wait until the status shows a draw that says all this; returns it."""

    async def is_shown() -> Any:
        draws = (await stage.status(name)).get("draws", [])
        return next((draw for draw in draws if fields.items() <= draw.items()), None)

    found: dict[str, Any] = await until(is_shown, f"the draw of {name} says {fields}")
    return found


async def test_a_sale_by_lot_is_not_ready_before_its_commitment_is_in_the_status(stage: Stage, lottery: str) -> None:
    lacking = await stage.until_condition(lottery, "QueueReady", "False", "DrawNotCommitted")
    assert "public" in lacking["message"]
    notice = await publish(stage, lottery)
    shown = await until_draw(stage, lottery, commitment=notice.commitment, trust="Operator")
    assert set(shown) == {"line", "commitment", "drawAt", "trust"}
    await stage.until_condition(lottery, "Ready", "True")
    await stage.until_told(lottery, "DrawCommitted")


async def test_a_draw_that_was_held_is_shown_whole(stage: Stage, lottery: str) -> None:
    notice = await publish(stage, lottery)
    await until_draw(stage, lottery, commitment=notice.commitment)
    held = await publish(stage, lottery, n=7, root="cd" * 32, secret="ef" * 32, drawn_at=notice.draw_at)
    shown = await until_draw(stage, lottery, entries=7, root=held.root, secret=held.secret)
    assert shown["drawnAt"] == shown["drawAt"]
    assert shown["file"].startswith(f"/events/{stage.namespace}/{lottery}/queue/public/")
    await stage.until_told(lottery, "Drawn")


async def test_what_is_published_stays_when_redis_loses_it(stage: Stage, redis: Redis, lottery: str) -> None:
    notice = await publish(stage, lottery)
    await until_draw(stage, lottery, commitment=notice.commitment)
    await redis.delete(EventKeys(event_id(stage.namespace, lottery)).draws)
    await stage.event(lottery, title="Looked at again", queuePolicyRef={"name": "by-lot"})

    async def is_observed() -> bool:
        return bool((await stage.status(lottery)).get("observedGeneration") == 2)

    await until(is_observed, "the new generation is observed")
    await until_draw(stage, lottery, commitment=notice.commitment)
    await stage.until_condition(lottery, "QueueReady", "True")


async def test_a_draw_that_cannot_be_read_counts_as_none(stage: Stage, redis: Redis, lottery: str) -> None:
    await redis.hset(EventKeys(event_id(stage.namespace, lottery)).draws, "public", '{"commitment": "none"}')
    await stage.until_condition(lottery, "QueueReady", "False", "DrawNotCommitted")
    assert (await stage.status(lottery))["draws"] == []


async def sheet_of(stage: Stage, name: str) -> SaleSheet:
    sheet = await until(lambda: stage.redis.get(EventKeys(event_id(stage.namespace, name)).sheet), f"sheet of {name}")
    return SaleSheet.model_validate_json(sheet)


async def test_no_draw_begins_or_ends_once_buyers_may_have_joined(stage: Stage, operator: Operator) -> None:
    by_lot, in_order = {**DRAWN_LATER, "prequeue": {"opensBefore": "2h"}}, {"prequeue": {"opensBefore": "2h"}}
    await stage.policy("turned-late", **in_order)
    await stage.policy("turned-back", **by_lot)
    late = await stage.event(queuePolicyRef={"name": "turned-late"})
    back = await stage.event(queuePolicyRef={"name": "turned-back"})
    await stage.until_condition(late, "Ready", "True")
    promised = await publish(stage, back)
    await stage.until_condition(back, "Ready", "True")
    await stage.policy("turned-late", **by_lot)
    await stage.policy("turned-back", queueingMethod="fifo", **in_order)
    for name, reason, draw_at in ((late, "DrawTooLate", None), (back, "DrawPromised", promised.draw_at)):
        await stage.until_condition(name, "Stalled", "True", reason)
        await stage.until_told(name, reason)
        assert (await sheet_of(stage, name)).lines[0].draw_at == draw_at
    await operator.stop()
    await operator.start()
    await stage.policy("turned-late", queueingMethod="fifo", **in_order)
    await stage.policy("turned-back", **by_lot)
    for name, draw_at in ((late, None), (back, promised.draw_at)):
        await stage.until_condition(name, "Stalled", "False")
        assert (await sheet_of(stage, name)).lines[0].draw_at == draw_at


async def note(stage: Stage, name: str, reason: str, message: str = "Said once.", *, is_warning: bool = False) -> None:
    """What a service does."""
    key = EventKeys(event_id(stage.namespace, name)).notes
    await stage.redis.xadd(key, {"reason": reason, "message": message, "warning": int(is_warning)}, maxlen=1000)


async def events_of(stage: Stage, name: str, reason: str) -> list[dict[str, Any]]:
    events = await stage.cluster.list_all("v1", "Event", stage.namespace)
    return [event for event in events if (event["involvedObject"]["name"], event["reason"]) == (name, reason)]


async def test_a_note_becomes_one_event_whoever_restarts(stage: Stage, operator: Operator) -> None:
    name = await stage.event()
    await stage.until_condition(name, "Ready", "True")
    await note(stage, name, "SlowedDown", "Admissions went from 600 to 300 a minute: p95 was 412 ms.", is_warning=True)
    await stage.until_told(name, "SlowedDown")
    await operator.stop()
    await note(stage, name, "SpedUp")
    await operator.start()
    await stage.until_told(name, "SpedUp")
    await note(stage, name, "SlowedDown", "Again.", is_warning=True)

    async def has_two() -> list[dict[str, Any]]:
        found = await events_of(stage, name, "SlowedDown")
        return found if len(found) == 2 else []

    slowed: list[dict[str, Any]] = await until(has_two, "each of two notes is told")
    assert {event["message"] for event in slowed} == {
        "Admissions went from 600 to 300 a minute: p95 was 412 ms.",
        "Again.",
    }
    assert {event["type"] for event in slowed} == {"Warning"}
    [sped_up] = await events_of(stage, name, "SpedUp")
    assert sped_up["type"] == "Normal"
    assert sped_up["source"]["component"] == "tiketi-operator"


async def test_a_note_nobody_can_post_holds_up_no_other(stage: Stage) -> None:
    name = await stage.event()
    await stage.until_condition(name, "Ready", "True")
    await note(stage, name, "x" * 2000, "y" * 5000)
    await note(stage, name, "Later")
    await stage.until_told(name, "Later")


async def test_a_postponement_does_not_make_a_joined_line_new(stage: Stage) -> None:
    await stage.policy("detour", prequeue={"opensBefore": "2h"})
    name = await stage.event(queuePolicyRef={"name": "detour"})
    await stage.until_condition(name, "Ready", "True")
    joined = (await sheet_of(stage, name)).prequeue_at
    await stage.event(name, opens_in=7200 + 3600, queuePolicyRef={"name": "detour"})

    async def is_postponed() -> bool:
        return (await sheet_of(stage, name)).lines[0].joined_from == joined

    await until(is_postponed, "the sheet remembers since when the line may be joined")
    await stage.policy("detour", **DRAWN_LATER)
    await stage.until_condition(name, "Ready", "False", "DrawTooLate")
    assert (await sheet_of(stage, name)).lines[0].draw_at is None


async def test_a_sheet_that_the_services_refuse_is_written_anew(stage: Stage, lottery: str) -> None:
    await publish(stage, lottery)
    await stage.until_condition(lottery, "Ready", "True")
    sheet, keys = await sheet_of(stage, lottery), EventKeys(event_id(stage.namespace, lottery))
    promise = DrawPromise(line=PUBLIC, joined_from=datetime.now(UTC) - timedelta(hours=1))
    refused = RefusedSheet(version=sheet.version, promises=(promise,))
    await stage.redis.set(keys.refused, refused.model_dump_json(by_alias=True))
    stalled = await stage.until_condition(lottery, "Stalled", "True", "DrawTooLate")
    assert "spec.queueingMethod" in stalled["message"]
    [line] = (await sheet_of(stage, lottery)).lines
    assert (line.draw_at, line.joined_from) == (None, promise.joined_from)
    await stage.redis.set(keys.refused, "{")
    await stage.event(lottery, title="Looked at again", queuePolicyRef={"name": "by-lot"})

    async def is_written() -> bool:
        return (await sheet_of(stage, lottery)).title == "Looked at again"

    await until(is_written, "a refusal that cannot be read is in nobody's way")
