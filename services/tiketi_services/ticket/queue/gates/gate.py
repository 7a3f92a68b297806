"""Asks for work before a new place is given: bots pay for each of their accounts, people do not notice.

A challenge is a sealed word and nothing is kept of it: it names buyer, event, line, price and end. A buyer has one
place in a line for ever, so there is nothing to be won by using a solution twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from prometheus_client import Counter

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.errors import InvalidToken, TiketiError
from tiketi_runtime.security import Mac
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import Applicant, WorkProof, find_line, from_ms, reading_of, to_ms
from tiketi_services.ticket.queue.gates.crowding import Crowding
from tiketi_services.ticket.queue.gates.work import lifetime, required_bits, solves

PURPOSE: Final = "work-challenge"
PROOFS = Counter("tiketi_queue_proofs_total", "Proofs of work by verdict: good, or why refused.", ["verdict"])


class WorkNeeded(TiketiError):
    """A new place costs work now. Solve ``challenge`` for ``bits`` until ``expiresAt`` and send it as ``proof``."""

    code, status, title = "work-needed", 428, "Proof of work needed"
    documented_members: ClassVar[dict[str, Any]] = {
        "challenge": {"type": "string", "description": "Send it back as it is, as `proof.challenge`."},
        "bits": {"type": "integer", "description": "Zero bits that the hash must begin with."},
        "expiresAt": {"type": "string", "format": "date-time", "description": "The proof must be here before."},
    }


class Verdict(StrEnum):
    """What a proof of work is worth."""

    GOOD = "good"
    FORGED = "forged"
    FOREIGN = "foreign"
    EXPIRED = "expired"
    WRONG = "wrong"


_WORDS: Final = {
    Verdict.FORGED: "The challenge is none of ours.",
    Verdict.FOREIGN: "The challenge was given to another buyer, or for another line.",
    Verdict.EXPIRED: "The challenge is too old.",
    Verdict.WRONG: "The nonce does not solve the challenge.",
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """What is to be solved, by whom and until when."""

    buyer: str
    event: EventId
    line: Line
    bits: int
    expires: datetime

    def payload(self) -> dict[str, Any]:
        """What is sealed; ``expires`` in ms."""
        return {
            "buyer": self.buyer,
            "event": self.event,
            "line": self.line,
            "bits": self.bits,
            "expires": to_ms(self.expires),
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        """Read what was sealed. Raises InvalidToken if it has another shape."""
        with reading_of("work challenge"):
            return cls(
                str(payload["buyer"]),
                EventId(payload["event"]),
                Line(payload["line"]),
                int(payload["bits"]),
                from_ms(int(payload["expires"])),
            )


def utc_now() -> datetime:
    """This process' clock: seconds of error make a challenge a little longer or shorter."""
    return datetime.now(UTC)


class WorkGate:
    """Decides what a new place costs, and whether it was paid."""

    def __init__(self, mac: Mac, crowding: Crowding, clock: Callable[[], datetime] = utc_now) -> None:
        self._mac = mac
        self._crowding = crowding
        self._clock = clock

    async def require(self, sale: SaleSheet, line_name: str, applicant: Applicant, proof: WorkProof | None) -> None:
        """Return if the applicant has paid, or need not. Raises WorkNeeded with a challenge.

        A challenge keeps its price until it expires: who has begun is not asked for more. With a proof in hand this
        takes microseconds and asks nobody.
        """
        if sale.queue.max_proof_bits == 0:
            return
        line, now = find_line(sale, line_name).name, self._clock()
        verdict = None
        if proof is not None:
            verdict = self._judge(proof, sale.event, line, applicant, now)
            PROOFS.labels(verdict).inc()
            if verdict is Verdict.GOOD:
                return
        bits = await self._price(sale, line, applicant, now)
        metrics.PROOF_BITS.labels(sale.event, line).observe(bits)
        if bits > 0:
            raise self._work_needed(Challenge(applicant.buyer, sale.event, line, bits, now + lifetime(bits)), verdict)

    def took_place(self, sale: SaleSheet, line_name: str, applicant: Applicant) -> None:
        """Count a new place, so that the next ones of this network, and of a rush, cost more."""
        if sale.queue.max_proof_bits > 0:
            self._crowding.add(sale.event, Line(line_name), applicant.network)

    async def _price(self, sale: SaleSheet, line: Line, applicant: Applicant, now: datetime) -> int:
        """An account whose token does not say its age is a new one."""
        crowd = await self._crowding.look(sale.event, line, applicant.network)
        age = timedelta(0) if applicant.registered_at is None else now - applicant.registered_at
        calm = sale.queue.new_users_per_minute / 60
        return required_bits(crowd.places_per_second / calm, age, crowd.places_from_network, sale.queue.max_proof_bits)

    def _judge(self, proof: WorkProof, event: EventId, line: Line, applicant: Applicant, now: datetime) -> Verdict:
        try:
            challenge = Challenge.from_payload(self._mac.open(PURPOSE, proof.challenge))
        except InvalidToken:
            return Verdict.FORGED
        if (challenge.buyer, challenge.event, challenge.line) != (applicant.buyer, event, line):
            return Verdict.FOREIGN
        if challenge.expires <= now:
            return Verdict.EXPIRED
        if not solves(proof.challenge, proof.nonce, challenge.bits):
            return Verdict.WRONG
        return Verdict.GOOD

    def _work_needed(self, challenge: Challenge, verdict: Verdict | None) -> WorkNeeded:
        why = f"{_WORDS[verdict]} Here is a new one." if verdict else "A place costs a little work just now."
        return WorkNeeded(
            why,
            challenge=self._mac.seal(PURPOSE, challenge.payload()),
            bits=challenge.bits,
            expiresAt=challenge.expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
