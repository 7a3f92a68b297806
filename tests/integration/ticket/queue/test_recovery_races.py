"""Several pods, a death or a second loss in the middle of a recovery; and what happens to an event meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.integration.redis_servers import RedisServer, redis_server
from tests.integration.ticket.queue.lines import receipt_of
from tests.integration.ticket.queue.losses import Hall, Pod, hall
from tests.integration.ticket.sales.a_sale import a_sale, delete, publish

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Seq
from tiketi_runtime.contracts.redis_keys import DELETED_EVENTS, EVENTS
from tiketi_runtime.postgres import Pool
from tiketi_services.ticket.queue.domain import Claim, Recovering
from tiketi_services.ticket.queue.recovery.marks import BLOCK, Marks, SpentPlace
from tiketi_services.ticket.queue.recovery.rebuild import Rebuild, Superseded

CROWD = [BuyerId(f"buyer-{number}") for number in range(50)]
MOMENT = timedelta(seconds=1)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def show(server: RedisServer, tables: Pool) -> AsyncIterator[Hall]:
    """A line with 50 buyers, in a Redis that is about to be lost."""
    await server.client.flushall()
    async with hall(server.url, tables) as show:
        await show.join(CROWD)
        yield show


async def test_of_many_pods_one_recovers(show: Hall, tables: Pool) -> None:
    others = [Pod(show.redis, tables) for _ in range(10)]
    for pod in others:
        await pod.sales.restore()
    await show.redis.flushall()
    await asyncio.gather(*(pod.recoveries.step() for pod in [*show.pods, *others]))
    assert await show.epoch() == 2
    assert await tables.fetchval("SELECT epoch FROM events") == 2
    assert await tables.fetchval("SELECT recovering_until IS NULL FROM events")


async def test_a_pod_that_finds_nothing_lost_changes_nothing(show: Hall, tables: Pool) -> None:
    for _ in range(3):
        await show.recover()
    assert await show.epoch() == 1
    assert await tables.fetchval("SELECT epoch FROM events") == 1


async def test_another_pod_takes_over_from_one_that_died(show: Hall, tables: Pool) -> None:
    await show.redis.flushall()
    epoch = await begin(show, lease=MOMENT)
    await show.pods[1].recoveries.step()
    assert await show.epoch() == 0, "it may still be alive"
    await asyncio.sleep(MOMENT.total_seconds())
    await show.pods[1].recoveries.step()
    assert await show.epoch() == epoch + 1
    assert await show.come_back(CROWD) == show.seqs


async def test_a_pod_that_is_stopped_hands_over_at_once(show: Hall) -> None:
    is_in_the_middle = asyncio.Event()

    async def linger(_: EventId) -> None:
        is_in_the_middle.set()
        await asyncio.sleep(60)

    await show.redis.flushall()
    show.pod.recoveries.on_recovered = linger
    step = asyncio.create_task(show.pod.recoveries.step())
    await is_in_the_middle.wait()
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    await show.pods[1].recoveries.step()
    assert await show.epoch() == 3


async def test_a_recovery_that_takes_long_is_not_taken_over(show: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiketi_services.ticket.queue.recovery.recoveries._LEASE", MOMENT)

    async def linger(_: EventId) -> None:
        await asyncio.sleep(1.5 * MOMENT.total_seconds())
        await show.pods[1].recoveries.step()

    await show.redis.flushall()
    show.pod.recoveries.on_recovered = linger
    await show.pod.recoveries.step()
    assert await show.epoch() == 2


async def test_a_pod_that_slept_through_another_recovery_does_no_harm(show: Hall, tables: Pool) -> None:
    await show.redis.flushall()
    old = await begin(show, lease=timedelta(0))
    await show.pods[1].recoveries.step()
    await show.come_back(CROWD)
    before = await show.places()
    rebuild = show.pod.rebuild
    spent = SpentPlace(BuyerId("x"), show.seqs[CROWD[0]], "s", None)
    for step in (
        rebuild.begin(show.event, old, [PUBLIC]),
        rebuild.spend(show.event, old, PUBLIC, [spent]),
        rebuild.sheet(show.event, old, show.pod.sales.all()[show.event]),
        rebuild.open(show.event, old, 1, [], ""),
    ):
        with pytest.raises(Superseded):
            await step
    assert not await show.pod.marks.fence(show.event, old)
    assert not await show.pod.marks.open(show.event, old)
    assert await show.places() == before
    assert await show.epoch() == old + 1


async def test_a_pod_that_wakes_up_in_a_redis_lost_again_reads_nothing_old(show: Hall) -> None:
    """It begins on an empty server, but PostgreSQL no longer lets it go on."""
    await show.redis.flushall()
    old = await Marks(show.pool).take(show.event, 1, 0, timedelta(0))
    assert old == 2
    await show.pods[1].recoveries.step()
    await show.redis.flushall()
    await show.pod.rebuild.begin(show.event, old, [PUBLIC])
    assert not await show.pod.marks.fence(show.event, old)
    await show.pods[1].recoveries.step()
    assert await show.epoch() == 4


async def test_a_pod_that_was_thought_dead_and_opens_the_line_after_all_is_left_alone(show: Hall) -> None:
    await show.redis.flushall()
    slow = await begin(show, lease=timedelta(0))
    taken = await show.pods[1].marks.take(show.event, slow, 0, timedelta(0))
    assert taken == slow + 1
    await show.pod.rebuild.open(show.event, slow, 1, [], "")
    with pytest.raises(Superseded):
        await show.pods[1].rebuild.begin(show.event, taken, [PUBLIC])
    assert await show.epoch() == slow


async def test_an_older_attempt_does_not_disturb_a_newer_one(show: Hall) -> None:
    await show.redis.flushall()
    old = await show.pod.marks.take(show.event, 1, 0, timedelta(0))
    assert old is not None
    newer = await begin(show, lease=timedelta(0))
    with pytest.raises(Superseded):
        await show.pod.rebuild.begin(show.event, old, [PUBLIC])
    await show.pods[1].rebuild.open(show.event, newer, 1, [], "")


async def test_what_another_pod_has_recovered_since_is_not_taken_again(show: Hall) -> None:
    before = await show.pod.marks.entry(show.event)
    assert before is not None
    await show.redis.flushall()
    await show.pods[1].recoveries.step()
    assert await show.pod.marks.take(show.event, before.epoch, 0, timedelta(0)) is None


async def test_redis_lost_again_during_its_recovery_is_noticed(show: Hall) -> None:
    async def lose(_: EventId) -> None:
        await show.redis.flushall()

    await show.redis.flushall()
    show.pod.recoveries.on_recovered = lose
    for _ in range(3):
        await show.pod.recoveries.step()
        assert await show.epoch() == 0
    await show.pods[1].recoveries.step()
    assert await show.epoch() == 5
    assert await show.come_back(CROWD) == show.seqs


async def test_what_others_keep_is_repainted_before_the_line_opens(show: Hall) -> None:
    async def repaint(event: EventId) -> None:
        assert await show.is_lost()
        assert await show.redis.exists(show.keys.sheet)
        await show.redis.hset(show.keys.counts, "sold", 7)

    await show.redis.flushall()
    show.pod.recoveries.on_recovered = repaint
    await show.pod.recoveries.step()
    assert not await show.is_lost()
    assert await show.redis.hget(show.keys.counts, "sold") == b"7"


async def test_an_event_that_cannot_be_repainted_is_tried_again_later_and_keeps_no_other(
    show: Hall, tables: Pool
) -> None:
    async def fail(event: EventId) -> None:
        if event == show.event:
            raise ConnectionError("away")

    other = a_sale("other")
    await publish(show.redis, other)
    for pod in show.pods:
        await pod.sales.refresh()
    show.pod.recoveries.on_recovered = fail
    marks = await tables.fetchval("SELECT seq_limit FROM lines WHERE event = $1", show.event)
    await show.redis.flushall()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await show.pod.recoveries.step()
        assert (await show.pod.rebuild.look(other.event)).is_open
        await show.pods[1].recoveries.step()
        assert await show.epoch() == 0
        await tables.execute("UPDATE events SET recovering_until = clock_timestamp()")
    await show.pods[1].recoveries.step()
    assert await show.epoch() == 4
    skipped = await tables.fetchval("SELECT seq_limit FROM lines WHERE event = $1", show.event) - marks
    assert skipped == BLOCK, "numbers are skipped once, not with every try"


async def test_a_deleted_event_is_not_rebuilt(show: Hall) -> None:
    await delete(show.redis, show.event)
    assert await show.is_lost()
    await show.recover()
    assert await left(show) == []
    await show.pod.sales.refresh()
    await show.recover()
    assert await left(show) == []


async def test_an_event_deleted_during_its_recovery_is_not_rebuilt(show: Hall) -> None:
    async def sweep(event: EventId) -> None:
        await delete(show.redis, event)

    await show.redis.flushall()
    await show.pod.sales.refresh()
    await publish(show.redis, a_sale("show", version=2))
    await show.pod.sales.refresh()
    show.pod.recoveries.on_recovered = sweep
    await show.pod.recoveries.step()
    await show.recover()
    assert await left(show) == []
    assert not await show.redis.sismember(EVENTS, show.event)


async def test_a_deletion_that_is_noted_during_a_recovery_ends_it(show: Hall) -> None:
    """The operator's sweep has just begun: the event's keys are still there."""

    async def note(event: EventId) -> None:
        await show.redis.hset(DELETED_EVENTS, event, 1)

    await show.redis.flushall()
    show.pod.recoveries.on_recovered = note
    await show.pod.recoveries.step()
    assert await show.epoch() == 0


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_sheet_that_comes_during_a_recovery_stays(show: Hall, is_early: bool) -> None:
    async def write(_: EventId) -> None:
        await publish(show.redis, a_sale("show", version=9, title="Second Night"))

    await show.redis.flushall()
    if is_early:
        await write(show.event)
    else:
        show.pod.recoveries.on_recovered = write
    await show.pod.recoveries.step()
    assert await show.redis.get(show.keys.sheet_version) == b"9"
    assert (await show.sheet()).title == "Second Night"
    assert await show.redis.get(show.keys.adopted) == b"1"
    await show.pod.sales.refresh()
    assert await show.redis.get(show.keys.adopted) == b"9"


async def test_an_event_made_again_goes_on_with_its_places(show: Hall) -> None:
    assert CROWD[0] in await show.offered()
    await show.claim(CROWD[0])
    await delete(show.redis, show.event)
    for pod in show.pods:
        await pod.sales.refresh()
    await publish(show.redis, a_sale("show", version=2, uid="uid-2"))
    for pod in show.pods:
        await pod.sales.refresh()
    await show.recover()
    assert await show.is_shopping(CROWD[0])
    assert await show.come_back(CROWD[1:]) == {buyer: show.seqs[buyer] for buyer in CROWD[1:]}
    await show.join([newcomer := BuyerId("newcomer")])
    assert show.seqs[newcomer] > len(CROWD)


async def test_a_claim_that_was_under_way_when_redis_was_lost_is_refused_and_made_anew(
    show: Hall, tables: Pool
) -> None:
    """Decided by the Redis that was lost, and not yet in PostgreSQL when the new one was built."""
    buyer = CROWD[0]
    receipt = receipt_of(show.terms, buyer, show.seqs[buyer])
    assert buyer in await show.offered()
    turn = await show.pod.lines.claim(show.terms, None, buyer, receipt, "too late")
    assert turn.session is not None
    assert turn.until is not None
    late = Claim(show.event, PUBLIC, turn.epoch, buyer, receipt.seq, turn.session, turn.now, turn.until)
    await show.redis.flushall()
    await show.recover()
    with pytest.raises(Recovering):
        await show.pod.recorder.record(late)
    assert await tables.fetchval("SELECT count(*) FROM claims") == 0
    await show.come_back(CROWD)
    assert buyer in await show.offered()
    await show.claim(buyer)
    assert await tables.fetchval("SELECT session FROM claims") == show.sessions[buyer] != "too late"


async def test_an_old_receipt_gives_nothing_that_was_not_given_out(show: Hall) -> None:
    await show.redis.flushall()
    await show.recover()
    forged = receipt_of(show.terms, BuyerId("greedy"), 10 * BLOCK)
    place = await show.pod.lines.join(show.terms, None, forged.buyer, forged)
    assert place is not None
    assert place.seq != forged.seq
    assert await show.pod.recoveries.represent(show.event, PUBLIC, [(BuyerId("x"), forged.seq)]) == 0


async def test_of_two_places_of_one_buyer_the_earlier_one_counts(show: Hall) -> None:
    await show.redis.flushall()
    await show.recover()
    await show.pod.lines.join(show.terms, None, CROWD[7])
    await show.pod.recoveries.represent(show.event, PUBLIC, [(CROWD[7], show.seqs[CROWD[7]])])
    assert await show.places() == {CROWD[7]: show.seqs[CROWD[7]]}
    assert await show.redis.bitcount(show.line.living) == 1


async def test_a_receipt_of_an_earlier_place_revives_no_spent_one(show: Hall) -> None:
    buyer = CROWD[0]
    assert buyer in await show.offered()
    await show.claim(buyer)
    await show.redis.hset(show.line.places, buyer, 7)
    assert await show.pod.recoveries.represent(show.event, PUBLIC, [(buyer, Seq(3))]) == 0


async def test_presenting_a_receipt_brings_nobody_back_who_left(show: Hall) -> None:
    await show.pod.lines.leave(show.event, PUBLIC, CROWD[7])
    receipts = [(buyer, show.seqs[buyer]) for buyer in CROWD]
    assert await show.pod.recoveries.represent(show.event, PUBLIC, receipts) == 0
    assert await show.redis.bitcount(show.line.living) == len(CROWD) - 1


async def test_a_loss_is_noted_once_with_what_it_can_have_taken(show: Hall, tables: Pool) -> None:
    await show.note_living()
    await show.redis.flushall()
    epoch = await begin(show, MOMENT)
    assert await show.pod.marks.fence(show.event, epoch)
    await asyncio.sleep(MOMENT.total_seconds())
    await show.recover()
    assert await show.epoch() == epoch + 1, "by a second attempt"
    noted = (
        "SELECT epoch, numbers_to, waiting, clock_timestamp() - lost_at < '1 minute' FROM line_losses ORDER BY epoch"
    )
    assert list(map(tuple, await tables.fetch(noted))) == [(epoch, BLOCK, len(CROWD), True)]
    await show.redis.flushall()
    await show.recover()
    assert list(map(tuple, await tables.fetch(noted)))[1:] == [(epoch + 2, 2 * BLOCK, len(CROWD), True)]


async def test_of_two_places_an_entry_of_a_draw_stays(show: Hall) -> None:
    """An earlier number that was lost is nobody's in the draw: there is no choice between the two."""
    await show.redis.flushall()
    await show.recover()
    place = await show.pod.lines.join(show.terms, None, CROWD[7])
    assert place is not None
    await show.redis.hset(show.line.draw, mapping={"n": place.seq, "at": 1, "ready": 1})
    earlier = [(CROWD[7], show.seqs[CROWD[7]])]
    assert await show.pod.recoveries.represent(show.event, PUBLIC, earlier) == 0
    assert await show.places() == {CROWD[7]: place.seq}


async def begin(show: Hall, lease: timedelta) -> int:
    """What a pod has done when it dies in the middle."""
    marks, rebuild = Marks(show.pool), Rebuild(show.redis)
    entry = await marks.entry(show.event)
    assert entry is not None
    epoch = await marks.take(show.event, entry.epoch, 0, lease)
    assert epoch is not None
    await rebuild.begin(show.event, epoch, entry.lines)
    assert await marks.fence(show.event, epoch)
    return epoch


async def left(show: Hall) -> list[bytes]:
    """Keys of the event."""
    return [key async for key in show.redis.scan_iter(show.keys.pattern)]
