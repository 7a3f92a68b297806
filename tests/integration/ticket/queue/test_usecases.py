"""What it takes to get a place, and what comes with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.integration.ticket.queue.lines import BORIS, Scene, begin
from tests.integration.ticket.sales.a_sale import a_sale

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import Admission, CodesSheet, LineSheet, SaleSheet
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import Mac
from tiketi_services.ticket.queue import usecases
from tiketi_services.ticket.queue.domain import (
    Applicant,
    Claim,
    EmailNotVerified,
    ForeignReceipt,
    JoinRequest,
    NotInLine,
    NotReady,
    Place,
    QueueClosed,
    Recovering,
    Standing,
    Turn,
    WorkProof,
)
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.usecases import Queue

ANNA = Applicant(BuyerId("anna"), is_verified=True, registered_at=None, network="203.0.113.0/24")
UNVERIFIED = replace(ANNA, is_verified=False)
NOTHING = JoinRequest()


class TooEasy(Exception):
    """What the gate says."""


@dataclass
class Doorkeepers:
    """Stands for all that a join goes through but the line: says yes or no as told, and notes what was asked."""

    scene: Scene
    asked: list[str] = field(default_factory=list)
    is_work_needed: bool = False
    behind: bool = False
    raises_by: int = 10
    recorded: list[Claim] = field(default_factory=list)

    def of(self, event: EventId, line: Line) -> None:
        return None

    def nonce(self, event: EventId, line: Line, seq: Seq, buyer: BuyerId) -> str:
        return f"nonce of {line} {seq} {buyer}"

    def commitment(self, event: EventId, line: LineSheet) -> str | None:
        return None if line.draw_at is None else "c0ffee"

    async def spend(self, event: EventId, line: LineSheet, buyer: BuyerId, code: str | None, network: str = "") -> None:
        self.asked.append(f"code {code} from {network}")

    async def require(self, sale: SaleSheet, line_name: str, applicant: Applicant, proof: WorkProof | None) -> None:
        self.asked.append("work")
        if self.is_work_needed:
            raise TooEasy

    def took_place(self, sale: SaleSheet, line_name: str, applicant: Applicant) -> None:
        self.asked.append("took place")

    async def raise_seq(self, event: EventId, line: Line) -> None:
        self.asked.append("raise")
        await self.scene.redis.hincrby(EventKeys(event).line(line).limits, "seq", self.raises_by)

    async def record(self, claim: Claim) -> None:
        self.recorded.append(claim)

    async def check_spent(self, event: EventId, line: Line, buyer: BuyerId, session: str) -> None:
        self.asked.append(f"check {session}")

    async def abandon(self, event: EventId, buyer: BuyerId, line: Line) -> None:
        self.asked.append(f"end {line}")

    def leads_past(self, event: EventId, trouble: BaseException) -> bool:
        return False

    def is_of(self, event: EventId) -> bool:
        return False

    def is_behind(self, event: EventId) -> bool:
        return self.behind

    def place(self, sale: SaleSheet, line: LineSheet) -> Place:
        raise NotImplementedError("nobody comes in past the line here")

    async def admit(self, sale: SaleSheet, line: LineSheet, buyer: BuyerId) -> Turn:
        raise NotImplementedError("nobody comes in past the line here")

    async def session_of(self, event: EventId, line: Line, buyer: BuyerId) -> Turn:
        raise NotImplementedError("nobody comes in past the line here")


@pytest.fixture
def doorkeepers(scene: Scene) -> Doorkeepers:
    return Doorkeepers(scene)


@pytest.fixture
def queue(scene: Scene, doorkeepers: Doorkeepers) -> Queue:
    all_of_them = (doorkeepers,) * 7
    return Queue(scene.lines, Proofs(Mac("k1", {"k1": bytes(range(32))})), *all_of_them)


@pytest.fixture
async def sale(scene: Scene) -> SaleSheet:
    """The scene's event; its line has a code and work to ask for."""
    return _coded(a_sale("any", event=scene.terms.event, queue={"maxProofBits": 20}))


def _coded(sale: SaleSheet) -> SaleSheet:
    line = sale.lines[0].model_copy(update={"codes": CodesSheet(count=1, version="v")})
    return sale.model_copy(update={"lines": (line,)})


async def test_a_new_place_costs_work_then_a_code(queue: Queue, sale: SaleSheet, doorkeepers: Doorkeepers) -> None:
    place, _ = await usecases.join(queue, sale, PUBLIC, ANNA, JoinRequest(code="open sesame"))
    assert (place.seq, place.standing) == (1, Standing.WAITING)
    assert doorkeepers.asked == ["work", "code open sesame from 203.0.113.0/24", "took place"]


async def test_by_a_sheet_that_may_be_old_nobody_joins(queue: Queue, sale: SaleSheet, doorkeepers: Doorkeepers) -> None:
    doorkeepers.behind = True
    with pytest.raises(Recovering):
        await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    doorkeepers.behind = False
    place, _ = await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    assert place.is_new


async def test_who_has_a_place_is_asked_for_nothing(queue: Queue, sale: SaleSheet, doorkeepers: Doorkeepers) -> None:
    await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    doorkeepers.asked.clear()
    again, _ = await usecases.join(queue, sale, PUBLIC, UNVERIFIED, NOTHING)
    assert (again.seq, doorkeepers.asked) == (1, [])


async def test_without_work_no_code_is_spent_and_no_place_given(
    queue: Queue, sale: SaleSheet, doorkeepers: Doorkeepers
) -> None:
    doorkeepers.is_work_needed = True
    with pytest.raises(TooEasy):
        await usecases.join(queue, sale, PUBLIC, ANNA, JoinRequest(code="open sesame"))
    assert doorkeepers.asked == ["work"]
    assert (await doorkeepers.scene.state()).waiting == 0


async def test_a_new_place_needs_a_verified_address_even_where_nothing_else_is_asked(
    queue: Queue, scene: Scene, doorkeepers: Doorkeepers
) -> None:
    sale = a_sale("any", event=scene.terms.event)
    with pytest.raises(EmailNotVerified):
        await usecases.join(queue, sale, PUBLIC, UNVERIFIED, NOTHING)
    assert (await scene.state()).waiting == 0


async def test_whom_the_line_takes_no_more_is_not_asked_to_work_for_it(
    queue: Queue, sale: SaleSheet, doorkeepers: Doorkeepers
) -> None:
    with pytest.raises(QueueClosed):
        await usecases.join(queue, sale.model_copy(update={"admission": Admission.DRAIN}), PUBLIC, ANNA, NOTHING)
    assert doorkeepers.asked == []


async def test_a_receipt_restores_a_lost_place_and_is_asked_for_nothing(
    queue: Queue, sale: SaleSheet, scene: Scene, doorkeepers: Doorkeepers
) -> None:
    place, word = await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    await scene.redis.delete(scene.line.places, scene.line.waiting, scene.line.living, scene.line.alive)
    doorkeepers.asked.clear()
    again, _ = await usecases.join(queue, sale, PUBLIC, UNVERIFIED, JoinRequest(receipt=word))
    assert (again.seq, doorkeepers.asked) == (place.seq, [])
    await scene.redis.delete(scene.line.places, scene.line.waiting, scene.line.living, scene.line.alive)
    assert (await usecases.restore(queue, sale, PUBLIC, ANNA.buyer, word)).seq == place.seq


async def test_a_receipt_beyond_the_mark_restores_nothing(queue: Queue, sale: SaleSheet, scene: Scene) -> None:
    _, word = await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    await scene.redis.delete(scene.line.places)
    await scene.redis.hset(scene.line.limits, "seq", 0)
    with pytest.raises(NotInLine):
        await usecases.restore(queue, sale, PUBLIC, ANNA.buyer, word)


async def test_nobody_joins_with_a_forged_or_foreign_receipt(queue: Queue, sale: SaleSheet, scene: Scene) -> None:
    _, word = await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    with pytest.raises(ForeignReceipt):
        await usecases.join(queue, sale, PUBLIC, replace(ANNA, buyer=BORIS), JoinRequest(receipt=word))
    with pytest.raises(InvalidToken):
        await usecases.join(
            queue, sale, PUBLIC, ANNA, JoinRequest(receipt=word[:-2] + ("AA" if word[-2] != "A" else "BA"))
        )
    assert (await scene.state()).waiting == 1


async def test_every_receipt_of_a_place_tells_the_same_entry(queue: Queue, scene: Scene) -> None:
    sale = a_sale("any", event=scene.terms.event)
    drawn = sale.lines[0].model_copy(update={"draw_at": sale.opens_at + timedelta(hours=1)})
    drawing = sale.model_copy(update={"lines": (drawn,)})
    receipts = [
        queue.proofs.open_receipt((await usecases.join(queue, drawing, PUBLIC, ANNA, NOTHING))[1]) for _ in range(2)
    ]
    assert {(receipt.seq, receipt.nonce, receipt.commitment) for receipt in receipts} == {
        (1, "nonce of public 1 anna", "c0ffee")
    }
    assert queue.proofs.open_receipt((await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING))[1]).commitment is None


async def test_numbers_that_are_used_up_are_raised_and_the_join_goes_on(
    queue: Queue, scene: Scene, doorkeepers: Doorkeepers
) -> None:
    sale = a_sale("any", event=scene.terms.event)
    await begin(scene.redis, scene.terms.event, PUBLIC, seq=0)
    place, _ = await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    assert (place.seq, doorkeepers.asked[:3]) == (1, ["work", "code None from 203.0.113.0/24", "raise"])


async def test_numbers_that_cannot_be_raised_end_in_an_answer(
    queue: Queue, scene: Scene, doorkeepers: Doorkeepers
) -> None:
    doorkeepers.raises_by = 0
    await begin(scene.redis, scene.terms.event, PUBLIC, seq=0)
    with pytest.raises(NotReady) as refusal:
        await usecases.join(queue, a_sale("any", event=scene.terms.event), PUBLIC, ANNA, NOTHING)
    assert refusal.value.members["retryAfter"] > 0


async def test_a_pass_comes_with_a_recorded_claim_and_leaving_ends_the_session(
    queue: Queue, scene: Scene, doorkeepers: Doorkeepers
) -> None:
    sale = a_sale("any", event=scene.terms.event)
    _, word = await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    turn, admission_pass = await usecases.claim(queue, sale, PUBLIC, ANNA.buyer, word)
    assert (turn.standing, admission_pass, doorkeepers.recorded) == (Standing.WAITING, None, [])
    await scene.serve()
    turn, admission_pass = await usecases.claim(queue, sale, PUBLIC, ANNA.buyer, word)
    again, same_pass = await usecases.claim(queue, sale, PUBLIC, ANNA.buyer, word)
    assert admission_pass == same_pass is not None
    [claim, _] = doorkeepers.recorded
    assert (claim.seq, claim.session, claim.ends_at) == (1, turn.session, again.until)
    await usecases.leave(queue, sale, PUBLIC, ANNA.buyer, word)
    assert doorkeepers.asked[-1] == "end public"


async def test_leaving_the_line_ends_no_session(queue: Queue, scene: Scene, doorkeepers: Doorkeepers) -> None:
    sale = a_sale("any", event=scene.terms.event)
    _, word = await usecases.join(queue, sale, PUBLIC, ANNA, NOTHING)
    doorkeepers.asked.clear()
    await usecases.leave(queue, sale, PUBLIC, ANNA.buyer, word)
    assert doorkeepers.asked == []
