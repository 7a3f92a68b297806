"""Spent places reach PostgreSQL, each once, before anybody is told of an admission."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import asyncpg
import pytest
from tests.integration.conftest import MakeDatabase
from tests.integration.ticket.queue.lines import ANNA, BORIS, Scene, allow

from tiketi_runtime import postgres
from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, Line, Seq
from tiketi_runtime.postgres import Pool
from tiketi_services.ticket.queue.domain import AlreadyAdmitted, Claim, Recovering, Standing, from_ms, to_ms
from tiketi_services.ticket.queue.recording import ClaimRecorder
from tiketi_services.ticket.queue.repository import ClaimArchive, Spent, UnrecordedClaims, entry_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
VIP = Line("vip")


@pytest.fixture
async def recorder(scene: Scene, tables: Pool) -> ClaimRecorder:
    await tables.execute("INSERT INTO events (event, uid) VALUES ($1, 'uid-1')", scene.terms.event)
    return ClaimRecorder(ClaimArchive(tables), UnrecordedClaims(scene.redis), scene.lines)


def a_claim(scene: Scene, number: int = 1, **changes: object) -> Claim:
    buyer, seq = BuyerId(f"buyer-{number}"), Seq(number)
    claim = Claim(scene.terms.event, PUBLIC, 1, buyer, seq, f"session-{number}", NOON, NOON + timedelta(minutes=10))
    return replace(claim, **changes)  # type: ignore[arg-type]


async def admit(scene: Scene, buyer: BuyerId) -> Claim:
    """Claim in Redis; what there is to be recorded."""
    await allow(scene, 1)
    await scene.join(buyer)
    await scene.serve()
    turn = await scene.claim(buyer)
    assert turn.session is not None
    assert turn.until is not None
    seq = scene.places[buyer].seq
    return Claim(scene.terms.event, scene.terms.line, turn.epoch, buyer, seq, turn.session, turn.now, turn.until)


async def kept(tables: Pool, scene: Scene) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await tables.fetch(
        "SELECT * FROM claims WHERE event = $1 ORDER BY seq", scene.terms.event
    )
    return rows


async def test_a_claim_is_kept_as_it_was_made_and_then_forgotten_by_redis(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    claim = await admit(scene, ANNA)
    assert await scene.redis.zcard(scene.keys.unrecorded) == 1
    await recorder.record(claim)
    [row] = await kept(tables, scene)
    assert (row["line"], row["buyer"], row["seq"], row["session"]) == (PUBLIC, ANNA, 1, claim.session)
    assert (row["claimed_at"], row["ends_at"], row["ended_at"]) == (claim.claimed_at, claim.ends_at, None)
    assert await scene.redis.zcard(scene.keys.unrecorded) == 0


async def test_claims_that_come_together_are_written_together(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    await asyncio.gather(*(recorder.record(a_claim(scene, number)) for number in range(1, 301)))
    assert len(await kept(tables, scene)) == 300
    written = await tables.fetchval("SELECT count(DISTINCT xmin::text) FROM claims WHERE event = $1", scene.terms.event)
    assert written <= 3


async def test_recording_a_claim_again_changes_nothing(scene: Scene, tables: Pool, recorder: ClaimRecorder) -> None:
    await recorder.record(a_claim(scene))
    await recorder.record(a_claim(scene, claimed_at=NOON + timedelta(seconds=5)))
    assert [row["claimed_at"] for row in await kept(tables, scene)] == [NOON]


async def test_a_place_is_spent_once_by_one_session(scene: Scene, tables: Pool, recorder: ClaimRecorder) -> None:
    await recorder.record(a_claim(scene))
    with pytest.raises(AlreadyAdmitted):
        await recorder.record(a_claim(scene, session="another"))
    with pytest.raises(Recovering):
        await recorder.record(a_claim(scene, buyer=BORIS))  # the number is another buyer's: no place of Boris' is spent
    assert [row["session"] for row in await kept(tables, scene)] == ["session-1"]


async def test_a_claim_from_before_a_loss_comes_too_late(scene: Scene, tables: Pool, recorder: ClaimRecorder) -> None:
    await recorder.record(a_claim(scene, 1))
    await tables.execute("UPDATE events SET claims_since = 2 WHERE event = $1", scene.terms.event)
    results = await asyncio.gather(
        recorder.record(a_claim(scene, 2)), recorder.record(a_claim(scene, 3, epoch=2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [Recovering, type(None)]
    await recorder.record(a_claim(scene, 1))  # was kept in time
    assert [row["seq"] for row in await kept(tables, scene)] == [1, 3]


async def test_a_rebuilding_waits_for_claims_that_are_being_written(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    async with tables.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE events SET claims_since = 2 WHERE event = $1", scene.terms.event)
        recording = asyncio.create_task(recorder.record(a_claim(scene)))
        _, waiting = await asyncio.wait([recording], timeout=0.2)
        assert waiting
    with pytest.raises(Recovering):
        await recording
    assert await kept(tables, scene) == []


async def test_who_gives_up_waiting_takes_nobody_along(scene: Scene, tables: Pool, recorder: ClaimRecorder) -> None:
    impatient = asyncio.create_task(recorder.record(a_claim(scene, 1)))
    patient = asyncio.create_task(recorder.record(a_claim(scene, 2)))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert [row["seq"] for row in await kept(tables, scene)] == [1, 2]


async def test_without_postgresql_nobody_is_told_and_the_same_claim_is_recorded_later(
    scene: Scene, tables: Pool, recorder: ClaimRecorder, database: MakeDatabase
) -> None:
    away = await postgres.connect(await database("ticket"), 1)
    await away.close()
    claim = await admit(scene, ANNA)
    with pytest.raises(asyncpg.InterfaceError):
        await ClaimRecorder(ClaimArchive(away), UnrecordedClaims(scene.redis), scene.lines).record(claim)
    again = await scene.claim(ANNA, "another")
    assert (again.session, again.began_now) == (claim.session, False)
    await recorder.record(claim)
    assert [row["session"] for row in await kept(tables, scene)] == [claim.session]


async def test_what_a_process_left_behind_is_recorded_by_another(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    claims = [await admit(scene, ANNA), await admit(scene, BORIS)]
    assert await recorder.record_left_over([scene.terms.event]) == 2
    rows = await kept(tables, scene)
    assert [(row["buyer"], row["claimed_at"], row["ends_at"]) for row in rows] == [
        (claim.buyer, claim.claimed_at, claim.ends_at) for claim in claims
    ]
    assert await recorder.record_left_over([scene.terms.event]) == 0
    assert await recorder.record_left_over([]) == 0


async def claim_anew(scene: Scene, buyer: BuyerId) -> str:
    """What a place is good for that was given back: it goes first, and gets a whole session."""
    await allow(scene, 1)
    assert (await scene.claim(buyer, "anew")).standing is Standing.NEXT
    await scene.serve()
    turn = await scene.claim(buyer, "anew")
    assert turn.session is not None
    assert turn.until is not None
    assert turn.until - turn.now == timedelta(milliseconds=scene.terms.session)
    return turn.session


async def test_a_session_that_is_over_is_not_begun(scene: Scene, tables: Pool, recorder: ClaimRecorder) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(Recovering):
        await recorder.record(a_claim(scene, claimed_at=over - timedelta(minutes=10), ends_at=over))
    assert await kept(tables, scene) == []


async def over_before_it_was_recorded(scene: Scene, claim: Claim) -> None:
    """The claim as an outage of PostgreSQL leaves it behind that lasted longer than the session."""
    now = to_ms(datetime.now(UTC))
    over = replace(claim, claimed_at=from_ms(now - 21_000), ends_at=from_ms(now - 1_000))
    await scene.redis.delete(scene.keys.unrecorded)
    await scene.redis.zadd(scene.keys.unrecorded, {entry_of(over): now - 21_000})
    await scene.redis.zadd(scene.keys.active, {claim.buyer: now - 1_000})


async def test_a_session_that_is_over_when_postgresql_is_back_is_given_back(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    scene.change(session=20_000)
    claim = await admit(scene, ANNA)
    await over_before_it_was_recorded(scene, claim)
    assert await recorder.record_left_over([scene.terms.event]) == 1
    assert await recorder.record_left_over([scene.terms.event]) == 0
    assert await kept(tables, scene) == []
    assert await scene.count("admitted") == 0
    assert await claim_anew(scene, ANNA) != claim.session


async def test_a_session_that_was_left_before_it_was_recorded_did_spend_the_place(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    claim = await admit(scene, ANNA)
    await scene.leave(ANNA)
    with pytest.raises(Spent) as spent:
        await scene.claim(ANNA)
    with pytest.raises(AlreadyAdmitted):
        await recorder.check_spent(scene.terms.event, PUBLIC, ANNA, spent.value.session)
    assert [row["session"] for row in await kept(tables, scene)] == [claim.session]


async def test_a_session_that_is_left_while_its_claim_is_on_its_way_is_kept_as_over(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    """Else it would be kept as one that lives, and a rebuilt Redis would begin it again."""
    claim = await admit(scene, ANNA)
    assert await scene.leave(ANNA)
    await recorder.abandon(scene.terms.event, ANNA, PUBLIC)
    await recorder.record(claim)
    rows = await tables.fetch("SELECT session, ended_at FROM claims WHERE event = $1", scene.terms.event)
    assert [(row["session"], row["ended_at"] is not None) for row in rows] == [(claim.session, True)]


async def test_a_session_that_ended_before_postgresql_heard_of_it_did_not_spend_the_place(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    scene.change(session=20_000)
    claim = await admit(scene, ANNA)
    await over_before_it_was_recorded(scene, claim)
    with pytest.raises(Spent) as spent:
        await scene.claim(ANNA)
    assert spent.value.session == claim.session
    await recorder.check_spent(scene.terms.event, PUBLIC, ANNA, claim.session)
    session = await claim_anew(scene, ANNA)
    # Whoever asked at the same time comes too late to give it back again.
    await recorder.check_spent(scene.terms.event, PUBLIC, ANNA, claim.session)
    assert (await scene.claim(ANNA)).session == session


async def test_a_session_that_was_recorded_did_spend_the_place(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    claim = await admit(scene, ANNA)
    await recorder.record(claim)
    with pytest.raises(AlreadyAdmitted):
        await recorder.check_spent(scene.terms.event, PUBLIC, ANNA, claim.session)
    assert (await scene.claim(ANNA)).session == claim.session


async def test_the_end_of_a_session_is_noted_once_and_for_its_buyer_only(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    for claim in (a_claim(scene, 1), a_claim(scene, 1, line=VIP), a_claim(scene, 2)):
        await recorder.record(claim)
    event = scene.terms.event
    await recorder.end(event, BuyerId("buyer-1"), PUBLIC)
    ended = {(row["buyer"], row["line"]): row["ended_at"] for row in await kept(tables, scene)}
    assert [name for name, at in ended.items() if at] == [("buyer-1", PUBLIC)]
    await recorder.end(event, BuyerId("buyer-1"))
    again = {(row["buyer"], row["line"]): row["ended_at"] for row in await kept(tables, scene)}
    assert again["buyer-1", PUBLIC] == ended["buyer-1", PUBLIC]
    assert again["buyer-1", VIP] is not None
    assert again["buyer-2", PUBLIC] is None


async def test_names_of_any_kind_are_recorded_and_forgotten(
    scene: Scene, tables: Pool, recorder: ClaimRecorder
) -> None:
    claim = await admit(scene, BuyerId('quote" and ünïcode \\ %d'))
    await recorder.record(claim)
    assert [row["buyer"] for row in await kept(tables, scene)] == [claim.buyer]
    assert await scene.redis.zcard(scene.keys.unrecorded) == 0


async def test_claims_of_earlier_epochs_are_migrated_as_spent_places_whose_session_is_over(
    database: MakeDatabase,
) -> None:
    migrations = files("tiketi_services.ticket.queue").joinpath("sql", "migrations")
    connection = await asyncpg.connect(await database("ticket"))
    await connection.execute(migrations.joinpath("0001_claims.sql").read_text())
    rows = [("anna", 1, 7), ("anna", 2, 3), ("boris", 1, 3), ("carla", 1, 9)]
    await connection.executemany(
        "INSERT INTO claims VALUES ('demo/show', 'public', $2, $1, $3, 'session', $4)", [(*row, NOON) for row in rows]
    )
    await connection.execute(migrations.joinpath("0002_claims_of_sessions.sql").read_text())
    found = await connection.fetch("SELECT buyer, seq, claimed_at = ends_at AS is_over FROM claims ORDER BY buyer")
    await connection.close()
    assert [tuple(row) for row in found] == [("anna", 3, True), ("carla", 9, True)]
