"""``ClaimRecorder``: spent places reach PostgreSQL before anybody is told that they are admitted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line
from tiketi_runtime.outages import is_outage
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import AlreadyAdmitted, Claim, Recovering
from tiketi_services.ticket.queue.repository import MOST_CLAIMS, ClaimArchive, Lines, Loss, UnrecordedClaims, entry_of

log = logging.getLogger(__name__)


class ClaimRecorder:
    """Group commit: while one batch is being written the next one gathers, and is then written by one statement.

    A claim costs its buyer one or two commits of waiting, and PostgreSQL a commit for as many as came meanwhile. A
    session that was over before PostgreSQL could begin it did not spend its place: that is given back.
    """

    def __init__(self, archive: ClaimArchive, unrecorded: UnrecordedClaims, lines: Lines) -> None:
        self._archive = archive
        self._unrecorded = unrecorded
        self._lines = lines
        self._gathering: list[Claim] = []
        self._next: asyncio.Task[dict[Claim, Loss]] | None = None
        self._writing = asyncio.Lock()

    async def record(self, claim: Claim) -> None:
        """Returns once PostgreSQL has the claim.

        Raises AlreadyAdmitted if the place was spent by another session before, Recovering if Redis was lost since; or
        what the database raises, and then nothing is known.
        """
        self._gathering.append(claim)
        if self._next is None:
            self._next = asyncio.create_task(self._write())
        # One caller that gives up must not take the others' batch along.
        match (await asyncio.shield(self._next)).get(claim):
            case Loss.SPENT:
                raise AlreadyAdmitted("Your place was used before, by another shopping session.")
            case Loss.LATE:
                raise Recovering("Your place could not be spent in time; it is safe. Try again.", retryAfter=2)

    async def check_spent(self, event: EventId, line: Line, buyer: BuyerId, session: str) -> None:
        """Redis says that the place was spent for this session, which is over. Raises AlreadyAdmitted if it was.

        Else nobody was ever told of it, and the place is given back. What waits to be recorded is recorded first: a
        session that its buyer has left spent the place, too.
        """
        while await self.record_left_over([event]) >= MOST_CLAIMS:
            pass
        if await self._archive.is_spent(event, line, buyer, session):
            raise AlreadyAdmitted("Your place was used: your shopping session is over.")
        await self._lines.give_back(event, line, buyer, session)

    async def end(self, event: EventId, buyer: BuyerId, line: Line | None = None) -> None:
        """The buyer's session (in ``line``, or in any) is over: a rebuilt Redis does not begin it again."""
        await self._archive.end(event, buyer, line)

    async def abandon(self, event: EventId, buyer: BuyerId, line: Line) -> None:
        """The buyer has left the session in ``line``. A claim that is on its way is kept first: after this it would be
        kept as a session that lives, and a rebuilt Redis would begin it again.
        """
        while await self.record_left_over([event]) >= MOST_CLAIMS:
            pass
        await self.end(event, buyer, line)

    async def record_left_over(self, events: Sequence[EventId]) -> int:
        """Record what was claimed and not recorded, as by a process that died; returns how many claims there were."""
        claims = await self._unrecorded.oldest(events)
        if claims:
            await self._give_back(await self._archive.record(claims))
            await self._unrecorded.forget(claims)
            metrics.RECORDED.inc(len(claims))
        return len(claims)

    async def _give_back(self, lost: Mapping[Claim, Loss]) -> None:
        for claim in [claim for claim, loss in lost.items() if loss is Loss.LATE]:
            await self._lines.give_back(claim.event, claim.line, claim.buyer, claim.session, entry_of(claim))

    async def _write(self) -> dict[Claim, Loss]:
        """Write what has gathered when it is our turn; returns those that could not be kept."""
        async with self._writing:
            batch, self._gathering, self._next = self._gathering, [], None
            lost = await self._archive.record(batch)
        metrics.RECORDED.inc(len(batch))
        try:
            await self._give_back(lost)
            await self._unrecorded.forget(batch)
        except Exception as error:
            if not (is_outage(error) or isinstance(error, Recovering)):
                raise
            # They are recorded; the background finds them once more and forgets them.
            log.warning("recorded claims not forgotten", extra={"error": f"{type(error).__name__}: {error}"})
        return lost
