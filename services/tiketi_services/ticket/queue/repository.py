"""The line in Redis, one script for each promise; and the claims PostgreSQL keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final

from redis.exceptions import ResponseError

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import AsyncScript, Redis, load_scripts
from tiketi_services.ticket.queue.domain import (
    AlreadyAdmitted,
    Claim,
    LineState,
    LineTerms,
    NotInLine,
    Place,
    QueueClosed,
    QueueNotOpen,
    Recovering,
    SaleClosed,
    StaleReceipt,
    Standing,
    Turn,
    from_ms,
)

PACKAGE = "tiketi_services.ticket.queue"
MOST_OFFERS: Final = 500
"""Offers in one call: Redis serves nobody else meanwhile (2 ms)."""
MOST_GHOSTS: Final = 1000
MOST_BEATS: Final = 1000
MOST_CLAIMS: Final = 1000


@dataclass(frozen=True, slots=True)
class Served:
    """What one call to serve did."""

    horizon: Seq
    offered: int
    lapsed: int


@dataclass(frozen=True, slots=True)
class Session:
    """The end (ms) of a session that is live, or None when it is over."""

    ends: int | None


class Lines:
    """All lines of all events. Every method raises Recovering while Redis has lost the event's line."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = load_scripts(redis, PACKAGE)

    async def join(self, terms: LineTerms, buyer: BuyerId) -> Place:
        """Take a place, the same one every time.

        Raises QueueNotOpen, SaleClosed, QueueClosed (to those who have no place yet), AlreadyAdmitted.
        """
        event = EventKeys(terms.event)
        line = event.line(terms.line)
        standing, epoch, now, *rest = await self._run(
            self._scripts["join"],
            [
                event.epoch,
                event.clock,
                line.seq,
                line.places,
                line.waiting,
                line.alive,
                line.serving,
                line.offers,
                line.returning,
                line.claimed,
                event.active,
                event.counts,
            ],
            [buyer, terms.joins_from, terms.closes, int(terms.takes_new)],
        )
        match standing:
            case b"early":
                opens = from_ms(terms.joins_from)
                raise QueueNotOpen(
                    f"The line takes buyers from {opens:%Y-%m-%dT%H:%M:%SZ}.",
                    opensAt=opens.isoformat().replace("+00:00", "Z"),
                    retryAfter=min(60, (terms.joins_from - now) / 1000),
                )
            case b"closed":
                raise SaleClosed("The sale of this line is over.")
            case b"refused":
                raise QueueClosed("The organiser lets nobody new join.")
            case b"spent":
                raise AlreadyAdmitted("Your place was used: your shopping session is over.")
        return Place(Seq(rest[0]), epoch, Standing(standing.decode()), from_ms(now))

    async def serve(self, terms: LineTerms) -> Served:
        """Offer free slots to the next places, as many as rate, slots and stock allow."""
        event = EventKeys(terms.event)
        line = event.line(terms.line)
        others = [event.line(name).offers for name in terms.lines if name != terms.line]
        horizon, offered, lapsed = await self._run(
            self._scripts["serve"],
            [
                event.epoch,
                event.clock,
                line.serving,
                line.waiting,
                line.returning,
                event.active,
                event.counts,
                line.offers,
                *others,
            ],
            [
                terms.opens,
                terms.closes,
                terms.per_minute,
                terms.slots,
                terms.stock,
                terms.claim_window,
                int(terms.is_paused),
                MOST_OFFERS,
                *terms.sections,
            ],
        )
        return Served(Seq(horizon), offered, lapsed)

    async def claim(self, terms: LineTerms, buyer: BuyerId, seq: Seq, epoch: int, session: str) -> Turn:
        """Spend the place of a buyer to whom a slot is offered; asked again, the same session is answered.

        Raises NotInLine, StaleReceipt, AlreadyAdmitted, SaleClosed.
        """
        event = EventKeys(terms.event)
        line = event.line(terms.line)
        standing, *rest = await self._run(
            self._scripts["claim"],
            [
                event.epoch,
                event.clock,
                line.places,
                line.claimed,
                event.active,
                line.offers,
                line.waiting,
                line.returning,
                line.alive,
                event.counts,
                event.unrecorded,
            ],
            [
                buyer,
                seq,
                epoch,
                session,
                terms.session,
                terms.opens,
                terms.closes,
                int(terms.is_paused),
                terms.line,
            ],
        )
        match standing:
            case b"unknown" | b"stale":
                raise StaleReceipt("The line was begun anew since; join again.")
            case b"spent":
                raise AlreadyAdmitted("Your place was used: your shopping session is over.")
            case b"closed":
                raise SaleClosed("The sale of this line is over.")
            case b"gone":
                raise NotInLine("You left the line or went silent; join again, your place is kept.")
            case b"admitted":
                return Turn(Standing.ADMITTED, rest[0].decode(), from_ms(rest[1]), began_now=bool(rest[2]))
        return Turn(Standing(standing.decode()))

    async def heartbeat(self, event: EventId, line: Line, buyers: Sequence[BuyerId]) -> list[BuyerId]:
        """Note that these buyers (MOST_BEATS at most) are alive; returns those who are not in line."""
        keys = EventKeys(event)
        absent = await self._run(self._scripts["heartbeat"], [keys.epoch, keys.clock, keys.line(line).alive], buyers)
        return [buyers[index - 1] for index in absent]

    async def leave(self, event: EventId, line: Line, buyer: BuyerId) -> bool:
        """Free the buyer's place, offer or session at once; False if there was none."""
        keys = EventKeys(event)
        names = keys.line(line)
        return bool(
            await self._run(
                self._scripts["leave"],
                [
                    keys.epoch,
                    names.waiting,
                    names.alive,
                    names.offers,
                    names.returning,
                    names.claimed,
                    keys.active,
                    keys.counts,
                ],
                [buyer],
            )
        )

    async def sweep(self, terms: LineTerms) -> int:
        """Take silent buyers out of the line, MOST_GHOSTS at most; returns how many."""
        event = EventKeys(terms.event)
        line = event.line(terms.line)
        return int(
            await self._run(
                self._scripts["sweep"],
                [event.epoch, event.clock, line.alive, line.waiting, line.returning, event.counts, line.sweeping],
                [terms.ghost_timeout, MOST_GHOSTS],
            )
        )

    async def state(self, event: EventId, line: Line) -> LineState:
        """One reading of the line."""
        keys = EventKeys(event)
        names = keys.line(line)
        now, horizon, waiting, offered, active, sold = await self._run(
            self._scripts["state"],
            [
                keys.epoch,
                keys.clock,
                names.serving,
                names.waiting,
                names.returning,
                names.offers,
                keys.active,
                keys.counts,
            ],
            [],
        )
        return LineState(from_ms(now), Seq(horizon), waiting, offered, active, sold)

    async def session(self, event: EventId, line: Line, buyer: BuyerId, session: str) -> Session | None:
        """The session, or None if the buyer never had it."""
        keys = EventKeys(event)
        status, *ends = await self._run(
            self._scripts["admitted"],
            [keys.epoch, keys.clock, keys.line(line).claimed, keys.active],
            [buyer, session],
        )
        if status == b"foreign":
            return None
        return Session(ends[0] if status == b"live" else None)

    async def end_session(self, event: EventId, buyer: BuyerId) -> None:
        """Free the buyer's slot."""
        await self._redis.zrem(EventKeys(event).active, buyer)

    async def _run(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return await script(keys=keys, args=args)
        except ResponseError as error:
            if str(error).startswith("RECOVERING"):
                raise Recovering("The line is being rebuilt; your place is safe. Try again.", retryAfter=2) from error
            raise


class UnrecordedClaims:
    """Claims that wait in Redis until PostgreSQL has them."""

    def __init__(self, redis: Redis, pool: Pool) -> None:
        self._redis = redis
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def record(self, events: Sequence[EventId]) -> int:
        """Copy a batch of claims of each event; returns how many. Copying one twice changes nothing."""
        if not events:
            return 0
        keys = [EventKeys(event).unrecorded for event in events]
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.zrange(key, 0, MOST_CLAIMS - 1)
        batches: list[list[bytes]] = await pipeline.execute()
        claims = [_read_claim(event, member) for event, batch in zip(events, batches, strict=True) for member in batch]
        if claims:
            await self._insert(claims)
            pipeline = self._redis.pipeline(transaction=False)
            for key, batch in compress(zip(keys, batches, strict=True), batches):
                pipeline.zrem(key, *batch)
            await pipeline.execute()
        return len(claims)

    async def _insert(self, claims: Sequence[Claim]) -> None:
        await self._pool.execute(
            self._sql["record_claims"],
            [claim.event for claim in claims],
            [claim.line for claim in claims],
            [claim.epoch for claim in claims],
            [claim.buyer for claim in claims],
            [claim.seq for claim in claims],
            [claim.session for claim in claims],
            [claim.claimed_at for claim in claims],
        )


def _read_claim(event: EventId, member: bytes) -> Claim:
    line, epoch, buyer, seq, session, claimed_at = json.loads(member)
    return Claim(event, Line(line), epoch, BuyerId(buyer), Seq(seq), session, from_ms(claimed_at))
