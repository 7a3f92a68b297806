"""The proof that orders ask for."""

from __future__ import annotations

import pytest
from tests.integration.ticket.queue.lines import ANNA, BORIS, Scene, later

from tiketi_runtime.contracts.identity import BuyerId, EventId, event_id
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import Mac
from tiketi_services.ticket.queue.admissions import Admissions
from tiketi_services.ticket.queue.domain import Admission, AdmissionExpired, NotAdmitted
from tiketi_services.ticket.queue.proofs import Proofs

PROOFS = Proofs(Mac("k1", {"k1": bytes(range(32))}))


class Recorder:
    """Stands for PostgreSQL: notes whose sessions are over; is away when told."""

    def __init__(self) -> None:
        self.ended: list[BuyerId] = []
        self.is_away = False

    async def end(self, event: EventId, buyer: BuyerId) -> None:
        if self.is_away:
            raise OSError("away")
        self.ended.append(buyer)


class ClosedDoor:
    """No sale here fails open."""

    def is_of(self, event: EventId) -> bool:
        return False

    def leads_past(self, event: EventId, trouble: BaseException) -> bool:
        return False


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def admissions(scene: Scene, recorder: Recorder) -> Admissions:
    return Admissions(scene.lines, PROOFS, recorder, ClosedDoor())  # type: ignore[arg-type]


async def _admit_anna(scene: Scene) -> Admission:
    await scene.join(ANNA)
    await scene.serve()
    turn = await scene.claim(ANNA)
    assert turn.session is not None
    assert turn.until is not None
    return Admission(scene.terms.event, scene.terms.line, ANNA, turn.session, turn.until)


async def test_a_pass_lets_its_buyer_shop(scene: Scene, admissions: Admissions) -> None:
    admission = await _admit_anna(scene)
    assert await admissions.require(scene.terms.event, ANNA, PROOFS.admission_pass(admission)) == admission


async def test_a_pass_lets_nobody_else_shop_and_nowhere_else(scene: Scene, admissions: Admissions) -> None:
    word = PROOFS.admission_pass(await _admit_anna(scene))
    with pytest.raises(NotAdmitted):
        await admissions.require(scene.terms.event, BORIS, word)
    with pytest.raises(NotAdmitted):
        await admissions.require(event_id("demo", "other"), ANNA, word)


async def test_a_pass_of_a_session_that_never_was_is_refused(scene: Scene, admissions: Admissions) -> None:
    admission = await _admit_anna(scene)
    invented = Admission(admission.event, admission.line, ANNA, "another", admission.until)
    with pytest.raises(NotAdmitted):
        await admissions.require(scene.terms.event, ANNA, PROOFS.admission_pass(invented))


async def test_a_forged_pass_is_refused(scene: Scene, admissions: Admissions) -> None:
    admission = await _admit_anna(scene)
    forged = Proofs(Mac("k1", {"k1": bytes(32)})).admission_pass(admission)
    with pytest.raises(InvalidToken):
        await admissions.require(scene.terms.event, ANNA, forged)


async def test_a_pass_ends_with_its_session(scene: Scene, admissions: Admissions) -> None:
    scene.change(session=30_000)
    word = PROOFS.admission_pass(await _admit_anna(scene))
    await later(scene, 35_000)
    with pytest.raises(AdmissionExpired):
        await admissions.require(scene.terms.event, ANNA, word)


async def test_a_pass_ends_when_the_purchase_is_done_and_ending_twice_is_no_error(
    scene: Scene, admissions: Admissions
) -> None:
    word = PROOFS.admission_pass(await _admit_anna(scene))
    await admissions.end(scene.terms.event, ANNA)
    await admissions.end(scene.terms.event, ANNA)
    with pytest.raises(AdmissionExpired):
        await admissions.require(scene.terms.event, ANNA, word)


async def test_the_end_of_a_session_is_recorded_before_its_slot_is_free(
    scene: Scene, admissions: Admissions, recorder: Recorder
) -> None:
    word = PROOFS.admission_pass(await _admit_anna(scene))
    recorder.is_away = True
    with pytest.raises(OSError, match="away"):
        await admissions.end(scene.terms.event, ANNA)
    assert await admissions.require(scene.terms.event, ANNA, word)
    recorder.is_away = False
    await admissions.end(scene.terms.event, ANNA)
    assert recorder.ended == [ANNA]


async def test_leaving_the_line_gives_the_pass_up(scene: Scene, admissions: Admissions) -> None:
    word = PROOFS.admission_pass(await _admit_anna(scene))
    await scene.leave(ANNA)
    with pytest.raises(AdmissionExpired):
        await admissions.require(scene.terms.event, ANNA, word)
