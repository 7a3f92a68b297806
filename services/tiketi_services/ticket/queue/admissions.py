"""``Admissions``: whether a buyer may shop now. Asked on every hold and order."""

from __future__ import annotations

from tiketi_runtime.contracts.identity import BuyerId, EventId
from tiketi_services.ticket.queue.domain import Admission, AdmissionExpired, NotAdmitted
from tiketi_services.ticket.queue.open_door import OpenDoor
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.recording import ClaimRecorder
from tiketi_services.ticket.queue.repository import Lines

__all__ = ["Admission", "Admissions"]


class Admissions:
    """Checks admission passes against the live sessions."""

    def __init__(self, lines: Lines, proofs: Proofs, recorder: ClaimRecorder, door: OpenDoor) -> None:
        self._lines = lines
        self._proofs = proofs
        self._recorder = recorder
        self._door = door

    async def require(self, event: EventId, buyer: BuyerId, pass_token: str) -> Admission:
        """The live admission behind a pass.

        Raises InvalidToken (401: forged or altered), NotAdmitted (403: another buyer's or another event's),
        AdmissionExpired (403: its time is up, or it was given up), Recovering (503).
        """
        admission = self._proofs.open_pass(pass_token)
        if admission.buyer != buyer or admission.event != event:
            raise NotAdmitted("The pass is another buyer's, or for another event.")
        is_live = await self._is_live(admission)
        if is_live is None:
            raise NotAdmitted("The pass is of no session of yours.")
        if not is_live:
            raise AdmissionExpired("Your shopping session is over.")
        return admission

    async def _is_live(self, admission: Admission) -> bool | None:
        """Whether the session goes on; None if the buyer never had it.

        PostgreSQL answers for a passthrough sale when Redis cannot, and for sessions begun while it could not.
        """
        event, buyer = admission.event, admission.buyer
        try:
            session = await self._lines.session(event, admission.line, buyer, admission.session)
        except Exception as error:
            if not self._door.leads_past(event, error):
                raise
            return await self._door.is_live(admission)
        if session is None:
            return await self._door.is_live(admission) if self._door.is_of(event) else None
        return session.ends is not None

    async def end(self, event: EventId, buyer: BuyerId) -> None:
        """Free the buyer's slot: the purchase is done or given up. No error if it is free already.

        PostgreSQL hears of it first: a Redis that is rebuilt just then does not begin the session again.
        """
        await self._recorder.end(event, buyer)
        await self._lines.end_session(event, buyer)
