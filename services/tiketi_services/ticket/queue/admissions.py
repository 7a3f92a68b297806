"""``Admissions``: whether a buyer may shop now. Asked on every hold and order."""

from __future__ import annotations

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_services.ticket.queue.domain import Admission, AdmissionExpired, NotAdmitted
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.repository import Lines

__all__ = ["Admission", "Admissions"]


class Admissions:
    """Checks admission passes against the live sessions."""

    def __init__(self, lines: Lines, proofs: Proofs) -> None:
        self._lines = lines
        self._proofs = proofs

    async def require(self, event: EventId, buyer: BuyerId, pass_token: str) -> Admission:
        """The live admission behind a pass.

        Raises InvalidToken (401: forged or altered), NotAdmitted (403: another buyer's or another event's),
        AdmissionExpired (403: its time is up, or it was given up), Recovering (503).
        """
        admission = self._proofs.open_pass(pass_token)
        if admission.buyer != buyer or admission.event != event:
            raise NotAdmitted("The pass is another buyer's, or for another event.")
        session = await self._lines.session(event, admission.line, buyer, admission.session)
        if session is None:
            raise NotAdmitted("The pass is of no session of yours.")
        if session.ends is None:
            raise AdmissionExpired("Your shopping session is over.")
        return admission

    async def end(self, event: EventId, buyer: BuyerId) -> None:
        """Free the buyer's slot: the purchase is done or given up. No error if it is free already."""
        await self._lines.end_session(event, buyer)
