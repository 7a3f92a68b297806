"""Drawing on real stores: each step once, whoever takes it, whatever is lost in between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.ticket.lottery.stage import DRAW_KEY, Crash, Crashing, Stage, names, order_of

from tiketi_runtime.contracts.draw import Draw, DrawKey, commitment_of, order_key
from tiketi_runtime.contracts.draw_file import DRAW_TYP, Loss, Trust
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Line
from tiketi_runtime.contracts.merkle import root_of
from tiketi_runtime.security import TokenVerifier
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.lottery.draws import DrawArchive, Entries, file_head

ALMOST = timedelta(seconds=9)
"""Before the draw: near enough that a pod, whose clock may be wrong, asks Redis; far enough for every machine."""


async def test_the_operator_is_bound_before_anybody_can_join(stage: Stage) -> None:
    stage.announce(draw_in=timedelta(hours=1))
    pod = stage.pod()
    promised = pod.draws.commitment(stage.event, stage.line)
    await pod.step()
    secret = DRAW_KEY.secret(stage.event, PUBLIC)
    notice = await stage.notice()
    assert notice.commitment == promised == commitment_of(secret).hex()
    assert (await stage.record()).commitment.hex() == promised
    assert (notice.n, notice.root, notice.secret, notice.drawn_at) == (None, None, None, None)
    assert secret.hex() not in str(await stage.redis.hgetall(stage.keys.draws))
    assert await stage.latch() == {}


NOTE_LOSS = (
    "INSERT INTO line_losses (event, line, epoch, numbers_to, waiting) VALUES ($1, 'public', $2, $3, $4)"
    " RETURNING lost_at"
)


async def test_the_file_tells_every_loss_by_which_entries_may_be_missing(stage: Stage) -> None:
    at = await stage.pool.fetchval(NOTE_LOSS, stage.event, 3, 20_000, 7)
    await stage.pool.fetchval(NOTE_LOSS, stage.event, 5, 40_000, 2)
    await stage.begin(epoch=4)
    await stage.join(*names(3))
    round_to_come = stage.next_round(timedelta(hours=1))
    stage.announce(beacon=round_to_come)
    await stage.pod().step()
    told = (await stage.notice()).losses
    assert told == (Loss(epoch=3, at=at, numbers_to=20_000, waiting=7),), "with the root, before the secret is shown"
    assert (await stage.notice()).secret is None
    notes: Any = await stage.redis.xrange(stage.keys.notes)
    assert b"Redis was lost once before" in notes[0][1][b"message"]
    stage.announce(version=2)
    await stage.pod().step()
    facts = await stage.facts()
    assert facts.losses == told
    jwks = TokenVerifier.of(stage.signer.jwks())
    assert (await jwks.verify(facts.statement, DRAW_TYP, "tiketi-ticket"))["losses"] == [
        told[0].model_dump(mode="json", by_alias=True)
    ]


async def test_a_draw_of_before_losses_were_noted_does_not_say_that_there_were_none(stage: Stage) -> None:
    stage.announce(draw_in=timedelta(hours=1))
    await stage.pod().step()
    await stage.pool.execute("UPDATE draws SET tells_losses = false WHERE event = $1", stage.event)
    stage.announce(version=2)
    await stage.join(*names(3))
    await stage.pod().step()
    facts = await stage.facts()
    assert (facts.losses, facts.version) == (None, 1)
    head = file_head(facts)
    assert b'"version":1' in head
    assert b"losses" not in head


class Lossy(Entries):
    """Redis is lost while they are read, once."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.redis)
        self._stage = stage
        self.is_lost = False

    async def buyers(self, event: EventId, line: Line, n: int) -> list[BuyerId | None]:
        if self.is_lost:
            return await super().buyers(event, line, n)
        self.is_lost = True
        await self._stage.begin(epoch=2)
        return [None] * n


async def test_entries_that_were_read_while_redis_was_lost_are_read_again(stage: Stage) -> None:
    await stage.join(*names(3))
    pod = stage.pod(entries=Lossy(stage))
    await pod.step()
    assert (await stage.record()).fixed is None
    await pod.step()
    await stage.facts()
    assert await stage.leaves(3) == [stage.leaf(seq, buyer) for seq, buyer in enumerate(names(3), start=1)]


async def test_a_line_without_a_draw_is_not_committed_to(stage: Stage) -> None:
    line = stage.line.model_copy(update={"draw_at": None})
    sale = stage.sales.sheets[stage.event]
    stage.sales.sheets[stage.event] = sale.model_copy(update={"lines": (line,)})
    pod = stage.pod()
    await pod.step()
    assert pod.draws.commitment(stage.event, line) is None
    assert await DrawArchive(stage.pool).records([stage.event]) == []


async def test_entries_stay_open_until_their_time_by_the_clock_of_redis(stage: Stage) -> None:
    stage.announce(draw_in=ALMOST)
    await stage.join(*names(3))
    pod = stage.pod()
    await pod.step()
    assert (await stage.record()).closed is None
    stage.announce(version=2)
    await pod.step()
    assert pod.draws.of(stage.event, PUBLIC) is not None


@pytest.mark.parametrize("n", [0, 1, 2, 250])
async def test_everybody_who_joined_in_time_gets_one_place(stage: Stage, n: int) -> None:
    buyers = names(n)
    await stage.join(*buyers)
    pod = stage.pod()
    await pod.step()
    facts = await stage.facts()
    leaves = [stage.leaf(seq, buyer) for seq, buyer in enumerate(buyers, start=1)]
    secret = DRAW_KEY.secret(stage.event, PUBLIC)
    assert facts.entries == n
    assert await stage.leaves(n) == leaves
    assert facts.root == root_of(leaves).hex()
    assert facts.key == order_key(secret, n, root_of(leaves), None).hex()
    assert sorted(order_of(pod.draws.of(stage.event, PUBLIC))) == list(range(1, n + 1))
    latch = await stage.latch()
    assert (latch[b"n"], latch[b"ready"]) == (b"%d" % n, b"1")
    notice = await stage.notice()
    assert (notice.n, notice.root, notice.secret) == (n, facts.root, secret.hex())
    assert (notice.trust, notice.drawn_at) == (Trust.OPERATOR, facts.drawn_at)


async def test_it_is_noted_once_that_the_entries_are_fixed(stage: Stage) -> None:
    """The operator makes a Kubernetes Event of it."""
    await stage.join(*names(3))
    pod = stage.pod()
    await pod.step()
    await pod.step()
    notes: Any = await stage.redis.xrange(stage.keys.notes)
    ((_, note),) = notes
    assert note[b"reason"] == b"EntriesFixed"
    root = (await stage.facts()).root
    assert note[b"message"].decode() == f"Line public: 3 numbers are fixed under the root {root}."


async def test_who_joins_after_the_entries_closed_is_not_among_them(stage: Stage) -> None:
    await stage.join(*names(5))
    pod = stage.pod()
    await Entries(stage.redis).close(stage.event, PUBLIC, stage.line.draw_at or datetime.now(UTC))
    await stage.join("late", since=5)
    await pod.step()
    assert (await stage.facts()).entries == 5
    assert len(order_of(pod.draws.of(stage.event, PUBLIC))) == 5
    assert len(await stage.leaves(6)) == 5


async def test_numbers_of_nobody_are_holes(stage: Stage) -> None:
    """After a loss of Redis numbers go on from the mark, and who does not come back leaves a gap."""
    anna, boris = names(2)
    await stage.join(anna)
    await stage.join(boris, since=9)
    await stage.pod().step()
    expected = [stage.leaf(1, anna), *(stage.leaf(seq, None) for seq in range(2, 10)), stage.leaf(10, boris)]
    assert await stage.leaves(10) == expected
    assert (await stage.facts()).root == root_of(expected).hex()


async def test_the_operator_signs_what_was_drawn(stage: Stage) -> None:
    await stage.join(*names(3))
    await stage.pod().step()
    facts = await stage.facts()
    claims = await TokenVerifier.of(stage.signer.jwks()).verify(facts.statement, DRAW_TYP, "tiketi-ticket")
    said = {name: claims[name] for name in claims if name not in ("iss", "aud", "iat", "exp")}
    assert said == facts.facts().model_dump(mode="json", by_alias=True)


async def test_every_pod_learns_the_order(stage: Stage) -> None:
    await stage.join(*names(20))
    first, second = stage.pod(), stage.pod()
    await second.step()
    assert second.draws.of(stage.event, PUBLIC) is not None
    assert first.draws.of(stage.event, PUBLIC) is None
    await first.step()
    assert order_of(first.draws.of(stage.event, PUBLIC)) == order_of(second.draws.of(stage.event, PUBLIC))


async def test_pods_that_draw_at_once_draw_one_order(stage: Stage) -> None:
    await stage.join(*names(50))
    pods = [stage.pod() for _ in range(5)]
    for _ in range(3):
        await asyncio.gather(*(pod.step() for pod in pods))
    facts = await stage.facts()
    orders = {tuple(order_of(pod.draws.of(stage.event, PUBLIC))) for pod in pods}
    assert orders == {tuple(Draw(50, bytes.fromhex(facts.key)).order())}


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
async def test_a_crash_at_any_call_is_made_good_by_another_pod(stage: Stage, after: bool) -> None:
    """What was public at the crash stays true."""
    await stage.join(*names(10))
    event = stage.event
    for fatal in range(1, 40):
        stage.event = type(event)(f"{event}-{fatal}-{int(after)}")
        stage.sales.sheets.clear()
        stage.announce()
        await stage.begin()
        await stage.join(*names(10))
        crashing = Crashing(fatal, after=after)
        doomed = stage.pod(archive=crashing.wrap(DrawArchive(stage.pool)), entries=crashing.wrap(Entries(stage.redis)))
        crashed = False
        try:
            await doomed.step()
        except Crash:
            crashed = True
        shown = await stage.redis.hget(stage.keys.draws, "public")
        kept = await DrawArchive(stage.pool).records([stage.event])
        await stage.join("late", since=10)
        pod = stage.pod()
        await pod.step()
        facts = await stage.facts()
        for before in kept:
            assert before.commitment.hex() == facts.commitment
            assert before.closed is None or before.closed.n == facts.entries
            assert before.fixed is None or before.fixed.root.hex() == facts.root
            assert before.facts is None or before.facts == facts
        notice = await stage.notice()
        assert (notice.root, notice.secret) == (facts.root, facts.secret)
        if shown is not None:
            was = type(notice).of_json(shown)
            assert was.root in (None, facts.root)
        assert (await stage.latch())[b"ready"] == b"1"
        if not crashed:
            assert fatal > 10  # it went through every step
            return
    raise AssertionError("a draw takes more calls than that?")


async def test_a_loss_of_redis_before_the_draw_keeps_every_number(stage: Stage) -> None:
    anna, boris, carla = names(3)
    stage.announce(draw_in=ALMOST)
    await stage.join(anna, boris, carla)
    pod = stage.pod()
    await pod.step()
    await stage.lose_redis()
    await pod.step()  # RECOVERING: nothing is written
    assert await stage.redis.exists(stage.keys.draws) == 0
    await stage.begin(epoch=2)
    keys = stage.keys.line(PUBLIC)
    await stage.redis.set(keys.seq, 20)  # the mark
    await stage.redis.hset(keys.places, mapping={anna: 1, carla: 3})  # they came back with their receipts
    stage.announce(version=2)
    await pod.step()
    leaves = await stage.leaves(20)
    assert len(leaves) == 20
    assert leaves[:3] == [stage.leaf(1, anna), stage.leaf(2, None), stage.leaf(3, carla)]
    assert set(order_of(pod.draws.of(stage.event, PUBLIC))) == set(range(1, 21))


class DiesReading(Entries):
    """The process ends when the entries are closed, and before they are read."""

    async def buyers(self, event: EventId, line: Line, n: int) -> list[BuyerId | None]:
        raise Crash


async def test_a_loss_of_redis_between_closing_and_fixing_lets_nobody_in(stage: Stage) -> None:
    await stage.join(*names(5))
    with pytest.raises(Crash):
        await stage.pod(entries=DiesReading(stage.redis)).step()
    assert (await stage.record()).closed is not None
    await stage.lose_redis()
    await stage.begin(epoch=2)
    await stage.join(*names(5), "late", since=0)
    await stage.pod().step()
    assert (await stage.facts()).entries == 5
    assert (await stage.latch())[b"n"] == b"5"


async def test_a_loss_of_redis_after_the_draw_changes_nothing(stage: Stage) -> None:
    await stage.join(*names(5))
    pod = stage.pod()
    await pod.step()
    before, facts = await stage.notice(), await stage.facts()
    await stage.lose_redis()
    await stage.begin(epoch=2)
    await stage.pod().step()
    assert await stage.notice() == before
    assert await stage.facts() == facts
    assert (await stage.latch()) == {b"n": b"5", b"ready": b"1"}


async def test_entries_are_read_once_those_who_come_back_are_there(stage: Stage) -> None:
    buyers = names(4)
    await stage.join(*buyers[:2])
    later = int((datetime.now(UTC) + timedelta(seconds=30)).timestamp() * 1000)
    serving = stage.keys.line(PUBLIC).serving
    await stage.redis.hset(serving, mapping={"hold_until": later, "hold_living": 4})
    pod = stage.pod()
    await pod.step()
    record = await stage.record()
    assert record.closed is not None
    assert record.fixed is None
    for number, buyer in enumerate(buyers[2:], start=3):
        await stage.redis.hset(stage.keys.line(PUBLIC).places, buyer, number)
        await stage.redis.zadd(stage.keys.line(PUBLIC).waiting, {buyer: number})
    await pod.step()
    assert (await stage.record()).fixed is not None


async def test_a_draw_made_is_not_touched_by_a_new_sheet(stage: Stage) -> None:
    await stage.join(*names(5))
    pod = stage.pod()
    await pod.step()
    facts = await stage.facts()
    stage.announce(draw_in=timedelta(minutes=5), version=2, beacon=stage.next_round())
    await pod.step()
    assert await stage.facts() == facts
    assert (await stage.notice()).draw_at == facts.draw_at


async def test_another_draw_key_draws_nothing_until_the_right_one_is_back(stage: Stage) -> None:
    await stage.join(*names(5))
    stage.announce(draw_in=timedelta(hours=1))
    await stage.pod().step()
    stage.announce(version=2)
    stranger = stage.pod(DrawKey(bytes(32)))
    await stranger.step()
    assert (await stage.record()).fixed is None
    blocked = metrics.DRAWS_BLOCKED.labels(stage.event, PUBLIC)
    assert blocked._value.get() == 1
    await stage.pod().step()
    await stranger.step()
    assert stranger.draws.of(stage.event, PUBLIC) is not None


async def test_pods_take_turns_as_long_as_a_step_lasts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiketi_services.ticket.queue.lottery.draws._TURN_MS", 3_000)
    one, other = Entries(stage.redis), Entries(stage.redis)
    turn = stage.keys.line(PUBLIC).drawing
    async with one.turn(stage.event, PUBLIC) as is_ours:
        assert is_ours
        async with asyncio.timeout(30):
            while await stage.redis.pttl(turn) > 2_500:  # noqa: ASYNC110 - Redis is asked: it grows older
                await asyncio.sleep(0.05)
            while await stage.redis.pttl(turn) < 2_500:  # noqa: ASYNC110 - and is renewed
                await asyncio.sleep(0.05)
        async with other.turn(stage.event, PUBLIC) as is_theirs:
            assert not is_theirs
    async with other.turn(stage.event, PUBLIC) as is_theirs:
        assert is_theirs


class HangsReading(Entries):
    """Reading one line's entries takes for ever."""

    async def buyers(self, event: EventId, line: Line, n: int) -> list[BuyerId | None]:
        if event.endswith("-slow"):
            await asyncio.Event().wait()
        return await super().buyers(event, line, n)


async def test_a_line_that_takes_long_keeps_no_other_waiting(stage: Stage) -> None:
    slow, quick = type(stage.event)(f"{stage.event}-slow"), stage.event
    stage.event = slow
    stage.announce()
    await stage.begin()
    pod = stage.pod(entries=HangsReading(stage.redis), patience=timedelta(milliseconds=500))
    async with asyncio.timeout(30):
        await pod.step()
        await pod.step()
    assert pod.draws.of(quick, PUBLIC) is not None
    assert pod.draws.of(slow, PUBLIC) is None
    await pod.drawing.close()


async def test_many_draws_at_once_need_no_more_than_one_connection(stage: Stage) -> None:
    events = [type(stage.event)(f"{stage.event}-{number}") for number in range(12)]
    for event in events:
        stage.event = event
        stage.announce()
        await stage.begin()
        await stage.join(*names(20))
    pod = stage.pod()
    async with asyncio.timeout(20):
        await pod.step()
    assert all(pod.draws.of(event, PUBLIC) is not None for event in events)
